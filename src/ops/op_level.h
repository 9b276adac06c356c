// Auto-level: stretches the levels that an image has over all there are. Private to ops/.
#pragma once

#include "ops/op_lazy.h"
#include "smalti/base/call.h"

namespace smalti::ops {

struct Range {
  std::uint32_t least = 0, most = 0;
};

// The least and the greatest sample of all bands. Reads every pixel once, in strips, on libvips' worker
// threads.
Result<Range> range_of(const Call&, const VipsPtr& image);

// All bands by the same rule, so that hues stay; an image of a single level stays as it is.
Result<VipsPtr> auto_leveled(const Call&, const VipsPtr& image, int quantum_depth);

}  // namespace smalti::ops
