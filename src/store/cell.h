// Cell: a tile's place within its image; what tables that are kept by image use as their key.
#pragma once

#include <xxhash.h>

#include <compare>
#include <cstdint>
#include <string>

#include "smalti/tile/tile.h"

namespace smalti {

struct Cell {
  std::uint32_t level = 0;
  std::uint32_t col = 0;
  std::uint32_t row = 0;
  auto operator<=>(const Cell&) const = default;
};

inline Cell cell_of(const TileKey& key) noexcept { return {key.level, key.col, key.row}; }
inline TileKey key_of(const ImageId& image, const Cell& cell) noexcept { return {image, cell.level, cell.col, cell.row}; }

struct CellHash {
  std::size_t operator()(const Cell& cell) const noexcept { return XXH3_64bits(&cell, sizeof cell); }
};

// "tile 0/3,7 of image 00ff...": level/column,row, for messages.
std::string text(const TileKey&);

}  // namespace smalti
