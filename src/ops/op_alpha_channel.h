// -alpha: whether a picture has an alpha channel, and what is in it. Private to ops/.
#pragma once

#include <string_view>

#include "ops/state.h"

namespace smalti::ops {

// "off": none. "on" (or "set"): one, opaque where there was none. "opaque": one that is opaque. "remove":
// none; what could be seen through shows the background, which is white unless set. Others are
// Errc::unsupported.
Result<PictureState> with_alpha(const PictureState&, std::string_view word, const Settings&,
                                int quantum_depth);

}  // namespace smalti::ops
