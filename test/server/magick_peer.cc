#include "test/server/magick_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace smalti::test {

MagickServed::MagickServed(std::string_view spoken, ServerOptions options, MagickOptions door_options, Limits limits)
    : ledger(limits),
      store(memory_store(ledger)),
      door({store, ledger, heap, ahead}, lines.log, door_options),
      dialect(magick::parse_dialect(spoken).value()) {
  options.address = "127.0.0.1";
  options.port = 0;
  options.secret = test_secret();
  options.greeting = dialect;
  auto listening = Server::listen({loop, store, ledger, heap, waiters, lines.log, door.handler()}, patient(options));
  EXPECT_TRUE(listening) << listening.error().what;
  if (listening) server = std::move(*listening);
}

MagickPeer::MagickPeer(std::uint16_t port, const char* from) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  const timeval minute{60, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute);
  ::setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &minute, sizeof minute);
  sockaddr_in here{};
  here.sin_family = AF_INET;
  EXPECT_EQ(::inet_pton(AF_INET, from, &here.sin_addr), 1);
  EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&here), sizeof here), 0);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
}

MagickPeer::~MagickPeer() {
  if (fd_ >= 0) ::close(fd_);
}

MagickPeer::MagickPeer(MagickPeer&& other) noexcept : key(other.key), fd_(std::exchange(other.fd_, -1)) {}

bool MagickPeer::shake_hands(const magick::Dialect& dialect, const Secret& secret) {
  const auto greeting = hear(dialect.greeting_bytes());
  if (greeting.size() != dialect.greeting_bytes()) return false;
  const auto reply = magick::answer_greeting(dialect, secret, greeting);
  if (!reply) return false;
  key = reply->key;
  say(reply->bytes);
  return true;
}

// A server that has hung up is no failure here: whoever listens will notice.
void MagickPeer::say(magick::Bytes bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
}

std::vector<std::byte> MagickPeer::hear(std::size_t bytes) {
  std::vector<std::byte> heard(bytes);
  std::size_t at = 0;
  while (at < bytes) {
    const ssize_t got = ::recv(fd_, heard.data() + at, bytes - at, 0);
    if (got <= 0) break;
    at += static_cast<std::size_t>(got);
  }
  heard.resize(at);
  return heard;
}

std::vector<std::byte> MagickPeer::hear_out() {
  std::vector<std::byte> all;
  while (true) {
    const auto some = hear(1);
    if (some.empty()) return all;
    all.push_back(some[0]);
  }
}

bool MagickPeer::hung_up(std::chrono::milliseconds within) {
  const auto until = std::chrono::steady_clock::now() + within;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd one{fd_, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&one, 1, static_cast<int>(left.count())) <= 0) return false;
    std::byte heard;
    if (::recv(fd_, &heard, 1, MSG_DONTWAIT) <= 0) return true;
  }
}

void MagickPeer::end_writing() { ::shutdown(fd_, SHUT_WR); }

void MagickPeer::reset() {
  const linger at_once{1, 0};
  ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  ::close(std::exchange(fd_, -1));
}

bool MagickPeer::open(const magick::Open& image) {
  say(image);
  const auto status = hear(magick::status_bytes);
  return status.size() == magick::status_bytes && status[0] == std::byte{1};
}

void MagickPeer::write(magick::Region region, magick::Bytes bytes) {
  region.length = bytes.size();
  say(region);
  say(bytes);
}

std::vector<std::byte> MagickPeer::read(const magick::Region& region) {
  say(region);
  return hear(region.length);
}

magick::Open image_of(std::uint64_t columns, std::uint64_t rows, std::uint64_t channels, std::uint64_t meta) {
  return {.family = magick::Family::im7, .storage_class = 1, .colorspace = 23, .columns = columns, .rows = rows,
          .channels = channels, .meta_bytes = meta};
}

std::vector<std::byte> noise(std::size_t size, std::uint32_t seed) {
  std::vector<std::byte> bytes(size);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::byte& byte : bytes) {
    state = state * 1664525u + 1013904223u;
    byte = static_cast<std::byte>(state >> 24);
  }
  return bytes;
}

void expect_honest_clients_are_served(const MagickServed& served) {
  MagickPeer peer(served.port());
  ASSERT_TRUE(peer.shake_hands(served.dialect)) << served.lines.all();
  const bool six = served.dialect.family() == magick::Family::im6;
  magick::Open image = image_of(50, 40);
  if (six) image = {.family = magick::Family::im6, .storage_class = 1, .colorspace = 13, .columns = 50, .rows = 40};
  ASSERT_TRUE(peer.open(image)) << served.lines.all();
  const std::size_t row = six ? 400 : 300;
  const auto bytes = noise(row * 40);
  for (std::int64_t y = 0; y < 40; ++y)
    peer.write({magick::Command::write, 50, 1, 0, y}, magick::Bytes(bytes).subspan(static_cast<std::size_t>(y) * row, row));
  EXPECT_EQ(peer.read({magick::Command::read, 50, 40, 0, 0, bytes.size()}), bytes) << served.lines.all();
  peer.say(magick::Destroy{});
  EXPECT_EQ(peer.hear_out().size(), magick::status_bytes);
}

}  // namespace smalti::test
