// The client's side of ImageMagick's handshakes against any server, theirs or ours:
//   magick_peer DIALECT SECRET PORT
// stores a picture row by row and pixel by pixel, reads it back, and prints what it heard as hex, so that two
// servers can be compared. Exit 0 where all bytes came back.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "wire/magick_dialect.h"
#include "wire/magick_frame.h"

namespace {

using namespace smalti::wire::magick;
using smalti::Secret;

[[noreturn]] void give_up(const std::string& why) {
  std::fprintf(stderr, "magick_peer: %s\n", why.c_str());
  std::exit(1);
}

class Peer {
 public:
  explicit Peer(int port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    const int on = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const timeval minute{60, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof minute);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) give_up("nobody listens");
  }
  ~Peer() { ::close(fd_); }

  void say(Bytes bytes) {
    if (::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(bytes.size()))
      give_up("the server does not listen");
  }
  std::vector<std::byte> hear(std::size_t size) {
    std::vector<std::byte> bytes(size);
    const ssize_t got = ::recv(fd_, bytes.data(), size, MSG_WAITALL);
    bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return bytes;
  }

 private:
  int fd_;
};

void print(const char* what, Bytes bytes) {
  std::printf("%s ", what);
  for (const std::byte byte : bytes) std::printf("%02x", std::to_integer<unsigned>(byte));
  std::printf("\n");
}

constexpr std::uint64_t width = 24, height = 18;

Open picture(Family family) {
  if (family == Family::im6)
    return {.family = family, .storage_class = 1, .colorspace = 13, .columns = width, .rows = height};
  Open open{.family = family,
            .storage_class = 1,
            .colorspace = 23,
            .columns = width,
            .rows = height,
            .channels = 3};
  for (std::uint32_t i = 0; i < 3; ++i) open.map[i] = {i, 2, i};
  return open;
}

std::vector<std::byte> store(Peer& peer, const Key& key, std::uint64_t pixel) {
  std::vector<std::byte> pixels(width * height * pixel);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::byte>(i * 7 + i / 251);
  for (std::uint64_t y = 0; y < height; ++y) {
    const auto row = Bytes(pixels).subspan(y * width * pixel, width * pixel);
    peer.say(encode(Region{Command::write, width, 1, 0, static_cast<std::int64_t>(y), row.size()}, key));
    peer.say(row);
  }
  for (std::uint64_t x = 0; x < width; ++x) {
    const auto one = Bytes(pixels).subspan((5 * width + x) * pixel, pixel);
    peer.say(encode(Region{Command::write, 1, 1, static_cast<std::int64_t>(x), 5, pixel}, key));
    peer.say(one);
  }
  return pixels;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) give_up("usage: magick_peer DIALECT SECRET PORT");
  const auto dialect = parse_dialect(argv[1]);
  if (!dialect) give_up(dialect.error().what);
  Peer peer(std::atoi(argv[3]));
  const auto greeting = peer.hear(dialect->greeting_bytes());
  if (greeting.size() != dialect->greeting_bytes()) give_up("no greeting");
  const auto reply = answer_greeting(*dialect, Secret(argv[2]), greeting);
  if (!reply) give_up(reply.error().what);
  if (!reply->bytes.empty()) peer.say(reply->bytes);
  peer.say(encode(picture(dialect->family()), reply->key));
  print("open", peer.hear(status_bytes));

  const std::uint64_t sample = dialect->build.hdri ? 4 : 2;
  const std::uint64_t pixel = (dialect->family() == Family::im6 ? 4 : 3) * sample;
  const auto pixels = store(peer, reply->key, pixel);
  peer.say(encode(Region{Command::read, width, height, 0, 0, pixels.size()}, reply->key));
  const auto whole = peer.hear(pixels.size());
  print("whole", whole);
  peer.say(encode(Region{Command::read, 5, 1, 3, 7, 5 * pixel}, reply->key));
  print("part", peer.hear(5 * pixel));
  peer.say(
      encode(Region{Command::read, 2, 1, 0, 0, 0}, reply->key));  // nothing is asked for, and nothing comes
  peer.say(encode(Region{Command::read, 1, 1, 23, 17, pixel}, reply->key));
  print("last", peer.hear(pixel));
  peer.say(encode(Destroy{}, reply->key));
  print("destroy", peer.hear(status_bytes));
  print("end", peer.hear(1));
  return whole == pixels ? 0 : 1;
}
