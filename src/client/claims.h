// Claims: one writer a tile at a time, so that all its copies are of the same put.
#pragma once

#include <condition_variable>
#include <mutex>
#include <span>
#include <unordered_set>
#include <vector>

#include "client/request.h"
#include "smalti/tile/tile.h"

namespace smalti::client {

// Thread-safe. Never take more while holding some: two such would wait for each other.
class Claims {
 public:
  // Indices of those keys that are the caller's from now on, each once: at least one. Waits until there is one.
  Result<std::vector<std::size_t>> take(const Call&, std::span<const TileKey>);
  // The same, but none where all are somebody else's.
  std::vector<std::size_t> try_take(std::span<const TileKey>);
  void release(std::span<const TileKey>);
  // When these are over: until then what they carry may still arrive.
  void release_after(std::vector<TileKey>, std::vector<RequestPtr>);

 private:
  struct Lingering {
    std::vector<TileKey> keys;
    std::vector<RequestPtr> requests;
  };
  std::vector<std::size_t> take_free(std::span<const TileKey>);

  std::mutex mutex_;
  std::condition_variable changed_;
  // Guarded by mutex_, both.
  std::unordered_set<TileKey> claimed_;
  std::vector<Lingering> lingering_;
};

}  // namespace smalti::client
