// What info: prints.
#pragma once

#include <string>
#include <string_view>

#include "ops/picture.h"

namespace smalti::ops {

// "photo.jpg JPEG 3840x2400 3840x2400+0+0 8-bit sRGB 1.797MiB", as ImageMagick's identify, without its times.
std::string info_line(const Facts&);

// The same as -format asks for it: "%wx%h %m\n", "%[colorspace]". Errc::unsupported on an escape that is not known.
Result<std::string> info_text(std::string_view format, const Facts&);

}  // namespace smalti::ops
