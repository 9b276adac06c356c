#include "net/tcp.h"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <asio/buffer.hpp>
#include <asio/dispatch.hpp>
#include <asio/error.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <cerrno>
#include <optional>
#include <utility>

#include "net/loop.h"
#include "net/tcp_socket.h"

namespace smalti::net {

namespace {

using asio::ip::tcp;

constexpr std::size_t parts_a_call = 64;          // gathered in one system call
constexpr std::size_t turn_bytes = 1u << 20;      // moved without waiting before others get their turn
constexpr std::size_t worth_one_read = 16u << 10;  // below it a read is of whatever is there
constexpr std::size_t wake_for = 64u << 10;        // bytes that are waited for at a time
constexpr auto never = Clock::time_point::max();

// One direction. The timer is set lazily: while it is set for no later than the deadline it is left alone, and its
// handler looks whether anything is due. So a deadline on each of a million reads costs next to nothing.
struct Side {
  Side(const asio::any_io_executor& executor, tcp::socket::wait_type what) : timer(executor), type(what) {}
  asio::steady_timer timer;
  const tcp::socket::wait_type type;
  Clock::time_point deadline = never;  // of the wait in progress
  bool armed = false;
  bool expired = false;
};

asio::ip::address plain_address(const asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
  return address;
}

// Within one host nothing is congested, yet a system that paces what it sends (BBR) waits for a timer with each tile.
// Reno is always there, and allowed; where it is not, the system's choice stays.
void never_pace(int fd) noexcept {
  constexpr std::string_view reno = "reno";
  ::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, reno.data(), reno.size());
}

}  // namespace

std::string text_of(const tcp::endpoint& endpoint) {
  const asio::ip::address address = plain_address(endpoint.address());
  return address.is_v6() ? fmt::format("[{}]:{}", address.to_string(), endpoint.port())
                         : fmt::format("{}:{}", address.to_string(), endpoint.port());
}

tl::unexpected<Error> connection_error(std::string_view peer, int sys) {
  switch (sys) {
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case ETIMEDOUT:
    case ENETUNREACH:
    case EHOSTUNREACH:
      return fail(Errc::unavailable, fmt::format("{}: the connection is lost", peer), sys);
    default:
      return fail(Errc::io, fmt::format("{}: the connection failed", peer), sys);
  }
}

struct TcpStream::State : std::enable_shared_from_this<State> {
  explicit State(tcp::socket connected)
      : socket(std::move(connected)),
        in(socket.get_executor(), tcp::socket::wait_read),
        out(socket.get_executor(), tcp::socket::wait_write) {
    asio::error_code ignored;
    const tcp::endpoint remote = socket.remote_endpoint(ignored);
    peer = text_of(remote);
    const auto here = plain_address(socket.local_endpoint(ignored).address());
    loopback = plain_address(remote.address()).is_loopback();
    socket.non_blocking(true, ignored);
    socket.set_option(tcp::no_delay(true), ignored);
    fd = socket.native_handle();
    one_host = here == plain_address(remote.address());
    if (one_host) never_pace(fd);
  }

  void arm(Side& side) {
    if (side.deadline == never || (side.armed && side.timer.expiry() <= side.deadline)) return;
    side.timer.expires_at(side.deadline);
    side.armed = true;
    side.timer.async_wait([self = shared_from_this(), &side](const asio::error_code& error) {
      if (error) return;  // set anew, or closed
      side.armed = false;
      if (side.deadline == never) return;
      if (side.deadline > Clock::now()) return self->arm(side);
      side.expired = true;
      asio::error_code ignored;
      self->socket.cancel(ignored);  // wakes the other side too, which then waits on
    });
  }

  void close() noexcept {
    if (closed) return;
    closed = true;
    asio::error_code ignored;
    socket.close(ignored);
    in.timer.cancel();
    out.timer.cancel();
  }

  tl::unexpected<Error> closed_error() const {
    return fail(Errc::cancelled, fmt::format("{}: the connection was closed", peer));
  }

