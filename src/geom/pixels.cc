#include "smalti/geom/pixels.h"

#include <cstring>

namespace smalti {

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
