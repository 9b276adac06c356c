// Operators that look at one pixel at a time, and changes of sample depth. Private to ops/.
#pragma once

#include "ops/op_window.h"
#include "ops/state.h"

namespace smalti::ops {

// Samples of 8 bits (uchar) or 16 (ushort), rounded to the nearest level; interpretation follows. Unchanged
// where the image has that depth already. REQUIRES: uchar or ushort.
Result<VipsPtr> to_depth(const VipsPtr& image, int bits);

// What `-depth` does: levels of `bits` bits (1..16), cut off rather than rounded. Up to 8 bits the result is
// uchar.
Result<VipsPtr> cut_depth(const VipsPtr& image, int bits);

Result<VipsPtr> negated(const VipsPtr& image);  // every band, alpha too

// An opaque alpha band, after the others; three equal bands for one gray one.
Result<VipsPtr> with_opaque_alpha(const VipsPtr& image);
Result<VipsPtr> with_three_colors(const VipsPtr& image, bool alpha);

// A table look-up of every sample. REQUIRES: table has 256 or 65536 values, after the image's samples.
Result<VipsPtr> looked_up(const VipsPtr& image, std::vector<std::uint16_t> table);

// uchar or ushort, with the interpretation that goes with it (pngsave crashes on others).
void set_depth(Shape&, int bits);

// What a neighbourhood operator works on: at depth 8 the image rounded to it, else the image as it is, unless
// its samples cannot hold the fill colour. surround.fill goes from 0..65535 to the result's own range.
Result<VipsPtr> arithmetic_input(const VipsPtr&, Surround&, int quantum_depth);

}  // namespace smalti::ops
