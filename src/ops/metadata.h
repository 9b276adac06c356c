// What travels beside the pixels.
#pragma once

#include "ops/vips.h"

namespace smalti::ops {

// ICC profile, EXIF, XMP, IPTC, orientation, resolution, comments: every field but those that speak of the
// file's own layout (pages, interlacing, loader).
void copy_metadata(VipsImage* from, VipsImage* to);

// Formats without a resolution of their own (WebP) tell it in their EXIF. Leaves an image that has one as it
// is.
void take_resolution_from_exif(VipsImage*);

}  // namespace smalti::ops
