// Tiles made shorter for slow links: a filter that brings out what neighbouring pixels have in common, then LZ4 or zstd.
// Lossless. The coded form begins with its coder and its filters; doc/wire-native.md has the bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "smalti/base/result.h"
#include "smalti/tile/tile.h"
#include "smalti/tile/tile_heap.h"
#include "wire/native.h"

namespace smalti::wire::native {

// The coded form, as a strip of one-byte pixels; no tile where coding does not make it shorter, or `coder` is none.
Result<Tile> encode_tile(const Tile&, Coder, TileHeap&);
// Hostile bytes are welcome: no more is written than the tile has, and what does not fill it is Errc::corrupt. Whether
// the pixels are right only their checksum can tell.
Result<Tile> decode_tile(std::span<const std::byte> coded, Extent, PixelFormat, TileHeap&);

}  // namespace smalti::wire::native
