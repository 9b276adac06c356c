#include "ops/metadata.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "ops/op_geometry.h"
#include "ops/op_settings.h"
#include "policy/words.h"

namespace smalti::ops {

namespace {

// Fields of the header proper, which pixels decide, and fields that were true of the file only.
constexpr std::array<std::string_view, 26> left_behind{"width",
                                                       "height",
                                                       "bands",
                                                       "format",
                                                       "coding",
                                                       "interpretation",
                                                       "xoffset",
                                                       "yoffset",
                                                       "xres",
                                                       "yres",
                                                       "filename",
                                                       "vips-loader",
                                                       "vips-sequential",
                                                       "n-pages",
                                                       "page-height",
                                                       "n-subifds",
                                                       "interlaced",
                                                       "jpeg-multiscan",
                                                       "jpeg-chroma-subsample",
                                                       "concurrency",
                                                       "delay",
                                                       "loop",
                                                       "gif-palette",
                                                       "palette-bit-depth",
                                                       "subifd",
                                                       "bits-per-sample"};

// "3000000/10000 (300.0000, Rational, ...)": the number; 0 where there is none.
double exif_number(VipsImage* image, const char* field) {
  const char* text = nullptr;
  if (vips_image_get_typeof(image, field) == 0 || vips_image_get_string(image, field, &text) != 0) return 0;
  char* rest = nullptr;
  const double above = g_ascii_strtod(text, &rest);
  if (*rest != '/') return above;
  const double below = g_ascii_strtod(rest + 1, nullptr);
  return below > 0 ? above / below : 0;
}

}  // namespace

void take_resolution_from_exif(VipsImage* image) {
  if (image->Xres != 1.0 || image->Yres != 1.0) return;
  const double x = exif_number(image, "exif-ifd0-XResolution"),
               y = exif_number(image, "exif-ifd0-YResolution");
  const double unit = exif_number(image, "exif-ifd0-ResolutionUnit");
  const double millimetres = unit == 3 ? 10.0 : 25.4;
  if (x <= 0 || y <= 0 || x > 1e6 || y > 1e6) return;
  image->Xres = x / millimetres;
  image->Yres = y / millimetres;
}

void strip_metadata(VipsImage* image) {
  char** fields = vips_image_get_fields(image);
  for (char** field = fields; field && *field; ++field) {
    const std::string_view name(*field);
    const bool of_pixels = std::find(left_behind.begin(), left_behind.end(), name) != left_behind.end();
    if (!of_pixels && name != VIPS_META_RESOLUTION_UNIT) vips_image_remove(image, *field);
  }
  g_strfreev(fields);
}

void set_upright(VipsImage* image) {
  vips_autorot_remove_angle(image);
  vips_image_set_int(image, VIPS_META_ORIENTATION, 1);
}

Result<void> set_resolution(VipsImage* image, const Settings& settings) {
  const std::string_view units = setting(settings, "units"), density = setting(settings, "density");
  const bool centimetres = same_word(units, "PixelsPerCentimeter");
  if (!units.empty() && !centimetres && !same_word(units, "PixelsPerInch") && !same_word(units, "Undefined"))
    return fail(Errc::invalid, "-units '" + std::string(units) +
                                   "' is not known: give PixelsPerInch, PixelsPerCentimeter or Undefined");
  if (!units.empty() || !density.empty())
    vips_image_set_string(image, VIPS_META_RESOLUTION_UNIT, centimetres ? "cm" : "in");
  if (density.empty()) return {};
  SMALTI_TRY(const Geometry asked, parse_geometry("-density", density));
  const double x = asked.w.value_or(0), y = asked.h.value_or(x);
  if (x <= 0 || y <= 0 || x > 1e6 || y > 1e6)
    return fail(Errc::invalid,
                "-density '" + std::string(density) + "': give a number above 0, or two as in 300x150");
  const double millimetres = centimetres ? 10.0 : 25.4;
  image->Xres = x / millimetres;
  image->Yres = y / millimetres;
  return {};
}

bool travels(std::string_view field) noexcept {
  return std::find(left_behind.begin(), left_behind.end(), field) == left_behind.end();
}

void copy_metadata(VipsImage* from, VipsImage* to) {
  const auto copy = [](VipsImage*, const char* name, GValue* value, void* into) -> void* {
    if (!travels(name)) return nullptr;
    vips_image_set(static_cast<VipsImage*>(into), name, value);
    return nullptr;
  };
  vips_image_map(from, copy, to);
  to->Xres = from->Xres;
  to->Yres = from->Yres;
}

}  // namespace smalti::ops
