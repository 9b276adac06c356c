#include "ops/op_colorspace.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "ops/op_point.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // vectorises the loops
#endif

namespace smalti::ops {
namespace {

constexpr double most = 65535;

std::uint16_t nearest(double value) { return static_cast<std::uint16_t>(std::floor(value + 0.5)); }

double to_linear(double v) {
  return v <= 0.0404482362771076 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
}
double from_linear(double v) {
  return v <= 0.0031306684425005883 ? v * 12.92 : 1.055 * std::pow(v, 1 / 2.4) - 0.055;
}

// A look-up of every 16-bit sample but alpha.
Result<VipsPtr> curved(const VipsPtr& image, bool alpha, double (*curve)(double)) {
  std::vector<std::uint16_t> table(65536);
  for (std::size_t i = 0; i < table.size(); ++i)
    table[i] = nearest(curve(static_cast<double>(i) / most) * most);
  Shape shape = shape_of(image);
  set_depth(shape, 16);
  const auto row = [table = std::move(table), bands = shape.bands, alpha](const std::byte* from,
                                                                          std::byte* to, std::size_t pixels) {
    const auto* a = reinterpret_cast<const std::uint16_t*>(from);
    auto* b = reinterpret_cast<std::uint16_t*>(to);
    const int colors = bands - (alpha ? 1 : 0);
    for (std::size_t i = 0; i < pixels; ++i, a += bands, b += bands) {
      for (int c = 0; c < colors; ++c) b[c] = table[a[c]];
      if (alpha) b[colors] = a[colors];
    }
  };
  return pointwise(image, shape, row);
}

// A change of every pixel's colours from `had` bands to `has`; alpha is carried along. 16-bit samples.
template <class Change>
Result<VipsPtr> recolored(const VipsPtr& image, bool alpha, int had, int has, VipsInterpretation as,
                          Change change) {
  Shape shape = shape_of(image);
  shape.bands = has + (alpha ? 1 : 0);
  shape.interpretation = as;
  const auto row = [=](const std::byte* from, std::byte* to, std::size_t pixels) {
    const auto* a = reinterpret_cast<const std::uint16_t*>(from);
    auto* b = reinterpret_cast<std::uint16_t*>(to);
    const int more = alpha ? 1 : 0;
    for (std::size_t i = 0; i < pixels; ++i, a += had + more, b += has + more) {
      change(a, b);
      if (alpha) b[has] = a[had];
    }
  };
  return pointwise(image, shape, row);
}

enum class Space { srgb, gray, cmyk, linear };

Space space_of(const PictureState& state) {
  if (state.image->Type == VIPS_INTERPRETATION_CMYK) return Space::cmyk;
  if (state.image->Bands - (state.alpha ? 1 : 0) < 3) return Space::gray;
  return state.linear ? Space::linear : Space::srgb;
}

Result<Space> space_named(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  if (lower == "srgb") return Space::srgb;
  if (lower == "gray" || lower == "grey" || lower == "rec709luma") return Space::gray;
  if (lower == "cmyk") return Space::cmyk;
  if (lower == "rgb" || lower == "linear" || lower == "linear-rgb") return Space::linear;
  return fail(Errc::unsupported, "-colorspace '" + std::string(name) +
                                     "' is not offered: take sRGB, Gray, CMYK or RGB (linear light)");
}

Result<VipsPtr> to_srgb(const PictureState& state, const VipsPtr& image) {
  switch (space_of(state)) {
    case Space::srgb:
      return share(image);
    case Space::gray:
      return with_three_colors(image, state.alpha);
    case Space::linear:
      return curved(image, state.alpha, from_linear);
    case Space::cmyk:
      break;
  }
  return recolored(image, state.alpha, 4, 3, VIPS_INTERPRETATION_RGB16,
                   [](const std::uint16_t* a, std::uint16_t* b) {
                     const auto color = rgb_of({a[0], a[1], a[2], a[3]});
                     std::copy(color.begin(), color.end(), b);
                   });
}

Result<VipsPtr> from_srgb(const VipsPtr& image, bool alpha, Space space) {
  switch (space) {
    case Space::srgb:
      return share(image);
    case Space::linear:
      return curved(image, alpha, to_linear);
    case Space::gray:
      return recolored(image, alpha, 3, 1, VIPS_INTERPRETATION_GREY16,
                       [](const std::uint16_t* a, std::uint16_t* b) { b[0] = gray_of(a[0], a[1], a[2]); });
    case Space::cmyk:
      break;
  }
  return recolored(image, alpha, 3, 4, VIPS_INTERPRETATION_CMYK,
                   [](const std::uint16_t* a, std::uint16_t* b) {
                     const auto inks = cmyk_of(a[0], a[1], a[2]);
                     std::copy(inks.begin(), inks.end(), b);
                   });
}

}  // namespace

std::uint16_t gray_of(std::uint16_t red, std::uint16_t green, std::uint16_t blue) noexcept {
  return static_cast<std::uint16_t>(0.212656 * red + 0.715158 * green + 0.072186 * blue + 0.5);
}

std::array<std::uint16_t, 4> cmyk_of(std::uint16_t red, std::uint16_t green, std::uint16_t blue) noexcept {
  const double cyan = 1 - red / most, magenta = 1 - green / most, yellow = 1 - blue / most;
  const double black = std::min({cyan, magenta, yellow});
  const double rest = 1 - black;
  const auto ink = [&](double v) { return rest > 0 ? nearest((v - black) / rest * most) : std::uint16_t{0}; };
  return {ink(cyan), ink(magenta), ink(yellow), nearest(black * most)};
}

std::array<std::uint16_t, 3> rgb_of(const std::array<std::uint16_t, 4>& inks) noexcept {
  const double black = inks[3] / most;
  const auto light = [&](std::uint16_t ink) {
    return nearest((1 - (ink / most * (1 - black) + black)) * most);
  };
  return {light(inks[0]), light(inks[1]), light(inks[2])};
}

Result<PictureState> to_colorspace(const PictureState& state, std::string_view name, int quantum_depth) {
  SMALTI_TRY(const Space wanted, space_named(name));
  if (wanted == space_of(state)) return state.with(share(state.image));
  SMALTI_TRY(const VipsPtr deep, to_depth(state.image, 16));
  SMALTI_TRY(const VipsPtr plain, to_srgb(state, deep));
  SMALTI_TRY(const VipsPtr done, from_srgb(plain, state.alpha, wanted));
  SMALTI_TRY(VipsPtr fitting, to_depth(done, quantum_depth));
  PictureState next = state.with(std::move(fitting));
  next.linear = wanted == Space::linear;
  return next;
}

}  // namespace smalti::ops
