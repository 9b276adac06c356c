// PixelFormat and PixelSpan: what a pixel is made of, and a window on pixels in memory.
#pragma once

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "smalti/geom/geometry.h"

namespace smalti {

enum class Sample : std::uint8_t { u8, u16, u32, f16, f32, f64 };
inline constexpr unsigned sample_kinds = 6;

constexpr std::uint32_t sample_bytes(Sample sample) noexcept {
  switch (sample) {
    case Sample::u8: return 1;
    case Sample::u16:
    case Sample::f16: return 2;
    case Sample::u32:
    case Sample::f32: return 4;
    case Sample::f64: return 8;
  }
  return 0;
}

// Channels are interleaved; metacontent bytes follow the samples of each pixel. Host byte order.
struct PixelFormat {
  Sample sample = Sample::u16;
  std::uint8_t channels = 4;
  std::uint16_t meta_bytes = 0;

  constexpr std::uint32_t pixel_bytes() const noexcept { return sample_bytes(sample) * channels + meta_bytes; }
  auto operator<=>(const PixelFormat&) const = default;
};

template <class B>
concept ByteLike = std::same_as<std::remove_const_t<B>, std::byte>;

// Non-owning and strided; as cheap as a pointer. Rows are row_bytes apart, pixels of a row are adjacent.
template <ByteLike B>
struct PixelSpan {
  B* data = nullptr;
  Extent size;
  std::ptrdiff_t row_bytes = 0;
  PixelFormat format;

  B* at(std::uint32_t x, std::uint32_t y) const noexcept {
    return data + static_cast<std::ptrdiff_t>(y) * row_bytes + static_cast<std::ptrdiff_t>(x) * format.pixel_bytes();
  }
  std::span<B> row(std::uint32_t y) const noexcept {
    return {at(0, y), std::size_t{size.w} * format.pixel_bytes()};
  }
  // REQUIRES: rect inside size.
  PixelSpan crop(Rect rect) const noexcept {
    return {at(static_cast<std::uint32_t>(rect.x), static_cast<std::uint32_t>(rect.y)), rect.size, row_bytes, format};
  }
  bool contiguous() const noexcept {
    return row_bytes == static_cast<std::ptrdiff_t>(size.w) * format.pixel_bytes();
  }
  operator PixelSpan<const std::byte>() const noexcept
    requires(!std::is_const_v<B>)
  {
    return {data, size, row_bytes, format};
  }
};

using Pixels = PixelSpan<const std::byte>;
using MutablePixels = PixelSpan<std::byte>;

// Row by row. REQUIRES: same size and same pixel_bytes, no overlap.
void copy_pixels(Pixels from, MutablePixels to) noexcept;

// `count` pixels to adjacent places at `to`, from places `step` pixels apart: 1 onward, -1 backward, 0 the same one.
void copy_run(const std::byte* from, int step, std::byte* to, std::size_t count, std::size_t pixel_bytes) noexcept;

// Every pixel becomes `pixel`; an empty one stands for zero. REQUIRES: pixel.size() is pixel_bytes or 0.
void fill_pixels(MutablePixels to, std::span<const std::byte> pixel) noexcept;
// Whether all are as the first one is. REQUIRES: there is one.
bool all_same(Pixels) noexcept;

}  // namespace smalti
