// Draft: a tile that is being written. DraftTable: all of one image's, so that reads overlay them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "cache/coverage.h"
#include "smalti/tile/tile.h"

namespace smalti::cache {

// A draft's life: fresh (no pixels yet) -> open (gathers writes) -> putting (frozen, on its way to the store)
// -> gone. A put that fails leaves it failed: its pixels stay readable, and the next write or sync goes on
// from there. Whoever has found a draft may go on using it when it is gone: it still holds the pixels that
// were put.
struct Draft {
  enum class Phase : std::uint8_t { fresh, open, putting, failed, gone };

  Draft(std::uint64_t which, Rect where) : index(which), rect(where) {}

  const std::uint64_t index;  // Grid::index
  const Rect rect;            // the tile's, in pixels of the image

  std::mutex mutex;
  std::condition_variable_any settled;  // the phase is no longer putting
  // All that follows is guarded by mutex, and so are the functions' callers.
  Phase phase = Phase::fresh;
  bool based = false;               // pixels that nobody wrote have their value too: the stored one, or zero
  std::optional<TileDraft> pixels;  // while open
  Coverage covered;                 // of what was written since it opened
  Tile frozen;                      // from putting on

  // Makes a fresh or failed draft an open one.
  Result<void> open(PixelFormat, TileHeap&);
  // True when `part` (in pixels of the image) cannot be answered without what the draft was drawn over.
  bool needs_base(Rect part) const noexcept;
  // `stored`: the tile that the store has, or one without pixels where none was ever put.
  void set_base(const Tile& stored);
  // REQUIRES: phase is open, and every pixel has its value.
  void freeze();
  Pixels now() noexcept;
  Rect local(Rect part) const noexcept { return {part.x - rect.x, part.y - rect.y, part.size}; }
};

using DraftPtr = std::shared_ptr<Draft>;

// Thread-safe. Its lock is never held while a draft's is being taken.
class DraftTable {
 public:
  bool empty() const noexcept { return count_.load(std::memory_order_acquire) == 0; }
  DraftPtr find(std::uint64_t index) const;
  DraftPtr find_or_make(std::uint64_t index, Rect rect);
  void erase(const DraftPtr&);
  std::vector<DraftPtr> oldest_first() const;

  // Calls found(item, draft) for each item whose index has a draft. One lock for all of them.
  template <class Items, class IndexOf, class Found>
  void match(Items& items, IndexOf index_of, Found found) const {
    const std::lock_guard lock(mutex_);
    for (auto& item : items)
      if (const auto at = drafts_.find(index_of(item)); at != drafts_.end()) found(item, *at->second);
  }

 private:
  mutable std::mutex mutex_;
  std::atomic<std::size_t> count_{0};
  std::list<DraftPtr> by_age_;  // guarded by mutex_; oldest first
  std::unordered_map<std::uint64_t, std::list<DraftPtr>::iterator> drafts_;  // guarded by mutex_
};

}  // namespace smalti::cache
