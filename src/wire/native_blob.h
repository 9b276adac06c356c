// Bytes that are no pixels, travelling where tiles do: the details of a record.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "smalti/tile/tile.h"

namespace smalti::wire::native {

// One row of u8 samples. No bytes: no tile.
inline Tile blob_tile(std::shared_ptr<const std::vector<std::byte>> bytes) {
  if (bytes->empty()) return {};
  const auto size = static_cast<std::uint32_t>(bytes->size());
  const Pixels row{bytes->data(), {size, 1}, static_cast<std::ptrdiff_t>(size), {Sample::u8, 1, 0}};
  return Tile(row, std::move(bytes));
}

}  // namespace smalti::wire::native
