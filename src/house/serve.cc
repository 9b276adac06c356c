#include "house/serve.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "policy/units.h"
#include "server/shelves.h"
#include "store/persisted_store.h"

namespace smalti::house {

namespace {

// As many requests may wait for disks and other servers at once.
constexpr std::size_t waiter_threads = 16;

// Without a word of the user's all ports speak the newest handshake, but for the second, which speaks
// ImageMagick 6's. One word holds for all ports.
Result<Greeting> greeting_of(const Config& config, std::size_t port) {
  using wire::magick::parse_dialect;
  if (config.greetings.empty()) return Greeting(*parse_dialect(port == 1 ? "n8" : "n16"));
  if (config.greetings.size() == 1) return config.greetings[0];
  if (port < config.greetings.size()) return config.greetings[port];
  return fail(Errc::invalid,
              fmt::format("port number {} has no handshake: name one for each port, as in -define "
                          "cache:magick=n16,n8,none",
                          port + 1));
}

bool open_to_all(const Greeting& greeting) { return greeting && !greeting->proves_the_client(); }

// Clients of the old handshakes cannot be told from anybody else, so their ports are for this host unless an
// address or a list of networks says otherwise.
std::string address_of(const Config& config, const HostPort& at, const Greeting& greeting) {
  if (!at.host.empty() || !open_to_all(greeting)) return at.host;
  const bool here_only =
      std::ranges::all_of(config.allow, [](const net::Network& n) { return n.loopback_only(); });
  return here_only ? "127.0.0.1" : "";
}

std::vector<net::Network> guests_of(const Config& config, const Greeting& greeting) {
  if (config.encryption == Encryption::required) return net::loopback_networks();
  return config.allow.empty() && open_to_all(greeting) ? net::loopback_networks() : config.allow;
}

void tell(const Server& server, const Greeting& greeting, Log& log) {
  if (!greeting)
    log.line(Level::info, fmt::format("{}: Smalti's own clients only", server.where()));
  else if (greeting->proves_the_client())
    log.line(Level::info,
             fmt::format("{}: ImageMagick's clients of handshake {} prove the secret; their pixels travel in "
                         "clear, and the server proves nothing to them",
                         server.where(), text_of(*greeting)));
  else
    log.line(Level::warning,
             fmt::format("{}: ImageMagick's clients of handshake {} ({}) cannot prove anything: whoever "
                         "reaches this port from the networks of cache:allow may use it",
                         server.where(), text_of(*greeting), text_of(greeting->build)));
}

ServerOptions options_for(const Config& config, const HostPort& at, const Greeting& greeting, std::size_t ports) {
  ServerOptions options;
  options.address = address_of(config, at, greeting);
  options.port = at.port;
  options.secret = config.secret;
  options.attributes.quantum_depth = config.quantum.depth;
  options.attributes.hdri = config.quantum.hdri;
  options.greeting = greeting;
  options.guests_from = guests_of(config, greeting);
  options.plain = config.encryption == Encryption::none;
  options.shared_bytes = config.share ? options.shared_bytes / ports : 0;
  options.clients = config.clients.value_or(options.clients);
  options.strangers = std::min(config.strangers.value_or(options.strangers), options.clients);
  // The id of a server that keeps images stays with them.
  options.state = config.persist.empty() ? config.state : config.persist;
  options.grace = config.grace.value_or(options.grace);
  return options;
}

// With cache:persist: the port's own folder, and what it holds from an earlier life.
Result<void> keep_names(House& house, const HostPort& at, ServerParts& parts) {
  const std::filesystem::path& folder = house.config.persist;
  if (folder.empty()) return {};
  if (at.port == 0)
    return fail(Errc::invalid,
                fmt::format("cache:persist: what {} keeps belongs to a port, and port 0 is another one at each start: name "
                            "one, as in -distribute-cache 6668",
                            folder.string()));
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed)
    return fail(Errc::io, fmt::format("cache:persist: {}: {}", folder.string(), failed.message()), failed.value());
  SMALTI_TRY(Persisted persisted, open_persisted(house.ledger, house.heap, folder / fmt::format("images-{}", at.port)));
  for (const std::string& complaint : persisted.complaints) house.log.line(Level::warning, complaint);
  const std::shared_ptr<TileStore> store = std::move(persisted.store);
  const std::shared_ptr<NameBook> book = std::move(persisted.names);
  auto shelves = std::make_shared<server::Shelves>(parts.store, store);
  for (const PersistedImage& image : persisted.images) {
    shelves->keep(image.image);
    parts.names.images.push_back({image.image, image.spec, image.bytes});
    if (!image.damage.empty())
      house.log.line(Level::error, fmt::format("image {} is damaged: {}", image.image.text(), image.damage));
  }
  std::vector<NameDamage> damaged;
  SMALTI_TRY(auto entries, book->all(&damaged));
  for (NameEntry& entry : entries) parts.names.records.push_back({std::move(entry.name), std::move(entry.bytes)});
  for (NameDamage& one : damaged) parts.names.lost.push_back({std::move(one.name), std::move(one.why)});
  parts.names.shelf.put = [book](const std::string& name, std::span<const std::byte> record) {
    return book->put(name, record);
  };
  parts.names.shelf.remove = [book](const std::string& name) { return book->remove(name); };
  parts.names.for_name = [shelves](const ImageId& image) { shelves->keep(image); };
  parts.store = std::move(shelves);
  return {};
}

}  // namespace