  tcp::socket socket;
  Side in;
  Side out;
  std::string peer;
  bool loopback = false;
  bool one_host = false;
  bool closed = false;
  int fd = -1;
  std::size_t streak = 0;   // bytes moved since somebody else could run
  std::size_t lowest = 1;   // bytes that make the socket readable
  bool drained = false;     // the last read took all that was there

  // How many bytes make the socket readable.
  void expect(std::size_t bytes) {
    const std::size_t wanted = bytes < worth_one_read ? 1 : std::min(bytes, wake_for);
    if (wanted == lowest || closed) return;
    const int value = static_cast<int>(wanted);
    ::setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &value, sizeof value);
    lowest = wanted;
  }

  void begin(Side& side, Clock::time_point until) {
    streak = 0;
    side.deadline = until;
    side.expired = false;
  }
  // What the end of a wait means; nothing: only the other side was cancelled, so it begins anew.
  std::optional<Result<void>> outcome(Side& side, const asio::error_code& error) const {
    if (closed) return closed_error();
    if (!side.expired && error == asio::error::operation_aborted) return std::nullopt;
    side.deadline = never;
    if (side.expired)
      return fail(Errc::timeout, fmt::format("{}: no {} in time", peer, &side == &in ? "answer" : "progress in sending"));
    if (error) return connection_error(peer, error.value());
    return Result<void>();
  }

  static Task<void> ready(std::shared_ptr<State> state, Side* side, Clock::time_point deadline);
  static Task<std::size_t> arrival(std::shared_ptr<State> state, std::span<std::byte> into, Clock::time_point deadline);
};

Task<void> TcpStream::State::ready(std::shared_ptr<State> state, Side* side, Clock::time_point deadline) {
  state->begin(*side, deadline);
  while (true) {
    if (state->closed) co_return state->closed_error();
    state->arm(*side);
    asio::error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    co_await state->socket.async_wait(side->type, token);
    if (auto over = state->outcome(*side, error)) co_return std::move(*over);
  }
}

// Where nothing is there, to leave the receiving to the loop is three system calls less than to ask it for readiness,
// which renews the socket's registration and is told at once that it may write.
Task<std::size_t> TcpStream::State::arrival(std::shared_ptr<State> state, std::span<std::byte> into,
                                            Clock::time_point deadline) {
  Side& side = state->in;
  state->begin(side, deadline);
  while (true) {
    if (state->closed) co_return state->closed_error();
    state->arm(side);
    asio::error_code error;
    auto token = asio::redirect_error(asio::use_awaitable, error);
    const auto space = asio::buffer(into.data(), into.size());
    const std::size_t got = co_await state->socket.async_receive(space, token);
    if (error == asio::error::eof) error = {};
    auto over = state->outcome(side, error);
    if (!over) continue;
    if (!*over) co_return pass(std::move(over->error()));
    co_return got;
  }
}

TcpStream::TcpStream(std::unique_ptr<Socket> socket) : state_(std::make_shared<State>(std::move(socket->socket))) {}

// From another thread the loop is asked: a timer's handler may be at work there.
TcpStream::~TcpStream() {
  asio::dispatch(state_->socket.get_executor(), [state = state_] { state->close(); });
}

std::unique_ptr<TcpStream> stream_over(tcp::socket socket) {
  return std::make_unique<TcpStream>(std::make_unique<TcpStream::Socket>(TcpStream::Socket{std::move(socket)}));
}

// Each wake-up costs about as much as copying 30 KiB, here and in the sender's kernel, which does the waking.
Task<void> TcpStream::readable(Clock::time_point deadline, std::size_t enough) {
  state_->expect(enough);
  return State::ready(state_, &state_->in, deadline);
}
Task<void> TcpStream::writable(Clock::time_point deadline) { return State::ready(state_, &state_->out, deadline); }

