// -resize: two separable passes, each a lazy image. Private to ops/.
#pragma once

#include <cstdint>
#include <vector>

#include "ops/op_lazy.h"

namespace smalti::ops {

// How the samples of one axis of the result are made of the input's.
struct Mix {
  std::int64_t first = 0;   // the input's first sample that counts
  std::uint32_t count = 0;  // how many do, from there
  std::size_t weights = 0;  // index of its first weight
};
struct Resampling {
  std::vector<Mix> mixes;       // one a sample of the result
  std::vector<double> weights;  // of each mix they sum to 1
};

// mitchell: softer, without rings; for enlarging and where there is alpha. lanczos: for shrinking.
enum class Filter : std::uint8_t { lanczos, mitchell };
Filter filter_for(Extent from, Extent to, bool alpha) noexcept;

// REQUIRES: both at least 1.
Resampling resampling(std::uint32_t from, std::uint32_t to, Filter);

// Colour weighted by alpha where there is alpha. REQUIRES: `to` not empty.
Result<VipsPtr> resized_image(const VipsPtr& in, bool alpha, Extent to, int quantum_depth);

}  // namespace smalti::ops
