// Windows on an image that may hang over its borders: virtual pixels for operators with a neighbourhood.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ops/op_lazy.h"
#include "smalti/geom/edge.h"

namespace smalti::ops {

// What lies outside an image. fill: one value a band, in the image's own sample range.
struct Surround {
  Edge edge = Edge::edge;
  std::vector<std::uint16_t> fill;
  std::uint64_t seed = 0;
};

struct View {
  const std::byte* data = nullptr;
  std::ptrdiff_t row_bytes = 0;
};

// The pixels of `rect`, in the image's own format. Zero copy where rect lies inside the image. Valid until
// the next call with the same region or scratch slot; nullopt with libvips' error set.
std::optional<View> look(VipsRegion* in, const Rect& rect, const Surround&, Scratch&, std::size_t slot);

}  // namespace smalti::ops
