#include "ops/op_color.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>
#include <string>

#include "ops/op_colorspace.h"

namespace smalti::ops {
namespace {

using Parts = std::vector<double>;  // 0..1

std::uint16_t sample(double part) {
  return static_cast<std::uint16_t>(std::floor(std::clamp(part, 0.0, 1.0) * 65535 + 0.5));
}

std::optional<Color> from_parts(const Parts& parts) {
  switch (parts.size()) {
    case 1:
      return Color{sample(parts[0]), sample(parts[0]), sample(parts[0])};
    case 2:
      return Color{sample(parts[0]), sample(parts[0]), sample(parts[0]), sample(parts[1])};
    case 3:
      return Color{sample(parts[0]), sample(parts[1]), sample(parts[2])};
    case 4:
      return Color{sample(parts[0]), sample(parts[1]), sample(parts[2]), sample(parts[3])};
    default:
      return std::nullopt;
  }
}

// "#" and then 3 or 4 parts of one, two or four hexadecimal digits.
std::optional<Color> from_hex(std::string_view digits) {
  static constexpr std::array<std::array<std::size_t, 2>, 6> shapes{
      {{3, 1}, {4, 1}, {6, 2}, {8, 2}, {12, 4}, {16, 4}}};
  for (const auto& [length, width] : shapes) {
    if (digits.size() != length) continue;
    Parts parts;
    for (std::size_t at = 0; at < length; at += width) {
      unsigned value = 0;
      const char* end = digits.data() + at + width;
      const auto [stop, error] = std::from_chars(digits.data() + at, end, value, 16);
      if (error != std::errc() || stop != end) return std::nullopt;
      parts.push_back(value / (std::pow(16.0, static_cast<double>(width)) - 1));
    }
    return from_parts(parts);
  }
  return std::nullopt;
}

// One argument of a colour function: a percentage, or a number out of `full`.
std::optional<double> from_number(std::string_view text, double full) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  if (!text.empty() && text.back() == '%') {
    text.remove_suffix(1);
    full = 100;
  }
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || stop != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value / full;
}

// "rgb(1,2,3)" and its like; the number that follows the colour's own is alpha, out of 1.
std::optional<Color> from_function(std::string_view text) {
  const std::size_t open = text.find('(');
  if (open == std::string_view::npos || text.back() != ')') return std::nullopt;
  const std::string_view name = text.substr(0, open);
  const bool gray = name.starts_with("gray") || name.starts_with("grey");
  if (!gray && name != "rgb" && name != "rgba" && name != "srgb" && name != "srgba") return std::nullopt;
  const std::size_t colors = gray ? 1 : 3;
  std::string_view rest = text.substr(open + 1, text.size() - open - 2);
  Parts parts;
  for (bool more = true; more;) {
    const std::size_t comma = rest.find(',');
    more = comma != std::string_view::npos;
    const auto part = from_number(rest.substr(0, comma), parts.size() < colors ? 255 : 1);
    if (!part || parts.size() > colors) return std::nullopt;
    parts.push_back(*part);
    if (more) rest.remove_prefix(comma + 1);
  }
  if (parts.size() < colors) return std::nullopt;
  return from_parts(parts);
}

// gray0 .. gray100: per cent, to the nearest 8-bit level.
std::optional<Color> from_gray_level(std::string_view text) {
  if (!text.starts_with("gray") && !text.starts_with("grey")) return std::nullopt;
  const auto percent = from_number(text.substr(4), 100);
  if (!percent || *percent < 0 || *percent > 1) return std::nullopt;
  return from_parts({std::floor(*percent * 100 * 2.55 + 0.5) / 255});
}

std::optional<Color> from_name(std::string_view text) {
  if (text == "none" || text == "transparent") return Color{0, 0, 0, 0};
  const NamedColor* named = named_color(text);
  if (named == nullptr) return std::nullopt;
  const auto part = [&](int shift) { return static_cast<double>((named->rgb >> shift) & 255U) / 255; };
  return from_parts({part(16), part(8), part(0)});
}

}  // namespace

Result<Color> parse_color(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  std::optional<Color> color;
  if (!lower.empty() && lower.front() == '#') color = from_hex(std::string_view(lower).substr(1));
  if (!color && !lower.empty()) color = from_function(lower);
  if (!color) color = from_name(lower);
  if (!color) color = from_gray_level(lower);
  if (!color)
    return fail(Errc::invalid, "colour '" + std::string(text) +
                                   "' is not known: give a name, #rrggbb, rgb(r,g,b), rgba(r,g,b,a) or none");
  return *color;
}

std::vector<std::uint16_t> bands_of(const Color& color, const PictureState& state) {
  const int colors = state.image->Bands - (state.alpha ? 1 : 0);
  std::vector<std::uint16_t> bands;
  if (colors == 1) {
    bands = {gray_of(color.red, color.green, color.blue)};
  } else if (colors == 4) {
    const auto inks = cmyk_of(color.red, color.green, color.blue);
    bands.assign(inks.begin(), inks.end());
  } else {
    bands = {color.red, color.green, color.blue};
  }
  bands.resize(static_cast<std::size_t>(colors));
  if (state.alpha) bands.push_back(color.alpha);
  return bands;
}

}  // namespace smalti::ops
