// Memo: the tiles that a thread lately had at once from the store, so that row after row of them costs no
// look-up.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "smalti/tile/tile.h"

namespace smalti::cache {

// Tiles of one read, in the order of their index. `version` is the cache's when they were asked for: any put
// since makes the page worthless.
struct MemoPage {
  struct Entry {
    std::uint64_t index = 0;
    Tile tile;
  };
  std::uint64_t version = 0;
  std::vector<Entry> entries;
};
using MemoPagePtr = std::shared_ptr<const MemoPage>;

// Thread-safe: threads are spread over a few slots, which they rarely share. A page keeps its tiles from
// being freed, though the store may have let go of them, so a slot holds little.
class Memo {
 public:
  static constexpr std::uint64_t slot_bytes = 8u << 20;

  MemoPagePtr mine(std::uint64_t version) const;
  void keep(MemoPagePtr);
  void clear();

 private:
  struct alignas(64) Slot {
    mutable std::mutex mutex;
    MemoPagePtr page;  // guarded by mutex
  };
  const Slot& slot() const noexcept;
  std::array<Slot, 8> slots_;
};

}  // namespace smalti::cache
