// ImageSpec and Grid: how an image is cut into tiles.
#pragma once

#include <cstdint>
#include <vector>

#include "smalti/tile/tile.h"

namespace smalti {

inline constexpr std::uint32_t default_tile_side = 256;  // pixels

struct ImageSpec {
  Extent size;
  PixelFormat format;
  Extent tile{default_tile_side, default_tile_side};  // tiles at the right and bottom border are smaller

  std::uint64_t stored_bytes() const noexcept { return size.area() * format.pixel_bytes(); }
  auto operator<=>(const ImageSpec&) const = default;

  // Checks every product for overflow. Fails with invalid, and names what is wrong.
  Result<void> check() const;
};

// The tile extent for an image: default_tile_side wide; its height is halved while a row of tiles (the image's
// width times that height) would exceed `row_of_tiles_bytes`, but is at least 1.
Extent tile_extent_for(Extent image, PixelFormat, std::uint64_t row_of_tiles_bytes) noexcept;

// A value; pure arithmetic. REQUIRES: spec.check() held.
class Grid {
 public:
  Grid() = default;
  explicit Grid(const ImageSpec& spec) noexcept : spec_(spec) {}

  std::uint32_t cols() const noexcept;
  std::uint32_t rows() const noexcept;
  std::uint64_t tiles() const noexcept { return std::uint64_t{cols()} * rows(); }
  bool has(const TileKey&) const noexcept;
  Rect rect(std::uint32_t col, std::uint32_t row) const noexcept;  // in pixels of the image, clipped to it
  Rect rect(const TileKey& key) const noexcept { return rect(key.col, key.row); }
  std::uint64_t index(const TileKey& key) const noexcept { return std::uint64_t{key.row} * cols() + key.col; }

  // The tiles that meet a rectangle, in tile units; empty where it lies outside.
  struct Span {
    std::uint32_t col0 = 0, row0 = 0, col1 = 0, row1 = 0;  // half-open
    bool empty() const noexcept { return col0 >= col1 || row0 >= row1; }
  };
  Span span(Rect) const noexcept;
  std::vector<TileKey> cover(const ImageId&, Rect) const;  // row by row

  const ImageSpec& spec() const noexcept { return spec_; }

 private:
  ImageSpec spec_;
};

}  // namespace smalti
