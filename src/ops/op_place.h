// Operators that move pixels without changing them, and the page they lie on. Private to ops/.
#pragma once

#include <string_view>

#include "ops/state.h"

namespace smalti::ops {

Result<PictureState> flipped(const PictureState&);                    // top to bottom
Result<PictureState> flopped(const PictureState&);                    // left to right
Result<PictureState> turned(const PictureState&, int quarter_turns);  // clockwise; any number
Result<PictureState> upright(const PictureState&, int orientation);   // EXIF's number
Result<PictureState> cut(const PictureState&, std::string_view geometry, std::string_view gravity);
Result<PictureState> unpaged(const PictureState&);                           // +repage
Result<PictureState> paged(const PictureState&, std::string_view geometry);  // -repage

}  // namespace smalti::ops
