#include "server/server.h"

#include <fmt/format.h>
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <mutex>

#include "net/listener.h"
#include "net/loop.h"
#include "net/tls.h"
#include "server/native_session.h"

namespace smalti {

namespace {

namespace magick = wire::magick;
using server::Admission;
using server::Guest;
using server::NativeHost;

void draw(std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t n = ::getrandom(into.data(), into.size(), 0);
    if (n > 0) into = into.subspan(static_cast<std::size_t>(n));
  }
}

}  // namespace

struct Server::State {
  State(const ServerParts& parts, const ServerOptions& options, server::Identity identity,
        std::unique_ptr<net::Listener> l)
      : listener(std::move(l)),
        host(parts, options, std::move(identity)),
        admission({options.clients, options.strangers}),
        emptied(parts.loop.executor()) {}

  asio::awaitable<void> accept();
  asio::awaitable<void> receive(std::unique_ptr<net::TcpStream> stream, Admission::Ticket ticket);
  asio::awaitable<void> tell_apart(std::unique_ptr<net::TcpStream> stream, Admission::Ticket& ticket);
  asio::awaitable<void> receive_guest(std::unique_ptr<net::TcpStream> stream, const magick::Greeter* greeter,
                                      Admission::Ticket& ticket, Clock::time_point deadline);
  net::Task<void> close(Clock::time_point until);
  net::Task<Server::Use> use() const;
  net::Task<std::vector<server::LeftOver>> left_over() const { co_return host.catalog.left_over(); }

  // Where ImageMagick's clients may come from. Others are not even greeted: some greetings are worth a key.
  bool welcome(const std::string& peer) const {
    const auto& from = host.options.guests_from;
    const std::string address = server::address_of(peer);
    return from.empty() || std::ranges::any_of(from, [&](const net::Network& n) { return n.holds(address); });
  }
  void say(Level level, const std::string& text) { host.parts.log.line(level, text); }

  std::unique_ptr<net::Listener> listener;
  NativeHost host;
  Admission admission;
  server::Signal emptied;  // a connection has ended
  std::mutex draining;
  bool drained = false;  // guarded by draining
};

asio::awaitable<void> Server::State::accept() {
  while (true) {
    auto stream = co_await listener->accept();
    if (!stream) {
      if (stream.error().code != Errc::cancelled)
        say(Level::error, fmt::format("{}: no more connections: {}", listener->text(), stream.error().what));
      co_return;
    }
    net::TcpStream* raw = stream->get();
    const std::string peer = raw->peer();
    auto ticket = admission.arrive(server::address_of(peer), [raw] { raw->close(); });
    if (!ticket) {
      host.complaints.say(
          fmt::format("{}: refused: all {} places are taken (cache:clients)", peer, host.options.clients));
      raw->close();
      continue;
    }
    host.tasks.spawn(receive(std::move(*stream), std::move(ticket)));
  }
}

asio::awaitable<void> Server::State::receive(std::unique_ptr<net::TcpStream> stream,
                                             Admission::Ticket ticket) {
  {
    Admission::Ticket place = std::move(ticket);  // given up before anybody is told
    auto telling = tell_apart(std::move(stream), place);
    co_await std::move(telling);
  }
  emptied.notify();
}

// Speaks first where ImageMagick's clients expect it, and judges by the first byte of the answer.
asio::awaitable<void> Server::State::tell_apart(std::unique_ptr<net::TcpStream> stream,
                                                Admission::Ticket& ticket) {
  const auto arrived = Clock::now();
  const auto patience = std::min(host.options.silence, host.options.handshake);
  const auto soon = arrived + patience;
  const std::string peer = stream->peer();
  std::optional<magick::Greeter> greeter;
  if (host.options.greeting && welcome(peer)) {
    auto made = magick::Greeter::make(*host.options.greeting, host.options.secret, draw);
    if (!made) {
      say(Level::error, fmt::format("{}: no greeting: {}", peer, made.error().what));
      co_return;
    }
    greeter = std::move(*made);
    const std::array<net::Bytes, 1> greeting{greeter->greeting()};
    const std::span<const net::Bytes> parts(greeting);
    auto greeted = co_await stream->write(parts, soon);
    if (!greeted) co_return;
  }
  auto first = co_await stream->peek(soon);
  if (!first) {
    if (first.error().code == Errc::timeout)
      host.complaints.say(
          fmt::format("{}: closed: it said nothing for {} ms; `smalti -probe-client PROGRAM' tells which "
                      "port an ImageMagick client needs",
                      peer, patience.count()));
    else
      say(Level::debug, fmt::format("{}: gone before it spoke: {}", peer, first.error().what));
    co_return;
  }
  if (*first == net::tls_record) {
    const auto deadline = arrived + host.options.handshake;
    auto serving = server::serve_native(host, std::move(stream), ticket, deadline);
    co_await std::move(serving);
  } else {
    auto serving = receive_guest(std::move(stream), greeter ? &*greeter : nullptr, ticket, soon);
    co_await std::move(serving);
  }
}

