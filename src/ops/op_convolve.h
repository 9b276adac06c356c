// The neighbourhood operators: one fused separable pass over tiles of a lazy image.
#pragma once

#include <optional>

#include "ops/op_kernel.h"
#include "ops/op_window.h"

namespace smalti::ops {

// After a blur: result = pixel + gain * (pixel - blurred), where the two differ by at least threshold / 2
// (0..1).
struct Unsharp {
  double gain = 1;
  double threshold = 0.05;
};

struct Convolution {
  Kernel kernel;
  // Rows first, rounded to samples, then columns: what -blur does. Otherwise rounded once, at the end.
  bool in_turn = false;
  std::optional<Unsharp> unsharp;  // only with in_turn
};

// With alpha (the last band), colour = K(colour * alpha) / K(alpha) and alpha = K(alpha). The result has the
// process's depth: ushort for 16, uchar for 8. REQUIRES: `in` is uchar or ushort; surround.fill has a value a
// band.
Result<VipsPtr> convolve(const VipsPtr& in, bool alpha, Convolution, Surround, int quantum_depth);

}  // namespace smalti::ops
