#include "ops/op_loops.h"

#include <algorithm>

// Plain loops: at -O3 the compiler vectorises them, once for each processor generation named below; the
// loader picks. The sanitizers' runtimes are not up when the loader asks, so they get the plain version.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    !defined(__clang__)
#define SMALTI_WIDE __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define SMALTI_WIDE
#endif
#define SMALTI_INLINE inline __attribute__((always_inline))

namespace smalti::ops {
namespace {

constexpr std::size_t block = 2048;  // samples: what is being summed stays in the nearest cache

template <class In, class F>
SMALTI_INLINE void centre(const In* __restrict row, F tap, std::size_t count, F* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = tap * static_cast<F>(row[i]);
}

template <class In, class F>
SMALTI_INLINE void one_pair(const In* const* rows, std::size_t at, const F* taps, int u, std::size_t count,
                            F* __restrict to) {
  const In* __restrict a = rows[-u] + at;
  const In* __restrict b = rows[u] + at;
  const F tap = taps[u];
  for (std::size_t i = 0; i < count; ++i) to[i] += tap * static_cast<F>(a[i] + b[i]);
}

template <class In, class F>
SMALTI_INLINE void three_pairs(const In* const* rows, std::size_t at, const F* taps, int u, std::size_t count,
                               F* __restrict to) {
  const In* __restrict a = rows[-u] + at;
  const In* __restrict b = rows[u] + at;
  const In* __restrict c = rows[-u - 1] + at;
  const In* __restrict d = rows[u + 1] + at;
  const In* __restrict e = rows[-u - 2] + at;
  const In* __restrict f = rows[u + 2] + at;
  const F t0 = taps[u], t1 = taps[u + 1], t2 = taps[u + 2];
  for (std::size_t i = 0; i < count; ++i)
    to[i] += t0 * static_cast<F>(a[i] + b[i]) + t1 * static_cast<F>(c[i] + d[i]) +
             t2 * static_cast<F>(e[i] + f[i]);
}

template <class In, class F>
SMALTI_INLINE void blend_any(const In* const* rows, const F* taps, int radius, std::size_t count, F* to) {
  for (std::size_t at = 0; at < count; at += block) {
    const std::size_t n = std::min(block, count - at);
    centre(rows[0] + at, taps[0], n, to + at);
    int u = 1;
    for (; u + 2 <= radius; u += 3) three_pairs(rows, at, taps, u, n, to + at);
    for (; u <= radius; ++u) one_pair(rows, at, taps, u, n, to + at);
  }
}

template <class In>
SMALTI_INLINE void add_rows(const In* const* rows, std::size_t at, const float* weights, std::size_t count,
                            float* __restrict to) {
  const In* __restrict a = rows[0] + at;
  const In* __restrict b = rows[1] + at;
  const In* __restrict c = rows[2] + at;
  const float t0 = weights[0], t1 = weights[1], t2 = weights[2];
  for (std::size_t i = 0; i < count; ++i)
    to[i] += t0 * static_cast<float>(a[i]) + t1 * static_cast<float>(b[i]) + t2 * static_cast<float>(c[i]);
}

template <class In>
SMALTI_INLINE void blend_rows_any(const In* const* rows, const float* weights, std::size_t rows_count,
                                  std::size_t count, float* to) {
  for (std::size_t at = 0; at < count; at += block) {
    const std::size_t n = std::min(block, count - at);
    centre(rows[0] + at, weights[0], n, to + at);
    std::size_t k = 1;
    for (; k + 2 < rows_count; k += 3) add_rows(rows + k, at, weights + k, n, to + at);
    for (; k < rows_count; ++k) {
      const In* __restrict row = rows[k] + at;
      float* __restrict sum = to + at;
      for (std::size_t i = 0; i < n; ++i) sum[i] += weights[k] * static_cast<float>(row[i]);
    }
  }
}

template <class Out>
SMALTI_INLINE Out held(float value, float most) {
  value = value > 0 ? value : 0;
  value = value < most ? value : most;
  return static_cast<Out>(static_cast<std::int32_t>(value + 0.5F));
}

template <class In, class Out>
SMALTI_INLINE void finish_any(const float* __restrict blended, const In* __restrict pixel, float keep,
                              float most, std::size_t count, Out* __restrict to) {
  for (std::size_t i = 0; i < count; ++i)
    to[i] = held<Out>(keep * static_cast<float>(pixel[i]) + blended[i], most);
}

}  // namespace

SMALTI_WIDE void blend(const std::uint8_t* const* rows, const float* taps, int radius, std::size_t count,
                       float* to) {
  blend_any(rows, taps, radius, count, to);
}
SMALTI_WIDE void blend(const std::uint16_t* const* rows, const float* taps, int radius, std::size_t count,
                       float* to) {
  blend_any(rows, taps, radius, count, to);
}
SMALTI_WIDE void blend(const float* const* rows, const float* taps, int radius, std::size_t count,
                       float* to) {
  blend_any(rows, taps, radius, count, to);
}
SMALTI_WIDE void blend(const double* const* rows, const double* taps, int radius, std::size_t count,
                       double* to) {
  blend_any(rows, taps, radius, count, to);
}

SMALTI_WIDE void blend_rows(const std::uint8_t* const* rows, const float* weights, std::size_t rows_count,
                            std::size_t count, float* to) {
  blend_rows_any(rows, weights, rows_count, count, to);
}
SMALTI_WIDE void blend_rows(const std::uint16_t* const* rows, const float* weights, std::size_t rows_count,
                            std::size_t count, float* to) {
  blend_rows_any(rows, weights, rows_count, count, to);
}

SMALTI_WIDE void finish(const float* blended, const std::uint8_t* pixel, float keep, float most,
                        std::size_t count, std::uint8_t* to) {
  finish_any(blended, pixel, keep, most, count, to);
}
SMALTI_WIDE void finish(const float* blended, const std::uint8_t* pixel, float keep, float most,
                        std::size_t count, std::uint16_t* to) {
  finish_any(blended, pixel, keep, most, count, to);
}
SMALTI_WIDE void finish(const float* blended, const std::uint16_t* pixel, float keep, float most,
                        std::size_t count, std::uint16_t* to) {
  finish_any(blended, pixel, keep, most, count, to);
}
SMALTI_WIDE void finish(const float* blended, float most, std::size_t count, std::uint8_t* to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = held<std::uint8_t>(blended[i], most);
}
SMALTI_WIDE void finish(const float* blended, float most, std::size_t count, std::uint16_t* to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = held<std::uint16_t>(blended[i], most);
}

}  // namespace smalti::ops
