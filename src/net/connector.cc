#include "net/connector.h"

#include <fmt/format.h>

#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <vector>

#include "net/loop.h"
#include "net/tcp_socket.h"

namespace smalti::net {

namespace {

using asio::ip::tcp;
using Endpoints = std::vector<tcp::endpoint>;

// What a background operation and the coroutine that waits for it share. The operation may outlive the wait:
// getaddrinfo cannot be interrupted.
struct Lookup {
  explicit Lookup(const asio::any_io_executor& executor) : resolver(executor), done(executor) {}
  tcp::resolver resolver;
  asio::steady_timer done;
  bool finished = false;
  asio::error_code error;
  Endpoints found;
};

tl::unexpected<Error> stopped(const HostPort& host) {
  return fail(Errc::cancelled, fmt::format("{}: connecting was cancelled", host.text()));
}

Task<Endpoints> resolve(HostPort host, Clock::time_point deadline, std::stop_token stop) {
  asio::error_code error;
  const auto address = asio::ip::make_address(host.host, error);
  if (!error) co_return Endpoints{tcp::endpoint(address, host.port)};

  auto executor = co_await asio::this_coro::executor;
  auto lookup = std::make_shared<Lookup>(executor);
  lookup->done.expires_at(deadline);
  const std::string port = std::to_string(host.port);
  lookup->resolver.async_resolve(host.host, port, [lookup](const asio::error_code& failed, const auto& results) {
    lookup->finished = true;
    lookup->error = failed;
    for (const auto& entry : results) lookup->found.push_back(entry.endpoint());
    lookup->done.cancel();
  });
  const auto give_up = [lookup] { lookup->done.cancel(); };
  const std::stop_callback when_stopped(stop, give_up);
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await lookup->done.async_wait(token);
  if (stop.stop_requested()) co_return stopped(host);
  if (!lookup->finished)
    co_return fail(Errc::timeout, fmt::format("{}: the name did not resolve in time", host.text()));
  if (lookup->error)
    co_return fail(Errc::unavailable, fmt::format("{}: no such host ({})", host.text(), lookup->error.message()));
  co_return std::move(lookup->found);
}

tl::unexpected<Error> refused(const HostPort& host, const asio::error_code& error) {
  if (error == asio::error::connection_refused)
    return fail(Errc::unavailable, fmt::format("{}: connection refused; is `smalti -distribute-cache {}' running there?",
                                               host.text(), host.port));
  Error plain = fail(Errc::unavailable, host.text(), error.value()).value();
  return pass(std::move(plain));
}

Task<std::unique_ptr<TcpStream>> connect_one(HostPort host, tcp::endpoint endpoint, Clock::time_point deadline,
                                             std::stop_token stop) {
  auto executor = co_await asio::this_coro::executor;
  tcp::socket socket(executor);
  asio::steady_timer timer(executor, deadline);
  auto timed_out = std::make_shared<bool>(false);
  timer.async_wait([timed_out, &socket](const asio::error_code& not_due) {
    if (not_due || *timed_out) return;  // or the coroutine is past the socket's life
    *timed_out = true;
    asio::error_code ignored;
    socket.cancel(ignored);
  });
  const auto give_up = [&socket] {
    asio::error_code ignored;
    socket.cancel(ignored);
  };
  const std::stop_callback when_stopped(stop, give_up);
  asio::error_code error;
  auto token = asio::redirect_error(asio::use_awaitable, error);
  co_await socket.async_connect(endpoint, token);
  const bool late = *timed_out;
  *timed_out = true;
  timer.cancel();
  if (stop.stop_requested()) co_return stopped(host);
  if (late && error)
    co_return fail(Errc::timeout, fmt::format("{}: no answer; is the host up, and `smalti -distribute-cache {}' "
                                              "running there?", host.text(), host.port));
  if (error) co_return refused(host, error);
  co_return stream_over(std::move(socket));
}

}  // namespace

Task<std::unique_ptr<TcpStream>> connect(HostPort host, Clock::time_point deadline, std::stop_token stop) {
  auto endpoints = co_await resolve(host, deadline, stop);
  if (!endpoints) co_return pass(std::move(endpoints.error()));
  Error last{Errc::unavailable, fmt::format("{}: the name has no address", host.text())};
  for (std::size_t i = 0; i < endpoints->size(); ++i) {
    const auto now = Clock::now();
    const auto left = deadline == Clock::time_point::max() ? Clock::duration(std::chrono::minutes(1)) : deadline - now;
    const auto share = now + left / static_cast<int>(endpoints->size() - i);
    auto stream = co_await connect_one(host, (*endpoints)[i], share, stop);
    if (stream) co_return std::move(*stream);
    last = std::move(stream.error());
    if (last.code == Errc::cancelled) break;
  }
  co_return pass(std::move(last));
}

}  // namespace smalti::net
