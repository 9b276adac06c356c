// Virtual pixels as arithmetic: where a pixel outside the image comes from. Pure, no allocation.
// Source of the rules: ImageMagick's virtual-pixel methods, measured (doc/how-it-works.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "smalti/geom/geometry.h"

namespace smalti {

enum class Edge : std::uint8_t {
  edge,                  // the nearest pixel of the image (the default)
  mirror,                // the image reflected at its borders
  tile,                  // the image repeated
  fill,                  // one colour: background, black, gray, white, transparent
  checker_tile,          // repeated, with the fill colour on every other square
  dither,                // a near pixel by an ordered-dither table
  random,                // any pixel of the image
  horizontal_tile,       // repeated sideways, fill colour above and below
  vertical_tile,         // repeated up and down, fill colour at the sides
  horizontal_tile_edge,  // repeated sideways, nearest row above and below
  vertical_tile_edge,    // repeated up and down, nearest column at the sides
};

// Where virtual pixel (x, y) takes its value from: a pixel of the image, or the fill colour.
struct From {
  std::int64_t x = 0;
  std::int64_t y = 0;
  bool fill = false;
};

// Any x, y. `seed` makes Edge::random repeatable. REQUIRES: image not empty.
From resolve(Edge, std::int64_t x, std::int64_t y, Extent image, std::uint64_t seed) noexcept;

}  // namespace smalti
