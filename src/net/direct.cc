#include "net/direct.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "net/tcp.h"

namespace smalti::net {

namespace {

constexpr std::int64_t longest_spin_ns = 100'000;
constexpr std::int64_t look_every_ns = 2'000'000;
constexpr int looks_a_clock = 16;  // receives tried between two looks at the clock

std::int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

void set(int fd, int level, int option, int value) noexcept {
  ::setsockopt(fd, level, option, &value, sizeof value);
}

// "0.20 0.18 0.12 1/80 11206": how many threads of this machine run or would run now; 0 where that cannot be
// known.
unsigned runnable() noexcept {
  const int fd = ::open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  std::array<char, 128> text;
  const ssize_t got = ::read(fd, text.data(), text.size());
  ::close(fd);
  const std::string_view line(text.data(), got > 0 ? static_cast<std::size_t>(got) : 0);
  const auto slash = line.find('/');
  if (slash == std::string_view::npos) return 0;
  const auto start = line.rfind(' ', slash) + 1;
  unsigned count = 0;
  std::from_chars(line.data() + start, line.data() + slash, count);
  return count;
}

unsigned usable_cores() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<unsigned>(CPU_COUNT(&set)) : 1;
}

}  // namespace

IdleCores::IdleCores(unsigned most) : most_(most), cores_(usable_cores()) {}

unsigned IdleCores::spare() { return usable_cores() - 1; }

// Those who spin are runnable themselves and do not count against each other.
bool IdleCores::somebody_else_wants_them() noexcept {
  const std::int64_t now = now_ns();
  std::int64_t last = looked_ns_.load(std::memory_order_relaxed);
  if (now - last < look_every_ns) return busy_.load(std::memory_order_relaxed);
  if (!looked_ns_.compare_exchange_strong(last, now, std::memory_order_relaxed))
    return busy_.load(std::memory_order_relaxed);
  const unsigned running = runnable();
  // Whoever keeps a core warm takes it from nobody, so there it counts who else runs at all; but the peer
  // that one shares a core with may by chance be seen running.
  const unsigned ours = 1 + (warm_.keeps() ? 1 : 0);
  const bool crowd = running > (warm_.may_keep() ? ours : cores_);
  const unsigned crowded = crowd ? crowded_.load(std::memory_order_relaxed) + 1 : 0;
  crowded_.store(crowded, std::memory_order_relaxed);
  const bool busy = running == 0 || crowded > (warm_.may_keep() ? 1u : 0u);
  busy_.store(busy, std::memory_order_relaxed);
  return busy;
}

bool IdleCores::idle() noexcept { return most_ != 0 && !somebody_else_wants_them(); }

bool IdleCores::enter() noexcept {
  if (most_ == 0) return false;
  if (spinning_.fetch_add(1, std::memory_order_relaxed) >= most_ || somebody_else_wants_them()) {
    leave();
    return false;
  }
  return true;
}

std::unique_ptr<DirectSocket> DirectSocket::over(TcpStream& stream, std::chrono::milliseconds tick) {
  std::string peer = stream.peer();
  const bool local = stream.from_loopback();
  const int fd = stream.release();
  if (fd < 0) return nullptr;
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK);
  const timeval every{tick.count() / 1000, tick.count() % 1000 * 1000};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &every, sizeof every);
  ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &every, sizeof every);
  set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  set(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  return std::unique_ptr<DirectSocket>(new DirectSocket(fd, std::move(peer), local));
}

DirectSocket::~DirectSocket() { ::close(fd_); }

// True where it brought bytes (or an end, or an error). The longest look follows from how soon this peer
// lately spoke; a peer that is mostly slower than that is looked for ever more rarely.
bool DirectSocket::spin_for_bytes(std::span<std::byte> into, IdleCores& cores, std::ptrdiff_t& got) noexcept {
  const std::uint32_t skip = std::min(fruitless_, 6u);
  if (fruitless_ > 2 && (fruitless_ & ((1u << skip) - 1)) != 0) {
    ++fruitless_;
    return false;
  }
  if (!cores.enter()) return false;
  const std::int64_t start = now_ns();
  const std::int64_t until = start + std::clamp<std::int64_t>(4 * gap_ns_, 20'000, longest_spin_ns);
  bool found = false;
  do {
    for (int look = 0; look < looks_a_clock && !found; ++look) {
      got = ::recv(fd_, into.data(), into.size(), MSG_DONTWAIT);
      found = got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    }
  } while (!found && now_ns() < until);
  cores.leave();
  if (found) {
    gap_ns_ += (now_ns() - start - gap_ns_) / 8;
    fruitless_ = 0;
  } else {
    ++fruitless_;
  }
  return found;
}

// Where both cores of a small machine are ours, one is kept from idling and the other shared with the peer.
// Where more are idle, the system would take the peer to one of them: then we look out on another. Where none
// is, it stays with us.
void DirectSocket::choose_core(IdleCores* spin) noexcept {
  const int core = core_.of_peer(fd_);
  if (core < 0) return;
  const bool idle = spin != nullptr && spin->idle();
  if (!idle || spin->hold_peers_on(core))
    core_.follow(core);
  else
    core_.release();
}

Result<std::size_t> DirectSocket::receive(std::span<std::byte> into, Clock::time_point deadline,
                                          IdleCores* spin) {
  const bool bounded = deadline != Clock::time_point::max();
  while (true) {
    if (bounded && Clock::now() >= deadline)
      return fail(Errc::timeout, fmt::format("{}: the rest of a message did not come in time", peer_));
    if (unanswered_)
      set(fd_, IPPROTO_TCP, TCP_QUICKACK, 1);  // sends what acknowledgement is due, and goes on so
    std::ptrdiff_t got = 0;
    const bool look_out = spin != nullptr && !core_.shared();
    if (!look_out || !spin_for_bytes(into, *spin, got)) got = ::recv(fd_, into.data(), into.size(), 0);
    if (got >= 0) {
      unanswered_ = true;
      if (core_.due()) choose_core(spin);
      return static_cast<std::size_t>(got);
    }
    if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return connection_error(peer_, errno);
  }
}

Result<void> DirectSocket::send(std::span<const std::byte> bytes, Clock::time_point deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
      unanswered_ = false;
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
      return connection_error(peer_, errno);
    }
    if (!bytes.empty() && Clock::now() >= deadline)
      return fail(Errc::timeout, fmt::format("{}: it does not take what it asked for", peer_));
  }
  return {};
}

void DirectSocket::part(std::chrono::milliseconds patience) {
  ::shutdown(fd_, SHUT_WR);
  const auto until = Clock::now() + patience;
  std::array<std::byte, 16384> unwanted;
  while (Clock::now() < until) {
    const timeval rest{0, 50'000};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &rest, sizeof rest);
    const ssize_t got = ::recv(fd_, unwanted.data(), unwanted.size(), 0);
    if (got == 0) return;
    if (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) return;
  }
}

void DirectSocket::shut_reading() noexcept { ::shutdown(fd_, SHUT_RD); }
void DirectSocket::shut() noexcept { ::shutdown(fd_, SHUT_RDWR); }

}  // namespace smalti::net
