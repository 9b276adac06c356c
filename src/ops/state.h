// PictureState: what a Picture holds. Private to ops/.
//
// The pixels are a lazy libvips image: uchar (0..255) or ushort (0..65535) samples, interpretation sRGB,
// RGB16, B_W, GREY16 or CMYK, alpha last. Metadata (ICC, EXIF, orientation, resolution) travels in the
// libvips image's own fields.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ops/flow.h"
#include "ops/picture.h"
#include "ops/vips.h"
#include "ops/work.h"

namespace smalti::ops {

struct PictureState {
  VipsPtr image;
  std::shared_ptr<const PixelCache> cache;  // what the pipeline reads from; keeps it alive
  FlowPtr flow;                             // where errors of that reading land; null: it reads from no cache
  bool alpha = false;                       // the last band is alpha (0: transparent)
  bool derived = false;                     // computed from the cache by an operator that is not trivial
  bool once = false;                        // its rows come from a decoder: they can be had once, downward
  bool streams = false;                     // one file, and operators since that could do with such rows
  std::vector<WorkPtr> works;               // the operators since the pixels were read or computed
  bool indexed = false;     // few levels, as of a palette or of grays: -resize then takes its softer filter
  bool linear = false;      // three colours in linear light (-colorspace RGB), not gamma-coded
  std::uint32_t depth = 8;  // bits a sample of the file to be written
  Rect page;                // canvas (0x0: none set), and where the image lies on it
  int quality = 0;          // of the JPEG that it came as; 0: of none
  std::string packing;      // how the TIFF that it came as is compressed, as -compress says it; or empty
  std::string file;         // as named on the command line
  std::string format;       // "JPEG"
  std::uint32_t scene = 0;
  std::uint64_t file_bytes = 0;

  PictureState with(VipsPtr pixels) const;  // the same with other pixels
};

// The picture's pixels in the depth in which a cache of its own would store them.
Result<VipsPtr> storable(const Workshop&, const PictureState&);

// The arithmetic of one operator: pure plumbing of lazy images. Fails with Errc::invalid on a bad argument.
using Apply = Result<PictureState> (*)(const Workshop&, const Call&, const PictureState& in,
                                       std::string_view argument, const Settings&);

// The same for an operator that makes one picture of all there are. `plus`: its + form.
using Join = Result<PictureState> (*)(const Workshop&, const Call&, std::span<const PictureState> all, bool plus,
                                      const Settings&);

struct OperatorRow {
  OperatorInfo info;
  Apply apply;  // null where it joins
  // Reads its input more than once, or a whole column to make a row: worth a cached input where that is
  // itself an operator's result (a file's pixels are in the cache already).
  bool needs_cached_input = false;
  bool trivial = false;  // computing a pixel again costs next to nothing, in any order
  Join join = nullptr;   // info.joins says the same
};

// The table (operators.cc). Adding an operator is adding a row.
std::span<const OperatorRow> operator_table() noexcept;

}  // namespace smalti::ops
