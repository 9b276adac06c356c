// Pictures laid on a canvas: -extent, -border, -flatten, -append. Private to ops/.
#pragma once

#include <span>
#include <vector>

#include "ops/op_color.h"
#include "ops/state.h"

namespace smalti::ops {

// A picture and where its upper left corner lies; it may hang over.
struct Layer {
  PictureState picture;
  std::int64_t x = 0, y = 0;
};

// How a layer meets what lies below it: blended by its alpha, or in its place.
enum class Meet : std::uint8_t { over, instead };

// A picture of that size with the layers on it, the first lowest. Pictures of several kinds become what all of
// them fit in: colour beside gray, alpha where one has it or the ground is not opaque, 16 bits beside 8. The
// rest (file, format, metadata) is the first's, the page is none. REQUIRES: at least one layer; a size of
// which size_fits() has nothing to say.
Result<PictureState> laid_out(const Workshop&, const Call&, Extent canvas, const Color& ground,
                              std::vector<Layer>, Meet);

}  // namespace smalti::ops
