// Operators on what stands around a picture: -trim, -extent, -border, -shave, and the joining of several.
// Private to ops/.
#pragma once

#include <span>
#include <string_view>

#include "ops/state.h"

namespace smalti::ops {

// -trim: without the rows and columns at its sides that have the corners' colours, as far as -fuzz calls them
// the same. Reads every pixel once. A picture of one colour stays as it is.
Result<PictureState> trimmed(const Call&, const PictureState&, const Settings&);

Result<PictureState> extended(const Workshop&, const Call&, const PictureState&, std::string_view geometry,
                              const Settings&);
Result<PictureState> bordered(const Workshop&, const Call&, const PictureState&, std::string_view geometry,
                              const Settings&);
Result<PictureState> shaved(const PictureState&, std::string_view geometry);

// -append: one below the other; `across` (+append): side by side. -gravity says how those of another width (or
// height) lie.
Result<PictureState> appended(const Workshop&, const Call&, std::span<const PictureState>, bool across,
                              const Settings&);
// -flatten: one over the other, each where its page says, on the first's canvas.
Result<PictureState> flattened(const Workshop&, const Call&, std::span<const PictureState>, const Settings&);

}  // namespace smalti::ops
