// Pictures that come from no file: "canvas:white", "xc:#ff000080", "gradient:red-blue", of the size of -size.
#pragma once

#include <string_view>

#include "ops/picture.h"

namespace smalti::ops {

bool is_canvas(std::string_view prefix);
// Lazy, and in no cache: its pixels are arithmetic. Fails with invalid without -size, or where the colour is
// unknown.
Result<Picture> make_canvas(const Workshop&, std::string_view prefix, std::string_view argument,
                            const Settings&);

}  // namespace smalti::ops
