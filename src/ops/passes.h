// Tells of passes over pixels: see Pass. Private to ops/.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ops/state.h"

namespace smalti::ops {

// Lives as long as the pass; told() at its end. Costs nothing where nobody listens. REQUIRES: workshop and
// state outlive it.
class Passing {
 public:
  Passing(const Workshop&, const PictureState&, std::string into);
  void told() const;

 private:
  const Workshop& workshop_;
  const PictureState& state_;
  const std::string into_;
  const Clock::time_point from_;
  CacheCounts before_;
  std::vector<std::uint64_t> computed_before_;  // nanoseconds, of each of the state's works
  std::optional<double> idle_before_;           // as Pass::cores_idle
};

}  // namespace smalti::ops
