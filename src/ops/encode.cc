#include "ops/encode.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "ops/foresight.h"
#include "ops/op_geometry.h"
#include "ops/op_settings.h"
#include "policy/words.h"

namespace smalti::ops {

namespace {

struct UnrefTarget {
  void operator()(VipsTarget* target) const noexcept { g_object_unref(target); }
};
using TargetPtr = std::unique_ptr<VipsTarget, UnrefTarget>;

// What libvips' encoders write into: our file, after what is to be spliced into it.
struct Sink {
  const Encode& job;
  std::vector<std::byte> splice;  // goes in ...
  std::size_t splice_at = 0;      // ... behind this many bytes
  std::size_t written = 0;
};

Result<void> put(Sink& sink, std::span<const std::byte> bytes) {
  SMALTI_CHECK(sink.job.call.alive());
  if (!sink.splice.empty() && sink.written + bytes.size() >= sink.splice_at &&
      sink.written <= sink.splice_at) {
    const std::size_t before = sink.splice_at - sink.written;
    SMALTI_CHECK(sink.job.file.write(bytes.first(before)));
    SMALTI_CHECK(sink.job.file.write(sink.splice));
    sink.splice.clear();
    sink.written += before;
    bytes = bytes.subspan(before);
  }
  sink.written += bytes.size();
  return sink.job.file.write(bytes);
}

TargetPtr target_into(Sink& sink) {
  using Write = gint64 (*)(VipsTargetCustom*, const void*, gint64, Sink*);
  using Read = gint64 (*)(VipsTargetCustom*, void*, gint64, Sink*);
  using Seek = gint64 (*)(VipsTargetCustom*, gint64, int, Sink*);
  const Write write = [](VipsTargetCustom*, const void* data, gint64 size, Sink* into) -> gint64 {
    const std::span bytes(static_cast<const std::byte*>(data), static_cast<std::size_t>(size));
    return put(*into, bytes) ? size : -1;
  };
  const Read read = [](VipsTargetCustom*, void* data, gint64 size, Sink* into) -> gint64 {
    return into->job.file.read({static_cast<std::byte*>(data), static_cast<std::size_t>(size)});
  };
  const Seek seek = [](VipsTargetCustom*, gint64 offset, int whence, Sink* into) -> gint64 {
    return into->job.file.seek(offset, whence);
  };
  VipsTargetCustom* target = vips_target_custom_new();
  g_signal_connect(target, "write", reinterpret_cast<GCallback>(write), &sink);
  g_signal_connect(target, "read", reinterpret_cast<GCallback>(read), &sink);
  g_signal_connect(target, "seek", reinterpret_cast<GCallback>(seek), &sink);
  return TargetPtr(VIPS_TARGET(target));
}

// Runs one save of libvips'; the file's own error (a full disk) says more than libvips' echo of it.
template <class Save>
Result<void> run_save(const Encode& job, Sink& sink, Save save) {
  vips_error_clear();
  const TargetPtr target = target_into(sink);
  SMALTI_TRY(const VipsPtr told, told_ahead(job.image));
  const Watch watch(job.workshop, job.call, told.get(), job.what);
  const int failed = save(told.get(), target.get());
  if (!job.file.state()) {
    vips_error_clear();
    return pass(job.file.state().error());
  }
  if (failed != 0) return why(job.call, job.flow, Errc::io, job.what);
  watch.finished();
  return {};
}

void put32(std::vector<std::byte>& out, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<std::byte>(value >> shift));
}

// CRC-32 as PNG has it, bit by bit: chunks of ours are a few bytes long.
std::uint32_t png_crc(std::span<const std::byte> bytes) {
  std::uint32_t crc = ~0u;
  for (const std::byte b : bytes) {
    crc ^= static_cast<std::uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
  }
  return ~crc;
}

void put_chunk(std::vector<std::byte>& out, std::string_view type, const std::vector<std::byte>& data) {
  put32(out, static_cast<std::uint32_t>(data.size()));
  const std::size_t from = out.size();
  for (const char c : type) out.push_back(static_cast<std::byte>(c));
  out.insert(out.end(), data.begin(), data.end());
  put32(out, png_crc(std::span(out).subspan(from)));
}

// Where the image lies on its canvas: the standard's oFFs, and the private caNv that ImageMagick reads the
// canvas from.
std::vector<std::byte> png_page(const Encode& job) {
  const Rect& page = job.page;
  const auto fits = [](std::int64_t v) { return v >= -0x7FFFFFFF && v <= 0x7FFFFFFF; };
  const bool whole_canvas =
      page.size.empty() || (page.size.w == static_cast<std::uint32_t>(job.image->Xsize) &&
                            page.size.h == static_cast<std::uint32_t>(job.image->Ysize));
  if (!fits(page.x) || !fits(page.y) || (page.x == 0 && page.y == 0 && whole_canvas)) return {};
  std::vector<std::byte> offset, canvas, out;
  put32(offset, static_cast<std::uint32_t>(page.x));
  put32(offset, static_cast<std::uint32_t>(page.y));
  offset.push_back(std::byte{0});
  put32(canvas, page.size.w);
  put32(canvas, page.size.h);
  canvas.insert(canvas.end(), offset.begin(), offset.end() - 1);
  put_chunk(out, "oFFs", offset);
  put_chunk(out, "caNv", canvas);
  return out;
}

}  // namespace

