#include "test/ops/op_stage.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "smalti/store/stores.h"

namespace smalti::ops::testing {
namespace {

constexpr const char* convert = "/usr/bin/convert";
constexpr const char* photographs[] = {"/usr/share/backgrounds/firstgeneration.jpg",
                                       "/usr/share/backgrounds/rhythm.jpg"};

std::vector<std::uint8_t> drawn(Extent size) {
  std::vector<std::uint8_t> out;
  std::uint32_t noise = 12345;
  for (std::uint32_t y = 0; y < size.h; ++y)
    for (std::uint32_t x = 0; x < size.w; ++x)
      for (std::uint32_t b = 0; b < 3; ++b) {
        noise = noise * 1664525U + 1013904223U;
        out.push_back(static_cast<std::uint8_t>((x * (b + 1) + y * 2 + (noise >> 27)) & 255U));
      }
  return out;
}

// 8-bit RGB from the middle of a photograph.
std::vector<std::uint8_t> photo_rgb(Extent size, int offset) {
  for (const char* path : photographs) {
    if (!std::filesystem::exists(path)) continue;
    const VipsPtr image(vips_image_new_from_file(path, nullptr));
    if (!image) continue;
    VipsImage* part = nullptr;
    if (vips_extract_area(image.get(), &part, 1500 + offset, 1100 + offset, static_cast<int>(size.w),
                          static_cast<int>(size.h), nullptr) != 0)
      continue;
    const VipsPtr owned(part);
    std::size_t bytes = 0;
    void* memory = vips_image_write_to_memory(part, &bytes);
    std::vector<std::uint8_t> out(static_cast<std::uint8_t*>(memory),
                                  static_cast<std::uint8_t*>(memory) + bytes);
    g_free(memory);
    if (bytes == size.area() * 3) return out;
  }
  return drawn(size);
}

// Alpha with a clear and an opaque plateau.
std::uint8_t alpha_of(std::uint8_t light) {
  return static_cast<std::uint8_t>(std::clamp((static_cast<int>(light) - 60) * 3, 0, 255));
}

struct TempFolder {
  std::filesystem::path path;
  TempFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "smalti-ops-XXXXXX").string();
    path = ::mkdtemp(pattern.data());
  }
  ~TempFolder() { std::filesystem::remove_all(path); }
};

const char* magick_name(int bands) {
  static constexpr const char* names[] = {"", "gray", "graya", "rgb", "rgba", "cmyka"};
  return names[bands];
}

std::vector<std::uint8_t> bytes_of(const Raster& raster) {
  std::vector<std::uint8_t> out;
  for (const std::uint16_t v : raster.samples) {
    out.push_back(static_cast<std::uint8_t>(v & 255U));
    if (raster.bits == 16) out.push_back(static_cast<std::uint8_t>(v >> 8U));
  }
  return out;
}

