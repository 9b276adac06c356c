// Sidecar: what travels beside the pixels of a named image, as bytes: ICC profile, EXIF, XMP, orientation, resolution,
// page, colour space. doc/wire-native.md says how they lie. Private to ops/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "ops/state.h"

namespace smalti::ops {

struct Sidecar {
  struct Field {
    std::string name;
    std::variant<std::int64_t, double, std::string, std::vector<std::byte>> value;
  };
  VipsInterpretation interpretation = VIPS_INTERPRETATION_sRGB;
  bool alpha = false, linear = false;
  Rect page;
  std::string format;  // of the file it came from
  double resolution_x = 1, resolution_y = 1;  // pixels a millimetre
  std::vector<Field> fields;
  std::vector<std::byte> blank;  // one pixel, what tiles that are not there hold; empty: zero
};

Result<std::vector<std::byte>> encode_sidecar(const PictureState&, std::span<const std::byte> blank);
// Bytes of anybody: corrupt unless they are a sidecar.
Result<Sidecar> decode_sidecar(std::span<const std::byte>);
// Gives the picture all of it. REQUIRES: picture.image, of as many bands as the sidecar's picture had.
Result<void> restore(const Sidecar&, PictureState& picture);

}  // namespace smalti::ops
