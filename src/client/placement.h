// Where a tile belongs: computed from its key and the servers' identities, so that nobody has to be asked.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "smalti/tile/grid.h"
#include "smalti/tile/tile.h"
#include "wire/native.h"

namespace smalti::client {

// Neighbouring tiles stay together, so that the surroundings of a rectangle mostly come from one server: with
// squares of 5 a side four of five neighbours do.
inline constexpr std::uint32_t super_tile_side = 5;  // tiles, at most

inline constexpr std::uint32_t most_servers = 4096;

// Servers are known by their persistent ids: the order in which they were listed, and under which names, does
// not matter. A server that joins or leaves moves only the tiles that it gets or had. Pure; a value.
class Rendezvous {
 public:
  Rendezvous() = default;
  explicit Rendezvous(std::span<const wire::native::Id> servers);

  // The same servers, for one image: no server gets more than its even share, a slack (sqrt(servers) / 256 of
  // it) and one super-tile. What would go beyond goes to the next in order that has room, and super-tiles of
  // small images are smaller. It follows from image, grid and servers alone, so whoever knows these finds the
  // tiles. 2 bytes a super-tile.
  Rendezvous evened(const ImageId&, const Grid&) const;

  // The index of the server that a tile belongs to. REQUIRES: servers; and after evened() the keys of that
  // image.
  std::uint32_t home(const TileKey&) const noexcept;
  // All of them, in the order in which they should be asked to take it: its home, the rest by rank, so that
  // the loss of a server moves its own tiles and no others.
  std::vector<std::uint32_t> order(const TileKey&) const;

 private:
  std::uint64_t spot(const TileKey&) const noexcept;
  std::uint32_t ranked_first(std::uint64_t spot, const std::vector<bool>* full) const noexcept;

  std::vector<std::uint64_t> seeds_;  // one a server
  std::uint32_t side_ = super_tile_side;
  std::uint32_t across_ = 0;          // super-tiles in a row of homes_
  std::vector<std::uint16_t> homes_;  // of an image's super-tiles, row by row; empty: by rank alone
};

// Whole images: the server whose turn it is, then the others behind it.
std::vector<std::uint32_t> ring_order(std::uint32_t first, std::uint32_t servers);

}  // namespace smalti::client
