// The encoders, one function a format. Each streams the lazy image, strip by strip, into an OutFile.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "ops/cached_sink.h"
#include "ops/format.h"
#include "ops/out_file.h"
#include "ops/picture.h"
#include "ops/vips.h"

namespace smalti::ops {

// One picture on its way to one file. The image has what the format takes (FormatRow::takes) and nothing
// else.
struct Encode {
  const Workshop& workshop;
  const Call& call;
  const VipsPtr& image;
  bool alpha = false;
  Rect page;              // canvas (0x0: none) and offset
  int page_height = 0;    // rows of each page, where the image holds several, one below the other; else 0
  std::string_view word;  // as the format was asked for: "pgm", "ppm", "pam"
  const Settings& settings;
  OutFile& file;
  FlowPtr flow;
  std::string what;  // "writing out.png"
  int quality = 0;           // that the picture came in, where -quality is not set; 0: none
  std::string_view packing;  // likewise, where -compress is not set; empty: none
};

Result<void> save_jpeg(const Encode&);
Result<void> save_png(const Encode&);
Result<void> save_tiff(const Encode&);
Result<void> save_webp(const Encode&);
Result<void> save_gif(const Encode&);
Result<void> save_pnm(const Encode&);

// -quality: nullopt where it is not set; Errc::invalid where it is no number of 0 to 100.
Result<std::optional<int>> quality_of(const Settings&);

// Whether -interlace asks for passes of growing detail (Line, Plane, Partition, JPEG, PNG; not None).
bool interlaced(const Settings&);

}  // namespace smalti::ops
