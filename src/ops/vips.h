// The door to libvips within ops/: ownership and errors. Nothing outside src/ops/ includes this.
#pragma once

#include <vips/vips.h>

#include <memory>
#include <string>

#include "smalti/base/result.h"

namespace smalti::ops {

struct Unref {
  void operator()(VipsImage* image) const noexcept { g_object_unref(image); }
};
using VipsPtr = std::unique_ptr<VipsImage, Unref>;

// Another reference to the same image.
VipsPtr share(const VipsPtr& image);

// Takes libvips' error text of this thread, clears it, and puts `context` in front.
tl::unexpected<Error> vips_fail(Errc code, std::string context);

}  // namespace smalti::ops
