// A stage for operators: pictures from plain samples, and ImageMagick to compare with.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/state.h"

namespace smalti::ops::testing {

// Interleaved samples of 8 or 16 bits, held as 16-bit numbers.
struct Raster {
  Extent size;
  int bands = 3;
  bool alpha = false;
  int bits = 16;
  std::vector<std::uint16_t> samples;

  std::uint16_t at(std::uint32_t x, std::uint32_t y, int band) const {
    return samples[(std::size_t{y} * size.w + x) * static_cast<std::size_t>(bands) +
                   static_cast<std::size_t>(band)];
  }
  Raster wide() const;  // the same in 16 bits
};

enum class Kind { gray, rgb, rgba, graya };

// A piece of a real photograph, where one is installed (else of a drawn one); alpha comes from another place
// of the same photograph and has wholly clear and wholly opaque parts.
Raster photograph(Extent, Kind, int bits);

PictureState picture_of(const Raster&);
Raster raster_of(const PictureState&);  // computes every pixel

// Applies one operator of the table.
Result<PictureState> operate(const PictureState&, const std::string& name, const std::string& argument,
                             const Settings& settings = {}, std::uint32_t quantum_depth = 16);

// ImageMagick 6 of the system.
bool have_magick();
struct Magick {
  Raster raster;     // 16 bits
  std::string page;  // "640x480+10+20"
};
// `options` as on its command line, between input and output. The result has the bands of the input, unless
// told.
Magick magick(const Raster&, const std::string& options, int bands = 0);

// The greatest difference of any sample, in 65535ths; `any_band` also where they differ in size (65536).
int peak_error(const Raster&, const Raster&);
double psnr(const Raster&, const Raster&);  // dB, 65535 being the peak

}  // namespace smalti::ops::testing
