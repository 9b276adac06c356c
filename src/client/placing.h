// Placing: where an image's tiles are, as data that outlives the client that put them: for the record of a named image.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "net/host_port.h"
#include "wire/native.h"

namespace smalti::client {

// A value. A tile is on the first `replicas` servers of its order: the ring from `first`, or the rendezvous of the
// servers, which also depends on the image's id and geometry. Exceptions say what is elsewhere.
struct Placing {
  struct Server {
    wire::native::Id id{};
    HostPort address;  // where it was last met; it may have moved since, its id has not
    bool operator==(const Server&) const = default;
  };
  // Tiles one after another in the grid's order, and who has them: indices in `servers`, best first; none: never put.
  struct Run {
    std::uint64_t first = 0, tiles = 0;
    std::vector<std::uint32_t> holders;
    bool operator==(const Run&) const = default;
  };

  std::vector<Server> servers;
  std::uint32_t ruled = 0;             // so many of them, from the front, the rule is about; the rest have exceptions only
  std::optional<std::uint32_t> first;  // whole images; none: sharded
  std::uint32_t replicas = 1;
  std::vector<Run> exceptions;  // ascending, none overlapping

  bool operator==(const Placing&) const = default;
};

}  // namespace smalti::client
