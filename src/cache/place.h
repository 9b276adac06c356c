// place: copies what a cell takes from one tile to where it belongs.
#pragma once

#include <span>

#include "smalti/geom/edge.h"
#include "smalti/geom/pixels.h"

namespace smalti::cache {

// `tile` and `part` are in pixels of the image; part is what the cell takes of the tile. `source` holds the
// tile's pixels, or has no data: then they are `blank`, or zero where that is empty. `into` begins at `rect`, which holds the cell.
struct Source {
  Rect tile;
  Rect part;
  Pixels source;
  std::span<const std::byte> blank = {};
};
void place(const EdgeCell&, const Source&, const Rect& rect, MutablePixels into) noexcept;

// Cuts a copying cell in two, so that the first reads the image's rows before `row`. REQUIRES: from.y < row <
// from.bottom().
struct CutCell {
  EdgeCell before;
  EdgeCell after;
};
CutCell cut_at_row(const EdgeCell&, std::int64_t row) noexcept;

}  // namespace smalti::cache
