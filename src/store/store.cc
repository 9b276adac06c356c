#include "smalti/store/store.h"

#include <utility>

namespace smalti {

Result<std::optional<Tile>> get_one(TileStore& store, const Call& call, const TileKey& key) {
  TileGet one{key};
  store.get(call, {&one, 1});
  return std::move(one.got);
}

Result<Generation> put_one(TileStore& store, const Call& call, const TileKey& key, Tile tile,
                           std::optional<Generation> only_if) {
  TilePut one{key, std::move(tile), only_if};
  store.put(call, {&one, 1});
  return std::move(one.put);
}

}  // namespace smalti
