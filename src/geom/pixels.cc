#include "smalti/geom/pixels.h"

#include <cstring>

namespace smalti {

namespace {

// The size is a constant in the usual cases, so that each pixel is a register's load and store.
template <std::size_t Bytes>
void copy_stepping(const std::byte* from, int step, std::byte* to, std::size_t count) noexcept {
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(Bytes) * step;
  for (std::size_t i = 0; i < count; ++i, from += stride, to += Bytes) std::memcpy(to, from, Bytes);
}

void copy_stepping(const std::byte* from, int step, std::byte* to, std::size_t count, std::size_t bytes) noexcept {
  switch (bytes) {
    case 1: return copy_stepping<1>(from, step, to, count);
    case 2: return copy_stepping<2>(from, step, to, count);
    case 3: return copy_stepping<3>(from, step, to, count);
    case 4: return copy_stepping<4>(from, step, to, count);
    case 6: return copy_stepping<6>(from, step, to, count);
    case 8: return copy_stepping<8>(from, step, to, count);
    case 12: return copy_stepping<12>(from, step, to, count);
    case 16: return copy_stepping<16>(from, step, to, count);
    default: break;
  }
  const std::ptrdiff_t stride = static_cast<std::ptrdiff_t>(bytes) * step;
  for (std::size_t i = 0; i < count; ++i, from += stride, to += bytes) std::memcpy(to, from, bytes);
}

}  // namespace

void copy_run(const std::byte* from, int step, std::byte* to, std::size_t count, std::size_t pixel_bytes) noexcept {
  if (count == 0) return;
  if (step == 1)
    std::memcpy(to, from, count * pixel_bytes);
  else
    copy_stepping(from, step, to, count, pixel_bytes);
}

void fill_pixels(MutablePixels to, std::span<const std::byte> pixel) noexcept {
  if (to.size.empty()) return;
  const std::span<std::byte> first = to.row(0);
  if (pixel.empty())
    std::memset(first.data(), 0, first.size());
  else
    copy_run(pixel.data(), 0, first.data(), to.size.w, pixel.size());
  for (std::uint32_t y = 1; y < to.size.h; ++y) std::memcpy(to.at(0, y), first.data(), first.size());
}

bool all_same(Pixels pixels) noexcept {
  const std::size_t pixel = pixels.format.pixel_bytes();
  const std::size_t row = std::size_t{pixels.size.w} * pixel;
  const std::byte* first = pixels.at(0, 0);
  if (std::memcmp(first, first + pixel, row - pixel) != 0) return false;
  for (std::uint32_t y = 1; y < pixels.size.h; ++y)
    if (std::memcmp(first, pixels.at(0, y), row) != 0) return false;
  return true;
}

void copy_pixels(Pixels from, MutablePixels to) noexcept {
  if (from.size.empty()) return;
  const std::size_t row = std::size_t{from.size.w} * from.format.pixel_bytes();
  if (from.contiguous() && to.contiguous()) {
    std::memcpy(to.data, from.data, row * from.size.h);
    return;
  }
  for (std::uint32_t y = 0; y < from.size.h; ++y) std::memcpy(to.at(0, y), from.at(0, y), row);
}

}  // namespace smalti
