// The inner loops of the neighbourhood operators, compiled for the processor's widest vectors. Private to
// ops/. Rows are interleaved samples; counts are counts of samples. No two rows of a call may overlap in
// `to`.
#pragma once

#include <cstddef>
#include <cstdint>

namespace smalti::ops {

// to[i] = taps[0] * rows[0][i] + the sum over u of taps[u] * (rows[-u][i] + rows[u][i]); rows points to the
// middle of 2 * radius + 1 pointers. Serves both directions: neighbours in a row are the same row, shifted.
void blend(const std::uint8_t* const* rows, const float* taps, int radius, std::size_t count, float* to);
void blend(const std::uint16_t* const* rows, const float* taps, int radius, std::size_t count, float* to);
void blend(const float* const* rows, const float* taps, int radius, std::size_t count, float* to);
void blend(const double* const* rows, const double* taps, int radius, std::size_t count, double* to);

// to[i] = the sum over k of weights[k] * rows[k][i], of `rows_count` rows.
void blend_rows(const std::uint8_t* const* rows, const float* weights, std::size_t rows_count,
                std::size_t count, float* to);
void blend_rows(const std::uint16_t* const* rows, const float* weights, std::size_t rows_count,
                std::size_t count, float* to);

// to[i] = keep * pixel[i] + blended[i], rounded and held within 0..most.
void finish(const float* blended, const std::uint8_t* pixel, float keep, float most, std::size_t count,
            std::uint8_t* to);
void finish(const float* blended, const std::uint8_t* pixel, float keep, float most, std::size_t count,
            std::uint16_t* to);
void finish(const float* blended, const std::uint16_t* pixel, float keep, float most, std::size_t count,
            std::uint16_t* to);

// The same without a pixel.
void finish(const float* blended, float most, std::size_t count, std::uint8_t* to);
void finish(const float* blended, float most, std::size_t count, std::uint16_t* to);

}  // namespace smalti::ops