Result<std::optional<int>> quality_of(const Settings& settings) {
  const std::string_view text = setting(settings, "quality");
  if (text.empty()) return std::optional<int>();
  int quality = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), quality);
  if (failed != std::errc() || end != text.data() + text.size() || quality < 0 || quality > 100)
    return fail(Errc::invalid, fmt::format("-quality '{}': a whole number of 0 to 100 is needed", text));
  return std::optional<int>(quality);
}

bool interlaced(const Settings& settings) {
  const std::string_view word = setting(settings, "interlace");
  return !word.empty() && !same_word(word, "none") && !same_word(word, "undefined");
}

namespace {

// Whether colours are halved in both directions. Unset: below quality 90, as ImageMagick does.
Result<VipsForeignSubsample> subsampling(const Settings& settings) {
  std::string_view word = setting(settings, "sampling-factor");
  if (word.empty()) return VIPS_FOREIGN_SUBSAMPLE_AUTO;
  word = word.substr(0, word.find(','));  // of the first component: the others are 1x1
  if (word == "4:4:4" || word == "1x1" || word == "1") return VIPS_FOREIGN_SUBSAMPLE_OFF;
  if (word == "4:2:0" || word == "2x2" || word == "2") return VIPS_FOREIGN_SUBSAMPLE_ON;
  return fail(Errc::unsupported,
              fmt::format("-sampling-factor '{}' is not offered: take 4:4:4 (1x1) or 4:2:0 (2x2)", word));
}

}  // namespace

Result<void> save_jpeg(const Encode& job) {
  SMALTI_TRY(const auto quality, quality_of(job.settings));
  SMALTI_TRY(const auto colors, subsampling(job.settings));
  const bool passes = interlaced(job.settings);
  Sink sink{job, {}, 0, 0};
  return run_save(job, sink, [&](VipsImage* image, VipsTarget* target) {
    return vips_jpegsave_target(image, target, "Q", std::max(quality.value_or(job.quality ? job.quality : 92), 1), "subsample-mode", colors,
                                "interlace", passes ? TRUE : FALSE, nullptr);
  });
}

// ImageMagick: tens are zlib's level, units the filter (5 and more: chosen a row). Unset, its own default is
// level 7 with chosen filters, which is slow; ours is level 6 without filter, which is several times as fast
// (doc/decisions).
Result<void> save_png(const Encode& job) {
  SMALTI_TRY(const auto quality, quality_of(job.settings));
  static constexpr std::array filters{VIPS_FOREIGN_PNG_FILTER_NONE,  VIPS_FOREIGN_PNG_FILTER_SUB,
                                      VIPS_FOREIGN_PNG_FILTER_UP,    VIPS_FOREIGN_PNG_FILTER_AVG,
                                      VIPS_FOREIGN_PNG_FILTER_PAETH, VIPS_FOREIGN_PNG_FILTER_ALL};
  const int level = quality ? std::min(*quality / 10, 9) : 6;
  const bool passes = interlaced(job.settings);
  const auto filter = filters[quality ? static_cast<std::size_t>(std::min(*quality % 10, 5)) : 0];
  Sink sink{job, png_page(job), 33, 0};  // behind signature and IHDR
  return run_save(job, sink, [&](VipsImage* image, VipsTarget* target) {
    return vips_pngsave_target(image, target, "compression", level, "filter", filter, "interlace",
                               passes ? TRUE : FALSE, "palette", job.word == "png8" ? TRUE : FALSE, nullptr);
  });
}

