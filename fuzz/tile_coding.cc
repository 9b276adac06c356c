// Coded tiles: whatever the bytes, a tile of the right size or an error; and what was coded comes back. The first four
// bytes choose the size and the format.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "wire/tile_coding.h"

namespace {

using namespace smalti;
using namespace smalti::wire::native;

constexpr Sample samples[] = {Sample::u8, Sample::u16, Sample::f32};

void there_and_back(std::span<const std::byte> pixels, Extent size, PixelFormat format, TileHeap& heap) {
  auto draft = TileDraft::make(size, format, heap);
  if (!draft || pixels.empty()) return;
  for (std::size_t i = 0; i < draft->bytes().size(); ++i) draft->bytes()[i] = pixels[i % pixels.size()];
  const Tile tile = std::move(*draft).freeze();
  for (const Coder coder : {Coder::lz4, Coder::zstd}) {
    const auto coded = encode_tile(tile, coder, heap);
    if (!coded || !*coded) continue;
    const auto back = decode_tile(coded->bytes(), size, format, heap);
    if (!back || back->computed_checksum() != tile.computed_checksum()) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static TileHeap heap;
  if (size < 4) return 0;
  const Extent extent{data[0] % 64u + 1, data[1] % 64u + 1};
  const PixelFormat format{samples[data[2] % 3], static_cast<std::uint8_t>(data[3] % 6 + 1), 0};
  const auto rest = std::as_bytes(std::span(data, size)).subspan(4);
  const auto tile = decode_tile(rest, extent, format, heap);
  if (tile && tile->charge() != extent.area() * format.pixel_bytes()) std::abort();
  there_and_back(rest, extent, format, heap);
  return 0;
}
