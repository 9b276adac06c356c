// Colour weighted by alpha, as neighbourhood operators need it: a transparent pixel's colour must not bleed.
// In doubles, for the division by a small alpha magnifies every error. Private to ops/.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace smalti::ops {

// Rows of `bands` interleaved samples, the last of them alpha. Values on both sides run from 0 to `most`;
// `scale` lifts the samples of `from` there (257 from 8 to 16 bits).
template <class In>
inline void weight_row(const In* from, double scale, double most, int bands, std::size_t pixels, double* to) {
  for (std::size_t i = 0; i < pixels; ++i, from += bands, to += bands) {
    const double alpha = scale * static_cast<double>(from[bands - 1]) / most;
    for (int b = 0; b + 1 < bands; ++b) to[b] = alpha * (scale * static_cast<double>(from[b]));
    to[bands - 1] = alpha;
  }
}

inline double hold_sample(double value, double most) {
  if (!(value > 0)) return 0;
  return value >= most ? most : static_cast<double>(static_cast<std::int32_t>(value + 0.5));
}

// Undoes weight_row and rounds. Where no alpha is left there is no colour: 0 results where the sums are 0.
template <class Out>
inline void unweight_row(const double* from, double most, int bands, std::size_t pixels, Out* to) {
  constexpr double tiny = 1e-12;
  for (std::size_t i = 0; i < pixels; ++i, from += bands, to += bands) {
    const double alpha = from[bands - 1];
    const double lift = std::abs(alpha) >= tiny ? 1 / alpha : (alpha < 0 ? -1 / tiny : 1 / tiny);
    for (int b = 0; b + 1 < bands; ++b) to[b] = static_cast<Out>(hold_sample(lift * from[b], most));
    to[bands - 1] = static_cast<Out>(hold_sample(alpha * most, most));
  }
}

}  // namespace smalti::ops