void ServerHouse::drain(Clock::duration grace) {
  caretaker.reset();
  for (const auto& server : servers) server->drain(grace);
}

Result<std::unique_ptr<ServerHouse>> open_ports(Config config, const std::vector<HostPort>& where, Log& log) {
  if (config.secret.empty())
    return fail(Errc::unauthorized,
                "a pixel server needs a shared secret: set one in policy.xml, in /etc/smalti or "
                "~/.config/smalti, the same "
                "for all hosts: <policy domain=\"cache\" name=\"shared-secret\" value=\"PASSPHRASE\" "
                "stealth=\"true\"/>");
  auto made = std::make_unique<ServerHouse>();
  SMALTI_TRY(made->house, build(std::move(config), Purpose::server, log));
  made->waiters = std::make_unique<Pool>(waiter_threads);
  if (made->house->config.encryption == Encryption::none)
    log.line(Level::warning, "cache:encryption is none: peers prove the secret, then pixels travel in clear");
  House& house = *made->house;
  made->quota = std::make_shared<server::Quota>(house.config.quota);
  MagickOptions magick;
  magick.spin = house.config.spin;
  magick.local = !goes_further(house.config, Purpose::server);
  made->door = std::make_unique<MagickDoor>(CacheParts{house.store, house.ledger, house.heap, *house.ahead},
                                            log, magick);
  for (std::size_t i = 0; i < where.size(); ++i) {
    SMALTI_TRY(const Greeting greeting, greeting_of(house.config, i));
    ServerParts parts{*house.loop,    house.store, house.ledger,         house.heap,
                      *made->waiters, log,         made->door->handler()};
    parts.names.quota = made->quota;
    SMALTI_CHECK(keep_names(house, where[i], parts));
    SMALTI_TRY(auto server, Server::listen(std::move(parts), options_for(house.config, where[i], greeting, where.size())));
    tell(*server, greeting, log);
    made->servers.push_back(std::move(server));
  }
  made->caretaker = std::make_unique<Caretaker>(house, made->servers);
  return made;
}

std::string ready_line(const ServerHouse& house, const Server& server) {
  const Limits& limits = house.house->config.limits;
  return fmt::format("smalti: serving pixels on {} (memory {}, map {}, disk {}), id {}", server.where(),
                     print_amount(Resource::memory, limits[Resource::memory]),
                     print_amount(Resource::map, limits[Resource::map]),
                     print_amount(Resource::disk, limits[Resource::disk]), server.id().substr(0, 16));
}

}  // namespace smalti::house