Task<std::size_t> TcpStream::read_some(std::span<std::byte> into, Clock::time_point deadline, std::size_t sure) {
  if (state_->closed) co_return state_->closed_error();
  ssize_t got = -1;
  errno = EAGAIN;  // nothing more is there where the last read took all there was
  if (!state_->drained) do got = ::recv(state_->fd, into.data(), into.size(), 0);
    while (got < 0 && errno == EINTR);
  if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK) co_return connection_error(state_->peer, errno);
  auto bytes = static_cast<std::size_t>(std::max<ssize_t>(got, 0));
  if (got < 0) {
    state_->expect(sure);
    auto arrived = co_await State::arrival(state_, into, deadline);
    if (!arrived) co_return pass(std::move(arrived.error()));
    bytes = *arrived;
  }
  state_->drained = bytes < into.size();
  if (owes_a_turn(bytes)) co_await yield();
  co_return bytes;
}

Task<std::byte> TcpStream::peek(Clock::time_point deadline) {
  while (true) {
    if (state_->closed) co_return state_->closed_error();
    std::byte first{};
    const ssize_t got = ::recv(state_->fd, &first, 1, MSG_PEEK);
    if (got == 1) co_return first;
    if (got == 0) co_return fail(Errc::unavailable, fmt::format("{}: the peer hung up", state_->peer));
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) co_return connection_error(state_->peer, errno);
    auto waited = co_await readable(deadline);
    if (!waited) co_return pass(std::move(waited.error()));
  }
}

namespace {

// Where a gathered write has got to.
struct Cursor {
  std::span<const Bytes> parts;
  std::size_t offset = 0;  // into the first part

  std::size_t gather(std::array<iovec, parts_a_call>& into) const noexcept {
    std::size_t count = 0;
    std::size_t skip = offset;
    for (const Bytes part : parts) {
      if (count == into.size()) break;
      if (part.size() > skip)
        into[count++] = {const_cast<std::byte*>(part.data()) + skip, part.size() - skip};  // only read from
      skip = 0;
    }
    return count;
  }

  void advance(std::size_t bytes) noexcept {
    offset += bytes;
    while (!parts.empty() && offset >= parts.front().size()) {
      offset -= parts.front().size();
      parts = parts.subspan(1);
    }
  }
};

}  // namespace

Task<void> TcpStream::write(std::span<const Bytes> parts, Clock::time_point deadline) {
  Cursor cursor{parts};
  cursor.advance(0);
  std::array<iovec, parts_a_call> gathered;
  while (!cursor.parts.empty()) {
    if (state_->closed) co_return state_->closed_error();
    msghdr message{};
    message.msg_iov = gathered.data();
    message.msg_iovlen = cursor.gather(gathered);
    const ssize_t sent = ::sendmsg(state_->fd, &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      cursor.advance(static_cast<std::size_t>(sent));
      if (owes_a_turn(static_cast<std::size_t>(sent))) co_await yield();
      continue;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) co_return connection_error(state_->peer, errno);
    auto waited = co_await writable(deadline);
    if (!waited) co_return pass(std::move(waited.error()));
  }
  co_return Result<void>();
}

bool TcpStream::owes_a_turn(std::size_t bytes) noexcept {
  state_->streak += bytes;
  if (state_->streak < turn_bytes) return false;
  state_->streak = 0;
  return true;
}

void TcpStream::close() noexcept { state_->close(); }

void TcpStream::end_writing() noexcept {
  if (!state_->closed) ::shutdown(state_->fd, SHUT_WR);
}

int TcpStream::release() noexcept {
  if (state_->closed) return -1;
  state_->closed = true;
  state_->in.timer.cancel();
  state_->out.timer.cancel();
  asio::error_code error;
  const int fd = state_->socket.release(error);
  return error ? -1 : fd;
}

std::string TcpStream::peer() const { return state_->peer; }
bool TcpStream::from_loopback() const noexcept { return state_->loopback; }
bool TcpStream::within_one_host() const noexcept { return state_->one_host; }
int TcpStream::descriptor() const noexcept { return state_->fd; }

}  // namespace smalti::net
