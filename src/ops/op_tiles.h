// -crop without an offset: one picture cut into many. Pure. Private to ops/.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "smalti/base/result.h"
#include "smalti/geom/geometry.h"

namespace smalti::ops {

// The arguments of the -crop that cut one tile each, row by row: of "WxH" (or in percent) tiles of that size
// over the canvas, of "WxH@" W across and H down, as equal as pixels allow. Tiles that miss the image on its
// canvas are left out. Empty: the argument asks for one rectangle. More tiles than `most` are Errc::limit;
// junk is Errc::invalid.
Result<std::vector<std::string>> tile_crops(std::string_view argument, Extent image, const Rect& page,
                                            std::uint64_t most);

}  // namespace smalti::ops
