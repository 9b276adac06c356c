// A PixelCache as a lazy libvips image.
#pragma once

#include <memory>

#include "ops/flow.h"
#include "ops/vips.h"
#include "smalti/cache/pixel_cache.h"

namespace smalti::ops {

// Pixels are fetched when a worker asks for them, from many workers at once. The image keeps cache and flow
// alive. Errors of the cache land in the flow. Fails with Errc::unsupported for samples that the pipeline
// does not know (it knows u8, u16 and f32) and for metacontent.
// `pipeline` is memory set aside for what will be computed from the image (see charge_pipeline); it is given
// back when the image goes.
Result<VipsPtr> image_over(std::shared_ptr<const PixelCache> cache, FlowPtr flow,
                           VipsInterpretation interpretation, Hold pipeline);

}  // namespace smalti::ops