asio::awaitable<void> Server::State::receive_guest(std::unique_ptr<net::TcpStream> stream,
                                                   const magick::Greeter* greeter, Admission::Ticket& ticket,
                                                   Clock::time_point deadline) {
  const std::string peer = stream->peer();
  std::string no;
  if (!welcome(peer))
    no =
        "it comes from outside the networks that may send such clients: see cache:allow and cache:encryption";
  else if (!greeter)
    no = "this port serves Smalti's own clients only (cache:magick=none)";
  else if (!host.parts.guests)
    no = "this server does not serve ImageMagick's own clients; use smalti in the place of magick";
  if (!no.empty()) {
    host.complaints.say(
        fmt::format("{}: closed: a client that does not speak Smalti's protocol (one of ImageMagick's "
                    "own, most likely): {}",
                    peer, no));
    co_return;
  }
  Guest guest(std::move(stream), *greeter, deadline, [&ticket](std::function<void()> hang_up) {
    ticket.replace(std::move(hang_up));
    return ticket.admit();
  });
  auto serving = host.parts.guests(std::move(guest));
  co_await std::move(serving);
}

net::Task<void> Server::State::close(Clock::time_point until) {
  listener->close();
  while (admission.connections() > 0 && Clock::now() < until) co_await emptied.wait(until);
  host.leases.close();
  admission.hang_up_all();
  co_return Result<void>();
}

net::Task<Server::Use> Server::State::use() const {
  Server::Use out;
  out.connections = admission.connections();
  out.strangers = admission.strangers();
  out.evicted = admission.evicted();
  out.sessions = host.leases.sessions();
  out.images = host.leases.images();
  out.in_flight_bytes = host.in_flight.used();
  out.shared_bytes = host.shared.used();
  co_return out;
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}
Server::~Server() { drain({}); }

Result<std::unique_ptr<Server>> Server::listen(ServerParts parts, ServerOptions options) {
  if (options.secret.empty())
    return fail(
        Errc::invalid,
        "a server needs a shared secret: set the policy `cache:shared-secret' in policy.xml, on every host");
  if (options.greeting) {
    // Fails now rather than at each connection.
    SMALTI_CHECK(magick::Greeter::make(*options.greeting, options.secret, draw));
  }
  SMALTI_TRY(auto listener, net::Listener::open(parts.loop, {options.address, options.port, 512}));
  auto identity = server::Identity::claim(options.state, listener->port(), parts.log);
  auto state = std::make_unique<State>(parts, options, std::move(identity), std::move(listener));
  SMALTI_CHECK(state->host.psk.key());  // derived before the first client waits for it
  server::restore_names(state->host);
  state->host.tasks.spawn(state->accept());
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

std::uint16_t Server::port() const { return state_->listener->port(); }
std::string Server::where() const { return state_->listener->text(); }
std::string Server::id() const { return ImageId{state_->host.identity.id()}.text(); }

void Server::drain(Clock::duration grace) {
  const std::lock_guard lock(state_->draining);
  if (std::exchange(state_->drained, true)) return;
  const auto closed = state_->host.parts.loop.run(state_->close(Clock::now() + grace));
  if (!closed) state_->say(Level::error, closed.error().what);
  state_->host.tasks.wait();
}

Server::Use Server::use() const {
  const auto told = state_->host.parts.loop.run(state_->use());
  return told ? *told : Use{};
}

std::vector<server::LeftOver> Server::left_over() const {
  auto told = state_->host.parts.loop.run(state_->left_over());
  return told ? std::move(*told) : std::vector<server::LeftOver>{};
}

}  // namespace smalti
