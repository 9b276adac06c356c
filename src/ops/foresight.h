// Foresight: what will be wanted of a lazy image is told, ahead of the reads, to the caches that it is
// computed from. Private to ops/.
#pragma once

#include <functional>

#include "ops/vips.h"
#include "smalti/cache/pixel_cache.h"

namespace smalti::ops {

// "This rectangle will be wanted in that step." An empty one: no more will. Any thread.
using Foresee = std::function<void(const Rect&, Pace)>;

// What a rectangle of an image is made of: calls `wants` with rectangles of its input, which may hang over.
using Needs = std::function<void(const Rect&, const std::function<void(const Rect&)>& wants)>;

void set_foresight(const VipsPtr&, Foresee);
// Null: nothing to tell, or nobody to tell it to.
const Foresee* foresight_of(const VipsImage*);
// What is wanted of `of` is told to `in` as what it needs of it; without `needs` the very same pixels.
void foresee_through(const VipsPtr& of, const VipsPtr& in, Needs needs = {});

// The same image, which tells what its readers will want: rows from the first to the last. Hold it only while
// they read. The image itself where there is nobody to tell.
Result<VipsPtr> told_ahead(const VipsPtr&);

}  // namespace smalti::ops
