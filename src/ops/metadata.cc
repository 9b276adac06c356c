#include "ops/metadata.h"

#include <array>
#include <string_view>

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

void copy_metadata(VipsImage* from, VipsImage* to) {
  const auto copy = [](VipsImage*, const char* name, GValue* value, void* into) -> void* {
    for (const std::string_view field : left_behind)
      if (field == name) return nullptr;
    vips_image_set(static_cast<VipsImage*>(into), name, value);
    return nullptr;
  };
  vips_image_map(from, copy, to);
  to->Xres = from->Xres;
  to->Yres = from->Yres;
}

}  // namespace smalti::ops
