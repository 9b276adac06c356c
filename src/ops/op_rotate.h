// -rotate by any angle: circular resampling, as of a turned canvas. Private to ops/.
#pragma once

#include "ops/op_window.h"
#include "ops/state.h"

namespace smalti::ops {

// What the turned image needs: its size, and where it lies beside the old one.
Rect rotated_bounds(Extent image, double degrees);

// Clockwise, about the image's middle. The result is as large as the turned image needs, and its page says
// where that lies beside the old one. What was not covered takes surround's fill.
Result<PictureState> rotated(const PictureState&, double degrees, Surround, int quantum_depth);

}  // namespace smalti::ops
