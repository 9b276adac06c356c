// Plan: what readers said they will want, step by step, in the order in which they will.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <unordered_map>

#include "smalti/cache/pixel_cache.h"

namespace smalti::cache {

// Not thread-safe: the window's lock guards it. A tile is live from when a step names it until the last step
// that names it is done with; it is due when it became live and was not fetched yet.
class Plan {
 public:
  // REQUIRES: steps of a pass are told in rising order. A lower one begins a new pass.
  void tell(std::span<const std::uint64_t> indices, Pace);
  void end();
  bool active() const noexcept { return active_; }

  // The last step that wants the tile, from 1; 0: none that is not done with.
  std::uint64_t last_use(std::uint64_t index) const noexcept;
  // The next tile that is due, and takes it off. nullptr-like: no_tile.
  static constexpr std::uint64_t no_tile = ~std::uint64_t{0};
  std::uint64_t next_due() noexcept;
  bool any_due() const noexcept { return !due_.empty(); }

 private:
  void forget_before(std::uint64_t reached);

  bool active_ = false;
  std::uint64_t reached_ = 0;
  std::uint64_t told_ = 0;  // the highest step
  std::unordered_map<std::uint64_t, std::uint64_t> last_use_;
  std::deque<std::uint64_t> due_;
};

}  // namespace smalti::cache
