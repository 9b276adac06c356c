#include <fmt/format.h>

#include <bit>

#include "ops/encode.h"

namespace smalti::ops {

namespace {

std::string header_of(const Encode& job) {
  const VipsImage* image = job.image.get();
  const int most = image->BandFmt == VIPS_FORMAT_USHORT ? 65535 : 255;
  if (job.word != "pam")
    return fmt::format("P{}\n{} {}\n{}\n", image->Bands == 1 ? 5 : 6, image->Xsize, image->Ysize, most);
  const int colors = image->Bands - (job.alpha ? 1 : 0);
  const std::string_view tuple = image->Type == VIPS_INTERPRETATION_CMYK ? "CMYK"
                                 : colors == 1                           ? "GRAYSCALE"
                                                                         : "RGB";
  return fmt::format("P7\nWIDTH {}\nHEIGHT {}\nDEPTH {}\nMAXVAL {}\nTUPLTYPE {}{}\nENDHDR\n", image->Xsize,
                     image->Ysize, image->Bands, most, tuple, job.alpha ? "_ALPHA" : "");
}

void to_big_endian(std::span<const std::byte> from, std::vector<std::byte>& to) {
  to.resize(from.size());
  if constexpr (std::endian::native == std::endian::big) {
    std::copy(from.begin(), from.end(), to.begin());
  } else {
    for (std::size_t i = 0; i + 1 < from.size(); i += 2) {
      to[i] = from[i + 1];
      to[i + 1] = from[i];
    }
  }
}

}  // namespace

Result<void> save_pnm(const Encode& job) {
  if (job.word == "pbm")
    return fail(Errc::unsupported, "PBM (one bit a pixel) can be read but not written; write PGM instead");
  const std::string header = header_of(job);
  SMALTI_CHECK(job.file.write(std::as_bytes(std::span(header))));
  std::vector<std::byte> swapped;
  Run run{job.what, job.flow, Errc::io, false, false, {}};
  run.strip = [&](Rect, Pixels pixels) -> Result<void> {
    const bool wide = pixels.format.sample == Sample::u16;
    if (!wide && pixels.contiguous())
      return job.file.write({pixels.data, pixels.size.area() * pixels.format.pixel_bytes()});
    for (std::uint32_t y = 0; y < pixels.size.h; ++y) {
      if (wide) to_big_endian(pixels.row(y), swapped);
      SMALTI_CHECK(job.file.write(wide ? std::span<const std::byte>(swapped) : pixels.row(y)));
    }
    return {};
  };
  return run_strips(job.workshop, job.call, job.image, run);
}

}  // namespace smalti::ops
