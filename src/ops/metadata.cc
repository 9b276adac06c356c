#include "ops/metadata.h"

#include <array>
#include <string_view>

namespace smalti::ops {

namespace {

// Fields of the header proper, which pixels decide, and fields that were true of the file only.
constexpr std::array<std::string_view, 26> left_behind{
    "width",      "height",       "bands",       "format",        "coding",          "interpretation", "xoffset",
    "yoffset",    "xres",         "yres",        "filename",      "vips-loader",     "vips-sequential", "n-pages",
    "page-height", "n-subifds",   "interlaced",  "jpeg-multiscan", "jpeg-chroma-subsample", "concurrency",
    "delay",      "loop",         "gif-palette", "palette-bit-depth", "subifd", "bits-per-sample"};

}  // namespace

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
