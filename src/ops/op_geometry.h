// Geometry arguments: "640x480", "50%", "100x100+10+20", "5x2", "0x1+1.5+0.02". One strict parser for all.
// Pure.
#pragma once

#include <optional>
#include <string_view>

#include "smalti/base/result.h"
#include "smalti/geom/geometry.h"

namespace smalti::ops {

// [W][xH][{+-}X][{+-}Y] with flags anywhere behind a number. A part that is not given is empty.
struct Geometry {
  std::optional<double> w, h, x, y;
  bool percent = false;  // %: of the image's size
  bool exact = false;    // !: not in proportion
  bool shrink = false;   // >: only what is larger
  bool enlarge = false;  // <: only what is smaller
  bool cover = false;    // ^: the least size that covers it, rather than the greatest that fits
  bool area = false;     // @: W is a number of pixels in all
};

// `what` names the option in the message: "-resize". Junk, and numbers that no image can have, are
// Errc::invalid.
Result<Geometry> parse_geometry(std::string_view what, std::string_view text);

// One number. Errc::invalid where there is anything else.
Result<double> parse_number(std::string_view what, std::string_view text);

// The size that -resize makes of an image.
Result<Extent> resized(const Geometry&, Extent image, std::string_view option = "-resize");

// What -extent shows: a rectangle around or within the image, which may hang over; a side that is not given is
// the image's own. `gravity` as for cropped().
Result<Rect> extended(const Geometry&, Extent image, std::string_view gravity);

// What -crop cuts: the rectangle asked for on the canvas, and what that leaves.
struct Crop {
  Rect cut;   // of the image's own pixels
  Rect page;  // of the result
};
// An image whose page is 0x0 is its own canvas. `gravity` is the setting's word ("" is NorthWest): which
// corner or side X and Y count from. Nothing left is Errc::invalid.
Result<Crop> cropped(const Geometry&, Extent image, const Rect& page, std::string_view gravity);

}  // namespace smalti::ops
