// Mender: puts tiles of images that have a name, whose pixels do not change any more.
#pragma once

#include <mutex>
#include <span>
#include <vector>

#include "smalti/store/store.h"

namespace smalti::server {

// A tile that is not there, or that is there and damaged, may be put by whoever has the image open; one that is there and
// sound stays what it is. So a client that has another copy can put things right, any number of times, and nobody can
// change a picture that has a name. Thread-safe; waits.
class Mender {
 public:
  // Fills each `put`: conflict where another tile is there. Of each, in the same order: whether there was none before.
  std::vector<bool> put(TileStore&, const Call&, std::span<TilePut>);

 private:
  bool put(TileStore&, const Call&, TilePut&);

  std::mutex mutex_;  // of two that mend the same tile one comes first
};

}  // namespace smalti::server
