// Lazy images of our own: pixels made on demand by libvips' worker threads. Private to ops/.
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

#include "ops/vips.h"
#include "ops/work.h"
#include "smalti/geom/geometry.h"
#include "smalti/policy/limits.h"

namespace smalti::ops {

// Memory that one worker keeps from one call to the next. Grows only; not zeroed.
class Scratch {
 public:
  // `count` values of T in the drawer `slot`. Pointers from an earlier call for that slot are void.
  template <class T>
  T* get(std::size_t slot, std::size_t count) {
    if (drawers_.size() <= slot) drawers_.resize(slot + 1);
    auto& drawer = drawers_[slot];
    if (drawer.size() * sizeof(std::max_align_t) < count * sizeof(T))
      drawer.resize(count * sizeof(T) / sizeof(std::max_align_t) + 1);
    return reinterpret_cast<T*>(drawer.data());
  }

 private:
  std::vector<std::vector<std::max_align_t>> drawers_;
};

// What differs between a lazy image and its input.
struct Shape {
  Extent size;
  int bands = 0;
  VipsBandFormat format = VIPS_FORMAT_USHORT;
  VipsInterpretation interpretation = VIPS_INTERPRETATION_RGB16;
};

// The input's own shape, to be changed in places.
Shape shape_of(const VipsPtr&);

// Fails with Errc::limit when an image of that size is more than the limits of width and height allow.
Result<void> size_fits(const Ledger&, std::string_view option, Extent);

// Fills all of out->valid. `in` is a region of the input, of this thread alone; Scratch likewise. Returns
// false with libvips' error set. Called by many threads at once, so it must not change what it captured.
using Make = std::function<bool(VipsRegion* out, VipsRegion* in, Scratch&)>;

// A lazy image over `in`, whose metadata it inherits. Holds on to `in` and `make` while it lives.
// REQUIRES: a size of which size_fits() has nothing to say.
Result<VipsPtr> lazy_image(const VipsPtr& in, const Shape&, VipsDemandStyle, Make make);

// What is computed for `image`, down to `input`, is billed to `work`. REQUIRES: nothing has been computed
// yet.
void bill(const VipsPtr& image, const VipsImage* input, const WorkPtr& work);

// A lazy image whose every row comes from the same row of the input.
using MakeRow = std::function<void(const std::byte* from, std::byte* to, std::size_t pixels)>;
Result<VipsPtr> pointwise(const VipsPtr& in, const Shape&, MakeRow row);

// geom's rectangles and libvips' are the same thing with other field widths.
inline Rect from_vips(const VipsRect& r) {
  return {r.left, r.top, {static_cast<std::uint32_t>(r.width), static_cast<std::uint32_t>(r.height)}};
}
inline VipsRect to_vips(const Rect& r) {
  return {static_cast<int>(r.x), static_cast<int>(r.y), static_cast<int>(r.size.w),
          static_cast<int>(r.size.h)};
}
inline Extent extent_of(const VipsImage* image) {
  return {static_cast<std::uint32_t>(image->Xsize), static_cast<std::uint32_t>(image->Ysize)};
}

}  // namespace smalti::ops
