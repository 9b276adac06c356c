#include "house/serve.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "policy/units.h"

namespace smalti::house {

namespace {

// As many requests may wait for disks and other servers at once.
constexpr std::size_t waiter_threads = 16;

std::optional<wire::magick::Dialect> greeting_of(const Config& config) {
  wire::magick::Dialect dialect;
  switch (config.greeting) {
    case Greeting::n16:
      dialect.handshake = wire::magick::Handshake::n16;
      return dialect;
    case Greeting::n8:  // what ImageMagick 6 speaks; its requests are shaped otherwise, too
      dialect.handshake = wire::magick::Handshake::n8;
      dialect.build.family = wire::magick::Family::im6;
      return dialect;
    case Greeting::none:
      break;
  }
  return std::nullopt;
}

ServerOptions options_for(const Config& config, const HostPort& at) {
  ServerOptions options;
  options.address = at.host;
  options.port = at.port;
  options.secret = config.secret;
  options.attributes.quantum_depth = config.quantum.depth;
  options.attributes.hdri = config.quantum.hdri;
  options.greeting = greeting_of(config);
  options.guests_from_loopback_only = config.encryption == Encryption::required;
  options.plain = config.encryption == Encryption::none;
  options.clients = config.clients.value_or(options.clients);
  options.strangers = std::min(config.strangers.value_or(options.strangers), options.clients);
  options.state = config.state;
  return options;
}

}  // namespace

void ServerHouse::drain(Clock::duration grace) {
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
  MagickOptions guests;
  guests.local = house.config.hosts.empty() || !house.config.hosts_defined;
  made->door = std::make_unique<MagickDoor>(CacheParts{house.store, house.ledger, house.heap, *house.ahead},
                                            log, guests);
  for (const HostPort& at : where) {
    ServerParts parts{*house.loop,    house.store, house.ledger,         house.heap,
                      *made->waiters, log,         made->door->handler()};
    SMALTI_TRY(auto server, Server::listen(std::move(parts), options_for(house.config, at)));
    made->servers.push_back(std::move(server));
  }
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
