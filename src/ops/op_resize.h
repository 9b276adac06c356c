// -resize: two separable passes, each a lazy image. Private to ops/.
#pragma once

#include <cstdint>
#include <string_view>
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

// How much a sample counts by its distance, in samples of the coarser side; nothing beyond `reach`.
struct Filter {
  std::string_view name;  // as -filter takes it, lower case
  double reach = 0;       // 0: the nearest sample alone
  double (*weight)(double) = nullptr;
};
// mitchell: softer, without rings; for enlarging, and where there is alpha or but few levels. lanczos: for
// shrinking.
const Filter& filter_for(Extent from, Extent to, bool soft) noexcept;
// By name in any case. Errc::unsupported names those that are known.
Result<const Filter*> filter_named(std::string_view name);

// REQUIRES: both at least 1.
Resampling resampling(std::uint32_t from, std::uint32_t to, const Filter&);
// -scale: every sample counts by how much of it a sample of the result covers. -sample: the middle one alone.
Resampling by_area(std::uint32_t from, std::uint32_t to);
Resampling by_nearest(std::uint32_t from, std::uint32_t to);
using Plan = Resampling (*)(std::uint32_t from, std::uint32_t to);

// Colour weighted by alpha where there is alpha. REQUIRES: `to` not empty.
Result<VipsPtr> resized_image(const VipsPtr& in, bool alpha, Extent to, int quantum_depth, const Filter&);
Result<VipsPtr> resized_image(const VipsPtr& in, bool alpha, Extent to, int quantum_depth, Plan);

}  // namespace smalti::ops
