#include "net/listener.h"

#include <fmt/format.h>

#include <asio/ip/v6_only.hpp>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <chrono>

#include "net/loop.h"
#include "net/tcp_socket.h"

namespace smalti::net {

namespace {

using asio::ip::tcp;
constexpr std::chrono::milliseconds out_of_descriptors_pause{50};

Result<void> bind(tcp::acceptor& acceptor, const tcp::endpoint& endpoint, int backlog, bool both) {
  const auto failed = [&](const asio::error_code& error) {
    return fail(Errc::io, fmt::format("cannot listen on {}", text_of(endpoint)), error.value());
  };
  asio::error_code error;
  if (acceptor.open(endpoint.protocol(), error); error) return failed(error);
  acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (both) acceptor.set_option(asio::ip::v6_only(false), error);
  if (acceptor.bind(endpoint, error); error) return failed(error);
  if (acceptor.listen(backlog, error); error) return failed(error);
  acceptor.non_blocking(true, error);
  return {};
}

}  // namespace

struct Listener::State {
  explicit State(const asio::any_io_executor& executor) : acceptor(executor) {}
  tcp::acceptor acceptor;
  tcp::endpoint local;
  bool closed = false;
};

Listener::Listener(std::unique_ptr<State> state) : state_(std::move(state)) {}
Listener::~Listener() = default;

Result<std::unique_ptr<Listener>> Listener::open(Loop& loop, const ListenOptions& options) {
  auto state = std::make_unique<State>(loop.executor());
  asio::error_code error;
  if (options.address.empty()) {
    auto bound = bind(state->acceptor, {tcp::v6(), options.port}, options.backlog, true);
    if (!bound && (bound.error().sys == EAFNOSUPPORT || bound.error().sys == EADDRNOTAVAIL)) {
      state->acceptor.close(error);  // a host without IPv6
      bound = bind(state->acceptor, {tcp::v4(), options.port}, options.backlog, false);
    }
    SMALTI_CHECK(std::move(bound));
  } else {
    const auto address = asio::ip::make_address(options.address, error);
    if (error)
      return fail(Errc::invalid, fmt::format("cannot listen on `{}': it is not an IPv4 or IPv6 address",
                                             options.address));
    SMALTI_CHECK(bind(state->acceptor, {address, options.port}, options.backlog, false));
  }
  state->local = state->acceptor.local_endpoint(error);
  return std::unique_ptr<Listener>(new Listener(std::move(state)));
}

Task<std::unique_ptr<TcpStream>> Listener::accept() {
  while (true) {
    if (state_->closed) co_return fail(Errc::cancelled, "the port was closed");
    tcp::socket socket(state_->acceptor.get_executor());
    asio::error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await state_->acceptor.async_accept(socket, token);
    if (!error) co_return stream_over(std::move(socket));
    if (state_->closed || error == asio::error::operation_aborted) continue;
    const int sys = error.value();
    if (sys == EMFILE || sys == ENFILE || sys == ENOBUFS || sys == ENOMEM) {
      const auto soon = Clock::now() + out_of_descriptors_pause;
      co_await pause_until(soon);
    } else if (sys == EBADF || sys == EINVAL || sys == ENOTSOCK || sys == EOPNOTSUPP) {
      co_return fail(Errc::io, fmt::format("cannot accept on {}", text()), sys);
    }  // else it was that one peer's trouble
  }
}

void Listener::close() noexcept {
  if (state_->closed) return;
  state_->closed = true;
  asio::error_code ignored;
  state_->acceptor.close(ignored);
}

std::uint16_t Listener::port() const noexcept { return state_->local.port(); }
std::string Listener::text() const { return text_of(state_->local); }

}  // namespace smalti::net
