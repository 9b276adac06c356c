// Where a tile belongs: computed from its key and the servers' identities, so that nobody has to be asked.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "smalti/tile/tile.h"
#include "wire/native.h"

namespace smalti::client {

// Neighbouring tiles stay together, so that the surroundings of a rectangle mostly come from one server.
inline constexpr std::uint32_t super_tile_side = 4;  // tiles

inline constexpr std::uint32_t most_servers = 4096;

// Servers are known by their persistent ids: the order in which they were listed, and under which names, does not
// matter. A server that joins or leaves moves only the tiles that it gets or had. Pure; a value.
class Rendezvous {
 public:
  Rendezvous() = default;
  explicit Rendezvous(std::span<const wire::native::Id> servers);

  // The index of the server that a tile belongs to. REQUIRES: servers.
  std::uint32_t home(const TileKey&) const noexcept;
  // All of them, in the order in which they should be asked to take it.
  std::vector<std::uint32_t> order(const TileKey&) const;

 private:
  std::vector<std::uint64_t> seeds_;  // one a server
};

// Whole images: the server whose turn it is, then the others behind it.
std::vector<std::uint32_t> ring_order(std::uint32_t first, std::uint32_t servers);

}  // namespace smalti::client
