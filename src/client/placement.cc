#include "client/placement.h"

#include <xxhash.h>

#include <algorithm>
#include <numeric>

namespace smalti::client {

namespace {

// Equal for all tiles of one super-tile.
std::uint64_t spot(const TileKey& key) noexcept {
  struct {
    std::array<std::byte, 16> image;
    std::uint32_t level, col, row;
  } super{key.image.raw, key.level, key.col / super_tile_side, key.row / super_tile_side};
  static_assert(sizeof super == 28, "hashed as bytes: it must have no padding");
  return XXH3_64bits(&super, sizeof super);
}

std::uint64_t weight(std::uint64_t seed, std::uint64_t spot) noexcept { return XXH3_64bits_withSeed(&spot, 8, seed); }

}  // namespace

Rendezvous::Rendezvous(std::span<const wire::native::Id> servers) {
  seeds_.reserve(servers.size());
  for (const wire::native::Id& id : servers) seeds_.push_back(XXH3_64bits(id.data(), id.size()));
}

std::uint32_t Rendezvous::home(const TileKey& key) const noexcept {
  const std::uint64_t at = spot(key);
  std::uint32_t best = 0;
  std::uint64_t most = 0;
  for (std::uint32_t i = 0; i < seeds_.size(); ++i) {
    const std::uint64_t w = weight(seeds_[i], at);
    if (w < most || (i > 0 && w == most && seeds_[i] < seeds_[best])) continue;
    best = i;
    most = w;
  }
  return best;
}

std::vector<std::uint32_t> Rendezvous::order(const TileKey& key) const {
  const std::uint64_t at = spot(key);
  std::vector<std::uint32_t> out(seeds_.size());
  std::iota(out.begin(), out.end(), 0u);
  std::sort(out.begin(), out.end(), [&](std::uint32_t a, std::uint32_t b) {
    const std::uint64_t wa = weight(seeds_[a], at), wb = weight(seeds_[b], at);
    return wa != wb ? wa > wb : seeds_[a] > seeds_[b];
  });
  return out;
}

std::vector<std::uint32_t> ring_order(std::uint32_t first, std::uint32_t servers) {
  std::vector<std::uint32_t> out(servers);
  for (std::uint32_t i = 0; i < servers; ++i) out[i] = (first + i) % servers;
  return out;
}

}  // namespace smalti::client
