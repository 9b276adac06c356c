// What info: prints.
#pragma once

#include <string>

#include "ops/picture.h"

namespace smalti::ops {

// "photo.jpg JPEG 3840x2400 3840x2400+0+0 8-bit sRGB 1.797MiB", as ImageMagick's identify, without its times.
std::string info_line(const Facts&);

}  // namespace smalti::ops