std::string slurp(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

Raster Raster::wide() const {
  Raster out = *this;
  if (bits == 8)
    for (auto& v : out.samples) v = static_cast<std::uint16_t>(v * 257);
  out.bits = 16;
  return out;
}

Raster photograph(Extent size, Kind kind, int bits) {
  const auto colors = photo_rgb(size, 0), other = photo_rgb(size, 300);
  Raster out{size,
             kind == Kind::gray    ? 1
             : kind == Kind::graya ? 2
             : kind == Kind::rgb   ? 3
                                   : 4,
             kind == Kind::rgba || kind == Kind::graya,
             bits,
             {}};
  const int own = out.bands - (out.alpha ? 1 : 0);
  std::uint32_t noise = 99;
  const auto put = [&](std::uint8_t v, bool flat) {
    // 16 bits: what lies between two 8-bit levels too, but the ends stay the ends.
    noise = noise * 1664525U + 1013904223U;
    const int jitter = bits == 8 || flat ? 0 : static_cast<int>(noise >> 24U) - 128;
    out.samples.push_back(
        static_cast<std::uint16_t>(bits == 8 ? v : std::clamp(static_cast<int>(v) * 257 + jitter, 0, 65535)));
  };
  for (std::size_t i = 0; i < size.area(); ++i) {
    for (int b = 0; b < own; ++b) put(colors[i * 3 + static_cast<std::size_t>(b)], false);
    const std::uint8_t alpha = alpha_of(other[i * 3 + 1]);
    if (out.alpha) put(alpha, alpha == 0 || alpha == 255);
  }
  return out;
}

PictureState picture_of(const Raster& raster) {
  const auto bytes = bytes_of(raster);
  PictureState state;
  state.image.reset(vips_image_new_from_memory_copy(
      bytes.data(), bytes.size(), static_cast<int>(raster.size.w), static_cast<int>(raster.size.h),
      raster.bands, raster.bits == 8 ? VIPS_FORMAT_UCHAR : VIPS_FORMAT_USHORT));
  const bool deep = raster.bits == 16;
  if (raster.bands < 3) {
    state.image->Type = deep ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W;
  } else {
    state.image->Type = deep ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB;
  }
  state.alpha = raster.alpha;
  state.depth = static_cast<std::uint32_t>(raster.bits);
  state.file = "raster";
  return state;
}

Raster raster_of(const PictureState& state) {
  const VipsImage* image = state.image.get();
  Raster out{{static_cast<std::uint32_t>(image->Xsize), static_cast<std::uint32_t>(image->Ysize)},
             image->Bands,
             state.alpha,
             image->BandFmt == VIPS_FORMAT_USHORT ? 16 : 8,
             {}};
  std::size_t bytes = 0;
  void* memory = vips_image_write_to_memory(state.image.get(), &bytes);
  if (memory == nullptr) {
    ADD_FAILURE() << "cannot compute: " << vips_error_buffer();
    return out;
  }
  const std::size_t count = out.size.area() * static_cast<std::size_t>(out.bands);
  out.samples.resize(count);
  if (out.bits == 16) {
    std::copy_n(static_cast<const std::uint16_t*>(memory), count, out.samples.begin());
  } else {
    std::copy_n(static_cast<const std::uint8_t*>(memory), count, out.samples.begin());
  }
  g_free(memory);
  return out;
}

Result<PictureState> operate(const PictureState& state, const std::string& name, const std::string& argument,
                             const Settings& settings, std::uint32_t quantum_depth) {
  Limits limits{};
  limits.most.fill(~std::uint64_t{0});
  Ledger ledger(limits);
  TileHeap heap;
  Pool pool(1);
  Log log;
  const Workshop shop{CacheParts{std::shared_ptr<TileStore>(), ledger, heap, pool}, Quantum{quantum_depth},
                      log};
  const Picture picture(std::make_shared<const PictureState>(state.with(share(state.image))));
  SMALTI_TRY(const Picture done, apply(shop, Call{}, picture, {name, argument, settings}));
  return done.state().with(share(done.state().image));
}

bool have_magick() { return std::filesystem::exists(convert); }

Magick magick(const Raster& raster, const std::string& options, int bands) {
  const TempFolder folder;
  const auto in = folder.path / "in.raw", out = folder.path / "out.raw", info = folder.path / "info";
  const auto bytes = bytes_of(raster);
  std::ofstream(in, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  const int wanted = bands != 0 ? bands : raster.bands;
  const bool inks = options.find("cmyk") != std::string::npos;
  const std::string command =
      std::string(convert) + " -size " + std::to_string(raster.size.w) + 'x' + std::to_string(raster.size.h) +
      " -endian LSB -depth " + std::to_string(raster.bits) + ' ' + magick_name(raster.bands) + ':' +
      in.string() + ' ' + options + " -depth 16 -endian LSB -format '%w %h %g' -write info:" + info.string() +
      ' ' + (inks ? wanted == 5 ? "cmyka" : "cmyk" : magick_name(wanted)) + ':' + out.string();
  if (std::system(command.c_str()) != 0) {
    ADD_FAILURE() << "failed: " << command;
    return {};
  }
  Magick result;
  char page[64] = {};
  std::sscanf(slurp(info).c_str(), "%u %u %63s", &result.raster.size.w, &result.raster.size.h, page);
  result.page = page;
  result.raster.bands = wanted;
  result.raster.alpha = wanted == 2 || (wanted == 4 && !inks) || wanted == 5;
  const std::string raw = slurp(out);
  result.raster.samples.resize(raw.size() / 2);
  for (std::size_t i = 0; i < result.raster.samples.size(); ++i)
    result.raster.samples[i] = static_cast<std::uint16_t>(static_cast<std::uint8_t>(raw[2 * i]) |
                                                          static_cast<std::uint8_t>(raw[2 * i + 1]) << 8U);
  return result;
}

int peak_error(const Raster& given, const Raster& wanted) {
  const Raster a = given.wide(), b = wanted.wide();
  if (a.size != b.size || a.bands != b.bands || a.samples.size() != b.samples.size()) return 65536;
  int peak = 0;
  for (std::size_t i = 0; i < a.samples.size(); ++i)
    peak = std::max(peak, std::abs(static_cast<int>(a.samples[i]) - static_cast<int>(b.samples[i])));
  return peak;
}

double psnr(const Raster& given, const Raster& wanted) {
  const Raster a = given.wide(), b = wanted.wide();
  if (a.size != b.size || a.samples.size() != b.samples.size()) return 0;
  double sum = 0;
  for (std::size_t i = 0; i < a.samples.size(); ++i) {
    const double d = static_cast<double>(a.samples[i]) - static_cast<double>(b.samples[i]);
    sum += d * d;
  }
  return sum == 0 ? 200 : 10 * std::log10(65535.0 * 65535.0 * static_cast<double>(a.samples.size()) / sum);
}

}  // namespace smalti::ops::testing
