#include "server/mender.h"

#include <fmt/format.h>

namespace smalti::server {

std::vector<bool> Mender::put(TileStore& store, const Call& call, std::span<TilePut> puts) {
  std::vector<bool> fresh;
  for (TilePut& one : puts) fresh.push_back(put(store, call, one));
  return fresh;
}

bool Mender::put(TileStore& store, const Call& call, TilePut& one) {
  const std::lock_guard lock(mutex_);
  const auto there = get_one(store, call, one.key);
  if (!there && there.error().code != Errc::corrupt) {
    one.put = pass(Error(there.error()));
    return false;
  }
  if (there && *there && (*there)->computed_checksum() == (*there)->checksum()) {
    const bool same = (*there)->checksum() == one.tile.checksum();
    one.put = same ? Result<Generation>(Generation{1})
                   : fail(Errc::conflict, fmt::format("tile {},{} of image {} is another one here, and does not change: the "
                                                      "image has a name",
                                                      one.key.col, one.key.row, one.key.image.text()));
    return false;
  }
  one.put = put_one(store, call, one.key, one.tile);
  return one.put.has_value() && there && !*there;
}

}  // namespace smalti::server
