// Colours as people name them. Private to ops/.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "ops/state.h"

namespace smalti::ops {

// 0..65535 each; alpha 0 is transparent. sRGB.
struct Color {
  std::uint16_t red = 0, green = 0, blue = 0, alpha = 65535;

  bool gray() const noexcept { return red == green && green == blue; }
  bool opaque() const noexcept { return alpha == 65535; }
  auto operator<=>(const Color&) const = default;
};

// "red", "none", "gray50", "#rgb" to "#rrrrggggbbbbaaaa", "rgb(1,2,3)", "rgba(10%,20%,30%,0.5)", "gray(50%)".
// Upper and lower case alike. Anything else is Errc::invalid.
Result<Color> parse_color(std::string_view text);

// The colour as one value a band of the picture's image, 0..65535.
std::vector<std::uint16_t> bands_of(const Color&, const PictureState&);

struct NamedColor {
  std::string_view name;
  std::uint32_t rgb;  // 0xrrggbb
};
// nullptr: no such name. `name` in lower case.
const NamedColor* named_color(std::string_view name) noexcept;

}  // namespace smalti::ops
