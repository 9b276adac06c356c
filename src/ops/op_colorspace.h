// Colour spaces, by the formulas that need no profile. Private to ops/.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "ops/state.h"

namespace smalti::ops {

// Luma of gamma-coded samples with Rec. 709's weights, rounded; 0..65535.
std::uint16_t gray_of(std::uint16_t red, std::uint16_t green, std::uint16_t blue) noexcept;
// Inks with all the black that fits, rounded.
std::array<std::uint16_t, 4> cmyk_of(std::uint16_t red, std::uint16_t green, std::uint16_t blue) noexcept;
std::array<std::uint16_t, 3> rgb_of(const std::array<std::uint16_t, 4>& inks) noexcept;

// "sRGB", "Gray", "CMYK" or "RGB" (linear light), upper and lower case alike. The result has the process's
// depth.
Result<PictureState> to_colorspace(const PictureState&, std::string_view name, int quantum_depth);

}  // namespace smalti::ops
