// What travels beside the pixels.
#pragma once

#include <string_view>

#include "ops/picture.h"
#include "ops/vips.h"

namespace smalti::ops {

// ICC profile, EXIF, XMP, IPTC, orientation, resolution, comments: every field but those that speak of the
// file's own layout (pages, interlacing, loader).
void copy_metadata(VipsImage* from, VipsImage* to);
// Whether a field is one of those that travel.
bool travels(std::string_view field) noexcept;

// Formats without a resolution of their own (WebP) tell it in their EXIF. Leaves an image that has one as it
// is.
void take_resolution_from_exif(VipsImage*);

// Takes all of it away but the resolution: -strip. REQUIRES, here and below: nobody else has the image yet.
void strip_metadata(VipsImage*);

// The pixels lie as they are to be seen.
void set_upright(VipsImage*);

// -density and -units, where they are set. Errc::invalid on what is neither.
Result<void> set_resolution(VipsImage*, const Settings&);

}  // namespace smalti::ops
