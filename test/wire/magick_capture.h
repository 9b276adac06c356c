// Recorded sessions between ImageMagick's own clients and servers (captures/README.md says which).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace smalti::wire::magick::test {

// What travelled over one connection.
struct Recorded {
  std::vector<std::byte> from_client;
  std::vector<std::byte> from_server;
  std::vector<std::size_t> segments;  // of what came from the client
};

// By connection. Fails the test (and returns nothing) where the file is not readable.
std::map<int, Recorded> load_capture(const std::string& name);

}  // namespace smalti::wire::magick::test