namespace {

// -define tiff:tile-geometry=WxH; a pyramid is always of tiles. Empty: strips.
Result<Extent> tile_of(const Encode& job) {
  const std::string_view text = setting(job.settings, "tiff:tile-geometry");
  if (text.empty()) return job.word == "ptif" ? Extent{256, 256} : Extent{};
  SMALTI_TRY(const Geometry geometry, parse_geometry("-define tiff:tile-geometry", text));
  const double w = geometry.w.value_or(0), h = geometry.h.value_or(w);
  constexpr double most = 8192;
  if (w < 16 || h < 16 || w > most || h > most || std::fmod(w, 16) != 0 || std::fmod(h, 16) != 0)
    return fail(Errc::invalid, fmt::format("-define tiff:tile-geometry={}: both sides are multiples of 16, up to {}",
                                           text, most));
  return Extent{static_cast<std::uint32_t>(w), static_cast<std::uint32_t>(h)};
}

}  // namespace

Result<void> save_tiff(const Encode& job) {
  SMALTI_TRY(const auto quality, quality_of(job.settings));
  const std::string_view asked = setting(job.settings, "compress");
  const std::string_view packing = asked.empty() ? job.packing : asked;
  SMALTI_TRY(const Extent tile, tile_of(job));
  const std::array<std::pair<std::string_view, VipsForeignTiffCompression>, 9> packings{
      {{"", VIPS_FOREIGN_TIFF_COMPRESSION_NONE},
       {"none", VIPS_FOREIGN_TIFF_COMPRESSION_NONE},
       {"undefined", VIPS_FOREIGN_TIFF_COMPRESSION_NONE},
       {"lzw", VIPS_FOREIGN_TIFF_COMPRESSION_LZW},
       {"zip", VIPS_FOREIGN_TIFF_COMPRESSION_DEFLATE},
       {"jpeg", VIPS_FOREIGN_TIFF_COMPRESSION_JPEG},
       {"rle", VIPS_FOREIGN_TIFF_COMPRESSION_PACKBITS},
       {"zstd", VIPS_FOREIGN_TIFF_COMPRESSION_ZSTD},
       {"webp", VIPS_FOREIGN_TIFF_COMPRESSION_WEBP}}};
  const auto found = std::find_if(packings.begin(), packings.end(),
                                  [&](const auto& row) { return same_word(row.first, packing); });
  if (found == packings.end())
    return fail(Errc::invalid,
                fmt::format("-compress '{}': TIFF takes None, LZW, Zip, JPEG, RLE, Zstd and WebP", packing));
  const bool big =
      job.word == "tiff64" || static_cast<std::uint64_t>(VIPS_IMAGE_SIZEOF_IMAGE(job.image.get())) >
                                  (std::uint64_t{7} << 29);  // 3.5 GiB
  Sink sink{job, {}, 0, 0};
  return run_save(job, sink, [&](VipsImage* image, VipsTarget* target) {
    return vips_tiffsave_target(image, target, "compression", found->second, "Q",
                                std::max(quality.value_or(92), 1), "bigtiff", big ? TRUE : FALSE, "predictor",
                                VIPS_FOREIGN_TIFF_PREDICTOR_HORIZONTAL, "page-height", job.page_height,
                                "tile", tile.empty() ? FALSE : TRUE, "tile-width",
                                static_cast<int>(tile.empty() ? 128 : tile.w), "tile-height",
                                static_cast<int>(tile.empty() ? 128 : tile.h), "pyramid",
                                job.word == "ptif" ? TRUE : FALSE, nullptr);
  });
}

Result<void> save_gif(const Encode& job) {
  Sink sink{job, {}, 0, 0};
  return run_save(job, sink, [&](VipsImage* image, VipsTarget* target) {
    return vips_gifsave_target(image, target, "page-height", job.page_height, nullptr);
  });
}

Result<void> save_webp(const Encode& job) {
  SMALTI_TRY(const auto quality, quality_of(job.settings));
  const bool lossless = setting(job.settings, "webp:lossless") == "true" || quality.value_or(75) >= 100;
  Sink sink{job, {}, 0, 0};
  return run_save(job, sink, [&](VipsImage* image, VipsTarget* target) {
    return vips_webpsave_target(image, target, "Q", quality.value_or(75), "lossless", lossless ? TRUE : FALSE,
                                nullptr);
  });
}

}  // namespace smalti::ops
