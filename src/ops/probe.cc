#include "ops/probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "smalti/base/checked.h"

namespace smalti::ops {

std::uint64_t product(std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept {
  const auto ab = checked_mul(a, b);
  const auto abc = ab ? checked_mul(*ab, c) : std::nullopt;
  return abc.value_or(std::numeric_limits<std::uint64_t>::max());
}

namespace {

tl::unexpected<Error> bad_header(const InputFile& file, std::string_view format) {
  return fail(Errc::corrupt, fmt::format("'{}' is not a whole {} file: its header is damaged or cut short",
                                         file.name(), format));
}

constexpr bool frame_marker(std::uint8_t marker) noexcept {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}
constexpr bool progressive(std::uint8_t marker) noexcept { return (marker & 3) == 2; }

// What a decoder of several scans keeps: two bytes a coefficient, whole blocks of whole MCUs.
std::uint64_t coefficient_bytes(const Bytes& bytes, std::uint64_t frame, const Leaf& leaf,
                                std::uint8_t components) {
  std::uint64_t most_h = 1, most_v = 1, samples = 0;
  for (int pass = 0; pass < 2; ++pass)
    for (std::uint8_t i = 0; i < components; ++i) {
      const std::uint8_t factors = bytes.u8(frame + 6 + 3u * i + 1).value_or(0x11);
      const std::uint64_t h = factors >> 4, v = factors & 15;
      if (pass == 0) {
        most_h = std::max(most_h, h);
        most_v = std::max(most_v, v);
      } else {
        samples += ((leaf.width + 8 * most_h) * h / most_h) * ((leaf.height + 8 * most_v) * v / most_v);
      }
    }
  return 2 * samples;
}

// The quantisation that the JPEG standard suggests, of brightness and of colour. Encoders scale it by quality.
constexpr std::array<std::uint8_t, 64> suggested[2] = {
    {16, 11, 10, 16, 24,  40,  51,  61,  12, 12, 14, 19, 26,  58,  60,  55,  14, 13, 16, 24, 40,  57,
     69, 56, 14, 17, 22,  29,  51,  87,  80, 62, 18, 22, 37,  56,  68,  109, 103, 77, 24, 35, 55, 64,
     81, 104, 113, 92, 49, 64, 78,  87,  103, 121, 120, 101, 72, 92, 95, 98,  112, 100, 103, 99},
    {17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99,
     99, 99, 47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
     99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99}};

std::uint32_t sum_at(int quality, std::size_t table) {
  const std::uint32_t scale = static_cast<std::uint32_t>(quality < 50 ? 5000 / quality : 200 - 2 * quality);
  std::uint32_t sum = 0;
  for (const std::uint32_t step : suggested[table]) sum += std::clamp((step * scale + 50) / 100, 1u, 255u);
  return sum;
}

// The steps of a file's tables added up, brightness first; 0: there is no such table.
using Steps = std::array<std::uint32_t, 2>;

void take_tables(const Bytes& bytes, std::uint64_t at, std::uint64_t end, Steps& steps) {
  while (at < end) {
    const std::uint8_t kind = bytes.u8(at++).value_or(0xFF);
    const std::uint64_t wide = (kind >> 4) != 0 ? 2 : 1, table = kind & 15;
    if (end - at < 64 * wide || table > 3) return;
    std::uint32_t sum = 0;
    for (std::uint64_t i = 0; i < 64; ++i)
      sum += wide == 2 ? bytes.u16(at + 2 * i).value_or(0) : bytes.u8(at + i).value_or(0);
    if (table < steps.size()) steps[table] = sum;
    at += 64 * wide;
  }
}

// The quality whose tables are nearest to these; 0 without tables.
int quality_of(const Steps& steps) {
  int best = 0;
  std::uint32_t least = 0xFFFFFFFF;
  for (int quality = 100; quality >= 1; --quality) {
    std::uint32_t off = 0;
    for (std::size_t table = 0; table < steps.size(); ++table) {
      const std::uint32_t sum = sum_at(quality, table);
      if (steps[table] != 0) off += sum > steps[table] ? sum - steps[table] : steps[table] - sum;
    }
    if (off < least) least = off, best = quality;
  }
  return steps[0] == 0 ? 0 : best;
}

}  // namespace

// Walks the markers to the first scan. A header that we cannot follow is left to the decoder, which may.
Result<std::vector<Leaf>> probe_jpeg(const InputFile& file) {
  const Bytes bytes(file, false);
  Leaf leaf;
  std::uint64_t frame = 0;
  std::uint8_t components = 0, kind = 0;
  Steps steps{};
  for (std::uint64_t at = 2; at + 4 <= file.size();) {
    const auto ff = bytes.u8(at), marker = bytes.u8(at + 1);
    if (!ff || !marker || *ff != 0xFF) break;
    if (*marker == 0xFF) {
      ++at;  // fill byte
      continue;
    }
    const auto length = bytes.u16(at + 2);
    if (!length || *length < 2) return bad_header(file, "JPEG");
    if (frame_marker(*marker)) {
      frame = at + 4;
      kind = *marker;
      const auto high = bytes.u16(frame + 1), wide = bytes.u16(frame + 3);
      const auto count = bytes.u8(frame + 5);
      if (!high || !wide || !count) return bad_header(file, "JPEG");
      leaf.height = *high;
      leaf.width = *wide;
      components = *count;
    }
    if (*marker == 0xDB) take_tables(bytes, at + 4, at + 2 + *length, steps);
    if (*marker == 0xDA) {
      leaf.quality = quality_of(steps);
      const std::uint8_t in_scan = bytes.u8(at + 4).value_or(0);
      if (frame != 0 && (progressive(kind) || in_scan < components)) {
        leaf.held = coefficient_bytes(bytes, frame, leaf, components);
        leaf.why = progressive(kind) ? "a progressive JPEG" : "a JPEG of several scans";
        leaf.cure = "save it as a baseline JPEG";
      }
      return std::vector<Leaf>{leaf};
    }
    at += 2 + std::uint64_t{*length};
  }
  if (frame == 0) return bad_header(file, "JPEG");
  return std::vector<Leaf>{leaf};
}

Result<std::vector<Leaf>> probe_png(const InputFile& file) {
  const Bytes bytes(file, false);
  const auto wide = bytes.u32(16), high = bytes.u32(20);
  const auto bits = bytes.u8(24), color = bytes.u8(25), interlace = bytes.u8(28);
  if (!wide || !high || !bits || !color || !interlace || bytes.u32(12) != 0x49484452u)
    return bad_header(file, "PNG");
  Leaf leaf;
  leaf.width = *wide;
  leaf.height = *high;
  if (*interlace != 0) {
    // Palettes expand to RGB, transparent colours to alpha: four channels at most.
    const std::uint64_t channels = *color == 0 ? 2 : *color == 4 ? 2 : 4;
    leaf.held = product(leaf.width, leaf.height, channels * (*bits == 16 ? 2 : 1));
    leaf.why = "an interlaced PNG";
    leaf.cure = "save it without interlacing";
  }
  std::uint64_t at = 8;
  for (int chunks = 0; chunks < 10000; ++chunks) {
    const auto length = bytes.u32(at), type = bytes.u32(at + 4);
    if (!length || !type || *type == 0x49444154 /* IDAT */ || *length > 0x7FFFFFFF) break;
    const auto word = [&](std::uint64_t offset) { return bytes.u32(at + 8 + offset).value_or(0); };
    if (*type == 0x6F464673 /* oFFs */ && *length == 9 && bytes.u8(at + 16) == 0) {
      leaf.page.x = static_cast<std::int32_t>(word(0));
      leaf.page.y = static_cast<std::int32_t>(word(4));
    } else if (*type == 0x63614E76 /* caNv */ && *length == 16) {
      leaf.page = {
          static_cast<std::int32_t>(word(8)), static_cast<std::int32_t>(word(12)), {word(0), word(4)}};
    } else if (*type == 0x76704167 /* vpAg */ && *length == 9) {
      leaf.page.size = {word(0), word(4)};
    }
    at += 12 + std::uint64_t{*length};
  }
  return std::vector<Leaf>{leaf};
}

namespace {

// The decoder keeps the frame as RGBA and the blocks it comes from: just under 8 bytes a pixel, measured.
void hold_webp(Leaf& leaf) {
  leaf.held = product(leaf.width, leaf.height, 8);
  leaf.why = "a WebP";
  leaf.cure = "save it as PNG or TIFF";
}

std::uint64_t u24(const Bytes& bytes, std::uint64_t at) {
  return bytes.u16(at).value_or(0) | std::uint64_t{bytes.u8(at + 2).value_or(0)} << 16;
}

std::uint32_t count_frames(const InputFile& file, const Bytes& bytes) {
  std::uint32_t frames = 0;
  for (std::uint64_t at = 12; at + 8 <= file.size() && frames < 100000;) {
    const auto type = bytes.u32(at), length = bytes.u32(at + 4);
    if (!type || !length) break;
    if (*type == 0x464D4E41 /* ANMF */) ++frames;
    at += 8 + std::uint64_t{*length} + (*length & 1);
  }
  return std::max(frames, 1u);
}

}  // namespace

Result<std::vector<Leaf>> probe_webp(const InputFile& file) {
  const Bytes bytes(file, true);
  const auto kind = bytes.u32(12);
  if (!kind || file.size() < 30) return bad_header(file, "WebP");
  Leaf leaf;
  std::uint32_t frames = 1;
  if (*kind == 0x58385056 /* VP8X */) {
    leaf.width = u24(bytes, 24) + 1;
    leaf.height = u24(bytes, 27) + 1;
    if (bytes.u8(20).value_or(0) & 2) frames = count_frames(file, bytes);
  } else if (*kind == 0x4C385056 /* VP8L */) {
    const std::uint32_t packed = bytes.u32(21).value_or(0);
    leaf.width = (packed & 0x3FFF) + 1;
    leaf.height = (packed >> 14 & 0x3FFF) + 1;
  } else if (*kind == 0x20385056 /* VP8 */) {
    leaf.width = bytes.u16(26).value_or(0) & 0x3FFF;
    leaf.height = bytes.u16(28).value_or(0) & 0x3FFF;
  } else {
    return bad_header(file, "WebP");
  }
  hold_webp(leaf);
  return std::vector<Leaf>(frames, leaf);
}

}  // namespace smalti::ops
