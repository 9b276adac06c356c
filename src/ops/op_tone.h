// Operators that send every level of a picture to another one: curves, stretches and thresholds. Alpha stays
// as it is. Private to ops/.
#pragma once

#include <functional>
#include <string_view>

#include "ops/state.h"

namespace smalti::ops {

// The result of a level, both from 0 to 1; what leaves that range is held to it.
using Curve = std::function<double(double)>;

// Every colour sample by the same curve. The result has the process's depth.
Result<VipsPtr> curved(const PictureState&, const Curve&, int quantum_depth);

// -level BLACK[,WHITE[,GAMMA]][%]; -gamma VALUE; -brightness-contrast BRIGHTNESS[xCONTRAST]. Junk is
// Errc::invalid.
Result<Curve> level_curve(std::string_view argument);
Result<Curve> gamma_curve(std::string_view argument);
Result<Curve> brightness_curve(std::string_view argument);

// How many of the darkest and of the lightest pixels become wholly black and wholly white.
struct Clipped {
  double black = 0, white = 0;
};
// -contrast-stretch BLACK[xWHITE][%], of an image of so many pixels.
Result<Clipped> clipped_by(std::string_view argument, double pixels);
// Reads every pixel once, on libvips' worker threads; one curve for all colours, so that hues stay.
Result<VipsPtr> stretched(const Call&, const PictureState&, const Clipped&, int quantum_depth);

// White where the intensity is above VALUE[%], else black. The result is gray, of 8 bits.
Result<PictureState> split_at(const PictureState&, std::string_view argument);

}  // namespace smalti::ops
