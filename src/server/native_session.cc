#include "server/native_session.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>

#include "server/native_client.h"

namespace smalti::server {

namespace {

namespace native = wire::native;

constexpr std::uint32_t most_running = 32;  // requests of one connection that wait at the same time
constexpr std::uint64_t connections_share =
    8;  // one connection may fill so small a part of the server's budget
constexpr std::uint64_t least_in_flight = 4u << 20;

std::uint64_t in_flight_of_one(const ServerOptions& options) {
  return std::max(least_in_flight, options.in_flight_bytes / connections_share);
}

// A client's host that vanished without a word is noticed within a minute.
void keep_alive(int socket) {
  const int on = 1, idle = 30, interval = 10, tries = 3;
  ::setsockopt(socket, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  ::setsockopt(socket, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
}

Quota& quota_of(ServerParts& parts) {
  if (!parts.names.quota) parts.names.quota = std::make_shared<Quota>();
  return *parts.names.quota;
}

native::Welcome welcome(const NativeHost& host, bool plain) {
  native::Welcome m;
  m.attributes = host.options.attributes;
  m.server = host.identity.id();
  m.incarnation = host.identity.incarnation();
  m.plain = plain;
  m.durable = bool(host.parts.names.shelf.put);
  m.grace_millis =
      static_cast<std::uint32_t>(std::min<std::int64_t>(host.options.grace.count(), ~std::uint32_t{0}));
  m.in_flight_bytes =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(in_flight_of_one(host.options), ~std::uint32_t{0}));
  m.name = host.options.name;
  return m;
}

// Tells the client why not, and the log.
asio::awaitable<void> refuse(NativeHost& host, std::shared_ptr<NativeConnection> connection,
                             native::Meta meta, Errc code, std::string why) {
  host.complaints.say(fmt::format("{}: client refused: {}", connection->peer(), why));
  native::Refused refused;
  refused.code = code;
  refused.attributes = host.options.attributes;
  refused.text = std::move(why);
  connection->send(meta, refused);
  co_await connection->flushed();
  connection->close();
}

// A hello that fits, or nullptr after the client was told why not.
asio::awaitable<ClientPtr> greet(NativeHost& host, std::shared_ptr<NativeConnection> connection,
                                 Admission::Ticket& ticket, Clock::time_point deadline) {
  auto frame = co_await connection->next(deadline);
  if (!frame) {
    host.complaints.say(fmt::format("{}: no hello: {}", connection->peer(), frame.error().what));
    connection->close();
    co_return nullptr;
  }
  const native::Meta meta = frame->meta;
  const auto* hello = std::get_if<native::Hello>(&frame->message);
  std::string why;
  Errc code = Errc::incompatible;
  if (!hello) {
    why = fmt::format("a conversation begins with hello, not with {}", native::name_of(frame->message));
    code = Errc::invalid;
  } else if (why = differences(host.options.attributes, hello->attributes); why.empty() && !ticket.admit()) {
    why = "all places are taken: raise cache:clients on the server";
    code = Errc::limit;
  }
  if (!why.empty()) {
    auto telling = refuse(host, connection, meta, code, std::move(why));
    co_await std::move(telling);
    co_return nullptr;
  }
  if (hello->alone) {
    const native::Id session = hello->session;
    auto superseding = host.leases.supersede(session, deadline);
    auto superseded = co_await std::move(superseding);
    if (!superseded) {
      auto telling = refuse(host, connection, meta, superseded.error().code, std::move(superseded.error().what));
      co_await std::move(telling);
      co_return nullptr;
    }
  }
  const bool plain = hello->plain && host.options.plain;
  connection->send(meta, welcome(host, plain));
  co_await connection->flushed();
  if (plain) {
    auto left = co_await connection->leave_tls(deadline);
    if (!left) {
      host.complaints.say(fmt::format("{}: {}", connection->peer(), left.error().what));
      connection->close();
      co_return nullptr;
    }
  }
  const std::string name = fmt::format("{} ({})", hello->name, connection->peer());
  const std::weak_ptr<NativeConnection> weak = connection;
  const auto close = [weak] {
    if (const auto there = weak.lock()) there->close();
  };
  co_return std::make_shared<NativeClient>(host, connection, host.leases.join(hello->session, name, close));
}

// Requests until the client has gone or speaks nonsense.
asio::awaitable<void> converse(ClientPtr client) {
  NativeConnection& connection = *client->connection;
  while (!connection.closed()) {
    while ((connection.running >= most_running || connection.backlogged()) && !connection.closed())
      co_await connection.changed.wait();
    const auto whenever = Clock::time_point::max();
    auto frame = co_await connection.next(whenever);
    Result<void> fine;
    if (!frame) {
      fine = pass(std::move(frame.error()));
    } else if (const auto* goodbye = std::get_if<native::Goodbye>(&frame->message)) {
      if (goodbye->session_ends) co_await client->host.leases.end(client->session());
      break;
    } else {
      auto beginning = begin_request(client, std::move(*frame));
      fine = co_await std::move(beginning);
      if (connection.owes_a_turn()) co_await net::yield();
    }
    if (fine || connection.closed()) continue;
    const bool gone = fine.error().code == Errc::unavailable || fine.error().code == Errc::cancelled;
    client->host.parts.log.line(gone ? Level::debug : Level::warning,
                                fmt::format("{}: {}", connection.peer(), fine.error().what));
    if (gone) break;
    connection.send({}, native::Failed{std::move(fine.error())});
    co_await connection.flushed();
    break;
  }
  connection.close();
}

}  // namespace

NativeHost::NativeHost(const ServerParts& p, const ServerOptions& o, Identity i)
    : parts(p),
      options(o),
      psk(o.key ? *o.key : net::Psk(o.secret)),
      identity(std::move(i)),
      complaints(p.log),
      tasks(p.loop),
      in_flight(p.loop.executor(), o.in_flight_bytes, o.pressure),
      shared(p.ledger, o.shared_bytes),
      leases({p.loop, tasks, p.store, p.ledger, p.waiters, p.log, quota_of(parts), p.names.for_name}, o.grace),
      catalog({p.loop, leases, p.store, p.waiters, p.log, quota_of(parts), p.names.shelf}) {}

asio::awaitable<void> serve_native(NativeHost& host, std::unique_ptr<net::TcpStream> stream,
                                   Admission::Ticket& ticket, Clock::time_point handshake_deadline) {
  const std::string peer = stream->peer();
  keep_alive(stream->descriptor());
  const net::Ends ends = net::ends_of(stream->descriptor());
  auto secure = co_await net::secure_server(std::move(stream), host.psk, handshake_deadline);
  if (!secure) {
    host.complaints.say(fmt::format("{}: client refused: {}", peer, secure.error().what));
    co_return;
  }
  const ConnectionOptions options{host.options.stall, in_flight_of_one(host.options), ends};
  const auto connection = std::make_shared<NativeConnection>(host.parts.loop, host.tasks, host.in_flight,
                                                             std::move(*secure), options);
  // Held weakly: a goodbye is for those who are still there.
  const std::weak_ptr<NativeConnection> weak = connection;
  ticket.replace([weak] {
    if (const auto there = weak.lock()) there->hang_up();
  });
  auto greeting = greet(host, connection, ticket, handshake_deadline);
  const ClientPtr client = co_await std::move(greeting);
  if (!client) co_return;
  host.parts.log.line(Level::debug, fmt::format("client {} connected", client->session().name));
  auto conversing = converse(client);
  co_await std::move(conversing);
}

}  // namespace smalti::server
