#include "client/placement.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace smalti::client {

namespace {

std::uint64_t weight(std::uint64_t seed, std::uint64_t spot) noexcept {
  return XXH3_64bits_withSeed(&spot, 8, seed);
}

// An image of few tiles has them spread one by one: then servers differ by less than a super-tile.
std::uint32_t side_for(std::uint64_t tiles) noexcept {
  constexpr double super_tiles_a_side = 12;
  const double side = std::sqrt(static_cast<double>(tiles)) / super_tiles_a_side;
  return std::clamp(static_cast<std::uint32_t>(side), 1u, super_tile_side);
}

// Tiles that a server takes at most, but for one super-tile.
std::uint64_t share(std::uint64_t tiles, std::size_t servers) noexcept {
  const auto n = static_cast<double>(servers);
  return static_cast<std::uint64_t>(static_cast<double>(tiles) / n * (1 + std::sqrt(n) / 256));
}

}  // namespace

Rendezvous::Rendezvous(std::span<const wire::native::Id> servers) {
  seeds_.reserve(servers.size());
  for (const wire::native::Id& id : servers) seeds_.push_back(XXH3_64bits(id.data(), id.size()));
}

// Equal for all tiles of one super-tile.
std::uint64_t Rendezvous::spot(const TileKey& key) const noexcept {
  struct {
    std::array<std::byte, 16> image;
    std::uint32_t level, col, row;
  } super{key.image.raw, key.level, key.col / side_, key.row / side_};
  static_assert(sizeof super == 28, "hashed as bytes: it must have no padding");
  return XXH3_64bits(&super, sizeof super);
}

// The first by rank among those that are not full. REQUIRES: one is not.
std::uint32_t Rendezvous::ranked_first(std::uint64_t at, const std::vector<bool>* full) const noexcept {
  std::uint32_t best = 0;
  std::uint64_t most = 0;
  bool found = false;
  for (std::uint32_t i = 0; i < seeds_.size(); ++i) {
    if (full && (*full)[i]) continue;
    const std::uint64_t w = weight(seeds_[i], at);
    if (found && (w < most || (w == most && seeds_[i] < seeds_[best]))) continue;
    best = i;
    most = w;
    found = true;
  }
  return best;
}

// Some server is always below the even share, hence below the bound. That the order of listing does not
// matter holds here, too: ranks and loads go by identity.
Rendezvous Rendezvous::evened(const ImageId& image, const Grid& grid) const {
  Rendezvous out = *this;
  if (seeds_.size() < 2 || grid.tiles() == 0) return out;
  out.side_ = side_for(grid.tiles());
  const auto supers = [side = out.side_](std::uint32_t tiles) { return (tiles - 1) / side + 1; };
  const auto width = [side = out.side_](std::uint32_t at, std::uint32_t tiles) {
    return std::min(side, tiles - at * side);
  };
  out.across_ = supers(grid.cols());
  out.homes_.reserve(std::size_t{out.across_} * supers(grid.rows()));
  const std::uint64_t bound = share(grid.tiles(), seeds_.size());
  std::vector<std::uint64_t> loads(seeds_.size());
  std::vector<bool> full(seeds_.size());
  for (std::uint32_t row = 0; row < supers(grid.rows()); ++row) {
    for (std::uint32_t col = 0; col < out.across_; ++col) {
      const std::uint32_t at =
          out.ranked_first(out.spot({image, 0, col * out.side_, row * out.side_}), &full);
      loads[at] += std::uint64_t{width(col, grid.cols())} * width(row, grid.rows());
      full[at] = loads[at] > bound;
      out.homes_.push_back(static_cast<std::uint16_t>(at));
    }
  }
  return out;
}

std::uint32_t Rendezvous::home(const TileKey& key) const noexcept {
  const std::size_t at = std::size_t{key.row / side_} * across_ + key.col / side_;
  if (key.level == 0 && at < homes_.size()) return homes_[at];
  return ranked_first(spot(key), nullptr);
}

std::vector<std::uint32_t> Rendezvous::order(const TileKey& key) const {
  const std::uint64_t at = spot(key);
  std::vector<std::uint64_t> weights(seeds_.size());
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = weight(seeds_[i], at);
  std::vector<std::uint32_t> out(seeds_.size());
  std::iota(out.begin(), out.end(), 0u);
  std::sort(out.begin(), out.end(), [&](std::uint32_t a, std::uint32_t b) {
    return weights[a] != weights[b] ? weights[a] > weights[b] : seeds_[a] > seeds_[b];
  });
  if (!homes_.empty()) {
    const auto first = std::find(out.begin(), out.end(), home(key));
    if (first != out.end()) std::rotate(out.begin(), first, first + 1);
  }
  return out;
}

std::vector<std::uint32_t> ring_order(std::uint32_t first, std::uint32_t servers) {
  std::vector<std::uint32_t> out(servers);
  for (std::uint32_t i = 0; i < servers; ++i) out[i] = (first + i) % servers;
  return out;
}

}  // namespace smalti::client
