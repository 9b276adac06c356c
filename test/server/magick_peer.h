// MagickPeer: one of ImageMagick's clients by hand, honest or not, over a plain socket; and a server for it.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "server/magick_door.h"
#include "test/server/talker.h"
#include "wire/magick_frame.h"

namespace smalti::test {

namespace magick = wire::magick;

// A server that serves ImageMagick's clients, over a memory store.
struct MagickServed {
  explicit MagickServed(std::string_view dialect = "n16", ServerOptions options = {}, MagickOptions door_options = {},
                        Limits limits = no_limits());
  std::uint16_t port() const { return server->port(); }

  Lines lines;
  Ledger ledger;
  TileHeap heap;
  std::shared_ptr<TileStore> store;
  Pool waiters{4};
  Pool ahead{1};
  net::Loop loop;
  MagickDoor door;
  magick::Dialect dialect;
  std::unique_ptr<Server> server;
};

// Blocking, in the test's thread; every wait is bounded by a minute.
class MagickPeer {
 public:
  // `from`: the address of this host to come from.
  explicit MagickPeer(std::uint16_t port, const char* from = "127.0.0.1");
  ~MagickPeer();
  MagickPeer(MagickPeer&&) noexcept;

  // Hears the greeting and answers it.
  bool shake_hands(const magick::Dialect&, const Secret& = test_secret());
  void say(magick::Bytes);
  void say(const magick::Request& request) { say(magick::encode(request, key)); }
  // Exactly so many bytes; fewer where the server ended first.
  std::vector<std::byte> hear(std::size_t bytes);
  // What is left until the server ends.
  std::vector<std::byte> hear_out();
  // Whether the server has ended, or ends within so long. What it said is lost.
  bool hung_up(std::chrono::milliseconds within);
  void end_writing();
  void reset();  // closes with a TCP reset

  // `o` and its status.
  bool open(const magick::Open&);
  void write(magick::Region, magick::Bytes);
  std::vector<std::byte> read(const magick::Region&);

  magick::Key key{};

 private:
  int fd_ = -1;
};

// ImageMagick 7's `o` for a direct-class sRGB image.
magick::Open image_of(std::uint64_t columns, std::uint64_t rows, std::uint64_t channels = 3, std::uint64_t meta = 0);
// Bytes that a mix-up of places would change.
std::vector<std::byte> noise(std::size_t size, std::uint32_t seed = 1);
// A new client connects, stores a picture and reads it back.
void expect_honest_clients_are_served(const MagickServed&);

}  // namespace smalti::test
