#include "ops/picture.h"
#include "ops/vips.h"

namespace smalti::ops {

std::string library_version() {
  return "libvips " + std::to_string(vips_version(0)) + '.' + std::to_string(vips_version(1)) + '.' +
         std::to_string(vips_version(2));
}

}  // namespace smalti::ops
