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
inline constexpr unsigned edge_kinds = 11;

// Where virtual pixel (x, y) takes its value from: a pixel of the image, or the fill colour.
struct From {
  std::int64_t x = 0;
  std::int64_t y = 0;
  bool fill = false;
  auto operator<=>(const From&) const = default;
};

// Any x, y; a pixel inside the image comes from itself. `seed` makes Edge::random repeatable. REQUIRES: image
// not empty.
From resolve(Edge, std::int64_t x, std::int64_t y, Extent image, std::uint64_t seed) noexcept;

// A stretch of one axis whose source coordinates are evenly spaced: `from`, from + step, from + 2 * step, ...
struct EdgeRun {
  std::int64_t at = 0;       // the first coordinate, as asked for
  std::uint32_t length = 0;  // at least 1
  std::int64_t from = 0;     // where that first coordinate comes from
  std::int8_t step = 1;      // 1 onward, -1 backward (mirror), 0 the same pixel throughout
  bool outside = false;      // beyond the image on this axis
  bool fill = false;         // this axis speaks for the fill colour
};

// Cuts `length` coordinates from `at` on, of an image `size` long on that axis, into runs, in order: so that
// a rectangle which hangs over the border costs about as much as one that does not.
class EdgeRuns {
 public:
  enum class Axis : std::uint8_t { x, y };
  EdgeRuns(Edge, Axis, std::int64_t at, std::uint32_t length, std::uint32_t size) noexcept;
  std::optional<EdgeRun> next() noexcept;

 private:
  enum class Rule : std::uint8_t { clamp, repeat, reflect, plain };
  static Rule rule_of(Edge, Axis) noexcept;

  Rule rule_;
  bool says_fill_;  // outside this axis is fill colour
  bool checkered_;  // every other repetition is
  std::int64_t at_;
  std::uint32_t left_;
  std::int64_t size_;
};

// A rectangle whose pixels all come the same way.
struct EdgeCell {
  enum class Kind : std::uint8_t {
    copy,       // pixel (to.x + i, to.y + j) from the run's source of column i and of row j
    fill,       // the fill colour
    scattered,  // ask resolve() pixel by pixel (dither, random)
  };
  Kind kind = Kind::copy;
  Rect to;    // as asked for
  Rect from;  // the part of the image that copy reads; one column (row) where a step is 0
  std::int8_t step_x = 1;
  std::int8_t step_y = 1;
};

// The cell where a run of columns meets a run of rows.
EdgeCell cell_of(Edge, const EdgeRun& x, const EdgeRun& y) noexcept;

}  // namespace smalti
