#include "store/cell.h"

#include <fmt/format.h>

#include "store/open_images.h"

namespace smalti {

std::string text(const TileKey& key) {
  return fmt::format("tile {}/{},{} of image {}", key.level, key.col, key.row, key.image.text());
}

tl::unexpected<Error> not_open(const TileKey& key) {
  return fail(Errc::invalid, fmt::format("{} was put before the image was opened, or after it was dropped", text(key)));
}

}  // namespace smalti
