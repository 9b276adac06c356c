#include "ops/canvas.h"

#include <fmt/format.h>

#include <array>
#include <charconv>

#include "ops/cached_sink.h"
#include "ops/op_color.h"
#include "ops/state.h"

namespace smalti::ops {

namespace {

constexpr std::size_t most_bands = 4;

// Every row has one colour: the first row's, the last row's, or one between.
struct Ramp {
  std::array<double, most_bands> top{}, bottom{};
  int bands = 3;
  int height = 1;
  bool wide = true;
};

template <class T>
void fill_row(const Ramp& ramp, T* row, int width, double at, double scale) {
  std::array<T, most_bands> pixel{};
  for (int band = 0; band < ramp.bands; ++band) {
    const auto b = static_cast<std::size_t>(band);
    pixel[b] = static_cast<T>((ramp.top[b] + (ramp.bottom[b] - ramp.top[b]) * at) * scale + 0.5);
  }
  for (int x = 0; x < width; ++x)
    for (int band = 0; band < ramp.bands; ++band) *row++ = pixel[static_cast<std::size_t>(band)];
}

int generate(VipsRegion* region, void*, void* a, void*, gboolean*) {
  const auto& ramp = *static_cast<const Ramp*>(a);
  const VipsRect& want = region->valid;
  for (int y = want.top; y < want.top + want.height; ++y) {
    const double at = ramp.height > 1 ? static_cast<double>(y) / (ramp.height - 1) : 0;
    auto* row = VIPS_REGION_ADDR(region, want.left, y);
    if (ramp.wide)
      fill_row(ramp, reinterpret_cast<std::uint16_t*>(row), want.width, at, 1.0);
    else
      fill_row(ramp, row, want.width, at, 1.0 / 257);
  }
  return 0;
}

Result<Extent> size_of(const Settings& settings, std::string_view prefix) {
  const auto found = settings.find("size");
  const std::string_view text =
      found == settings.end() ? std::string_view() : std::string_view(found->second);
  Extent size;
  const char* end = text.data() + text.size();
  const auto wide = std::from_chars(text.data(), end, size.w);
  if (wide.ec == std::errc() && wide.ptr != end && (*wide.ptr == 'x' || *wide.ptr == 'X')) {
    const auto high = std::from_chars(wide.ptr + 1, end, size.h);
    if (high.ec == std::errc() && high.ptr == end && !size.empty()) return size;
  }
  if (text.empty())
    return fail(Errc::invalid, fmt::format("'{}:' needs a size: write -size 640x480 before it", prefix));
  return fail(Errc::invalid, fmt::format("-size '{}': WIDTHxHEIGHT is needed, in pixels", text));
}

// "red-blue"; a name may hold no dash of its own, a hex colour none either.
Result<std::pair<Color, Color>> colors_of(std::string_view prefix, std::string_view argument) {
  if (prefix != "gradient") {
    SMALTI_TRY(const Color color, parse_color(argument.empty() ? "white" : argument));
    return std::pair{color, color};
  }
  const auto dash = argument.find('-');
  SMALTI_TRY(const Color top, parse_color(argument.empty() ? "white" : argument.substr(0, dash)));
  if (dash != std::string_view::npos) {
    SMALTI_TRY(const Color bottom, parse_color(argument.substr(dash + 1)));
    return std::pair{top, bottom};
  }
  const Color black{0, 0, 0, 65535}, white{65535, 65535, 65535, 65535};
  return std::pair{top, top == black ? white : black};
}

bool needs_16_bits(const Color& color) {
  return color.red % 257 != 0 || color.green % 257 != 0 || color.blue % 257 != 0 || color.alpha % 257 != 0;
}

}  // namespace

bool is_canvas(std::string_view prefix) {
  return prefix == "canvas" || prefix == "xc" || prefix == "gradient";
}

Result<Picture> make_canvas(const Workshop& workshop, std::string_view prefix, std::string_view argument,
                            const Settings& settings) {
  SMALTI_TRY(const Extent size, size_of(settings, prefix));
  const std::string name = fmt::format("{}:{}", prefix, argument);
  SMALTI_CHECK(check_size(workshop, size.w, size.h, name));
  SMALTI_TRY(const auto colors, colors_of(prefix, argument));
  const auto& [top, bottom] = colors;
  const bool alpha = !top.opaque() || !bottom.opaque();
  auto* ramp = new Ramp;
  ramp->top = {double(top.red), double(top.green), double(top.blue), double(top.alpha)};
  ramp->bottom = {double(bottom.red), double(bottom.green), double(bottom.blue), double(bottom.alpha)};
  ramp->bands = alpha ? 4 : 3;
  ramp->height = static_cast<int>(size.h);
  ramp->wide = top != bottom || needs_16_bits(top);
  auto state = std::make_shared<PictureState>();
  state->image.reset(vips_image_new());
  VipsImage* image = state->image.get();
  g_object_set_data_full(G_OBJECT(image), "smalti-ramp", ramp,
                         [](gpointer data) { delete static_cast<Ramp*>(data); });
  vips_image_init_fields(image, static_cast<int>(size.w), static_cast<int>(size.h), ramp->bands,
                         ramp->wide ? VIPS_FORMAT_USHORT : VIPS_FORMAT_UCHAR, VIPS_CODING_NONE,
                         ramp->wide ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB, 1.0, 1.0);
  if (vips_image_pipelinev(image, VIPS_DEMAND_STYLE_ANY, nullptr) != 0 ||
      vips_image_generate(image, nullptr, generate, nullptr, ramp, nullptr) != 0)
    return vips_fail(Errc::internal, name);
  state->alpha = alpha;
  state->depth = ramp->wide ? 16 : 8;
  state->file = name;
  state->format = prefix == "gradient" ? "GRADIENT" : "XC";
  return Picture(std::move(state));
}

}  // namespace smalti::ops
