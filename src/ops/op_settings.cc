#include "ops/op_settings.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <utility>

#include "ops/op_point.h"

namespace smalti::ops {
namespace {

enum class Fill : std::uint8_t { background, black, gray, white, clear };

struct Method {
  std::string_view name;
  Edge edge;
  Fill fill = Fill::background;
};

constexpr Method methods[] = {
    {"edge", Edge::edge},
    {"undefined", Edge::edge},
    {"background", Edge::fill, Fill::background},
    {"black", Edge::fill, Fill::black},
    {"gray", Edge::fill, Fill::gray},
    {"white", Edge::fill, Fill::white},
    {"transparent", Edge::fill, Fill::clear},
    {"none", Edge::fill, Fill::clear},
    {"mirror", Edge::mirror},
    {"tile", Edge::tile},
    {"checker-tile", Edge::checker_tile},
    {"checkertile", Edge::checker_tile},
    {"dither", Edge::dither},
    {"random", Edge::random},
    {"horizontal-tile", Edge::horizontal_tile},
    {"horizontaltile", Edge::horizontal_tile},
    {"vertical-tile", Edge::vertical_tile},
    {"verticaltile", Edge::vertical_tile},
    {"horizontal-tile-edge", Edge::horizontal_tile_edge},
    {"horizontaltileedge", Edge::horizontal_tile_edge},
    {"vertical-tile-edge", Edge::vertical_tile_edge},
    {"verticaltileedge", Edge::vertical_tile_edge},
};

Result<Method> method_of(const Settings& settings) {
  const std::string_view text = setting(settings, "virtual-pixel");
  if (text.empty()) return methods[0];
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  for (const Method& method : methods)
    if (method.name == lower) return method;
  return fail(Errc::invalid,
              "-virtual-pixel '" + std::string(text) +
                  "' is not known: take edge, mirror, tile, background, black, gray, white, transparent, "
                  "checker-tile, dither, random or horizontal-, vertical-tile and -tile-edge");
}

bool uses_fill(Edge edge) {
  return edge == Edge::fill || edge == Edge::checker_tile || edge == Edge::horizontal_tile ||
         edge == Edge::vertical_tile;
}

// Black, gray and white are plain levels of every colour band, whatever the colour space.
std::vector<std::uint16_t> level(std::uint16_t value, const PictureState& state) {
  std::vector<std::uint16_t> bands(static_cast<std::size_t>(state.image->Bands), value);
  if (state.alpha) bands.back() = 65535;
  return bands;
}

}  // namespace

std::string_view setting(const Settings& settings, std::string_view name) {
  const auto at = settings.find(name);
  return at == settings.end() ? std::string_view{} : std::string_view(at->second);
}

std::string temporary_folder(const Settings& settings) {
  for (const char* name : {"registry:temporary-path", "temporary-path"})
    if (const auto found = settings.find(std::string_view(name)); found != settings.end())
      return found->second;
  for (const char* name : {"MAGICK_TEMPORARY_PATH", "TMPDIR"})
    if (const char* value = std::getenv(name); value && *value) return value;
  return "/tmp";
}

Result<Color> background_of(const Settings& settings) {
  const std::string_view text = setting(settings, "background");
  if (text.empty()) return Color{65535, 65535, 65535};
  auto color = parse_color(text);
  if (!color) return pass(std::move(color.error()), "-background");
  return color;
}

Result<Surround> surround_of(const PictureState& state, const Settings& settings) {
  SMALTI_TRY(const Method method, method_of(settings));
  Surround surround{method.edge};
  if (!uses_fill(method.edge)) return surround;
  switch (method.fill) {
    case Fill::background: {
      SMALTI_TRY(const Color color, background_of(settings));
      surround.fill = bands_of(color, state);
      break;
    }
    case Fill::black:
      surround.fill = level(0, state);
      break;
    case Fill::gray:
      surround.fill = level(65535 / 2, state);
      break;
    case Fill::white:
      surround.fill = level(65535, state);
      break;
    case Fill::clear:
      surround.fill.assign(static_cast<std::size_t>(state.image->Bands), 0);
      break;
  }
  return surround;
}

Result<PictureState> with_bands_for(const PictureState& in, const Settings& settings) {
  SMALTI_TRY(const Method method, method_of(settings));
  PictureState out = in.with(share(in.image));
  if (!uses_fill(method.edge)) return out;
  Color color{0, 0, 0, static_cast<std::uint16_t>(method.fill == Fill::clear ? 0 : 65535)};
  if (method.fill == Fill::background) {
    SMALTI_TRY(color, background_of(settings));
  }
  if (out.image->Bands < 3 && !color.gray()) {
    SMALTI_TRY(out.image, with_three_colors(out.image, out.alpha));
  }
  if (!out.alpha && !color.opaque()) {
    SMALTI_TRY(out.image, with_opaque_alpha(out.image));
    out.alpha = true;
  }
  return out;
}

}  // namespace smalti::ops
