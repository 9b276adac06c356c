// The inside of a PixelCache. How its parts keep out of each other's way stands in
// doc/decisions/201-a-tile-has-one-writer.md.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "cache/draft.h"
#include "cache/memo.h"
#include "cache/read_order.h"
#include "cache/window.h"
#include "smalti/cache/pixel_cache.h"

namespace smalti {

namespace cache {

// A tile that a read needs, and where its pixels are.
struct Piece {
  std::uint64_t index = 0;  // Grid::index
  Rect part;                // what is needed of it, in pixels of the image
  DraftPtr draft;           // being written: its pixels overlay
  Tile tile;                // without pixels: never written, hence zero; or lent
  // Lent by the thread's memo, whose page the read keeps: so that threads which read the same tiles do not
  // pass the tiles' reference counts to and fro between their processors.
  const Tile* lent = nullptr;
  bool ready = false;
  bool at_rest = false;  // the store answers it at once: nothing is gained by holding on to it

  const Tile& held() const noexcept { return lent ? *lent : tile; }
};

// The pieces of one read, sorted by index, no index twice; and what keeps the lent ones alive.
struct Pieces {
  std::vector<Piece> items;
  MemoPagePtr page;
};

// Counts what runs in the background, so that its end can be waited for. Thread-safe.
class Gate {
 public:
  bool enter();  // false once closed
  void leave();
  void close();  // waits until all have left

 private:
  std::mutex mutex_;
  std::condition_variable empty_;
  std::size_t inside_ = 0;  // guarded by mutex_
  bool closed_ = false;     // guarded by mutex_
};

struct AtomicCounts {
  std::atomic<std::uint64_t> reads{0}, writes{0}, tiles_hot{0}, tiles_got{0}, bytes_got{0}, tiles_put{0},
      bytes_put{0}, window_hits{0}, ahead_got{0}, ahead_used{0}, wait_ns{0};
};

}  // namespace cache

// Thread-safe throughout, like the cache itself.
struct PixelCache::Core : std::enable_shared_from_this<PixelCache::Core> {
  Core(CacheParts, const ImageId&, const ImageSpec&, const CacheOptions&, cache::WorkingSetPlan, Hold listed);

  // core_read.cc
  Result<void> read(const Call&, Rect, MutablePixels into, const Outside&);
  Result<std::optional<Tile>> view(const Call&, Rect);
  std::uint64_t worth_keeping(Rect, const Grid::Span&) const noexcept;  // bytes

  // acquire.cc
  // Finds or fetches every piece. `noting`: a reader's read, from which the next ones may be guessed.
  Result<void> acquire(const Call&, cache::Pieces&, bool noting);

  // core_write.cc
  Result<void> write(const Call&, Rect, Pixels from);
  Result<void> sync(const Call&);

  // core_ahead.cc
  enum class Hint : std::uint8_t { guessed, told, planned };
  void fetch_ahead(const Grid::Span&, Hint);
  void plan(Rect, Pace);
  // Posts what is due; `done` of what was posted earlier has been seen to.
  void fetch_due(std::size_t done);

  void close();

  bool is_written(std::uint64_t index) const noexcept;
  void mark_written(std::uint64_t index) noexcept;
  TileKey key(std::uint64_t index) const noexcept;
  Rect tile_rect(std::uint64_t index) const noexcept;
  std::uint64_t tile_bytes(std::uint64_t index) const noexcept;
  std::string name(std::uint64_t index) const;  // "image 0123.., tile 4,7", for errors
  // An error of the store's with the tile's name, or the image's. Where room is lacking they would help nobody.
  tl::unexpected<Error> failed_for(Error, std::uint64_t index) const;
  tl::unexpected<Error> failed_for_all(Error) const;
  // What counts as one tile where many are counted.
  std::uint64_t full_tile_bytes() const noexcept { return spec.tile.area() * spec.format.pixel_bytes(); }

  CacheParts parts;
  const ImageSpec spec;
  const Grid grid;
  const ImageId id;
  bool read_only = false;  // constant once others know the object
  const bool read_ahead;
  const bool sparse;
  std::vector<std::byte> blank;  // of a sparse one: guarded by choosing_ until all is written; else constant
  cache::WorkingSet set;
  cache::Window window{set};
  cache::DraftTable drafts;
  cache::Memo memo;
  cache::ReadOrder order;
  cache::AtomicCounts counts;
  std::atomic<std::uint64_t> version{0};  // grows whenever a stored tile has changed

 private:
  class Reading;
  struct Batch;

  // acquire.cc
  void overlay(std::vector<cache::Piece>&);
  void recall(cache::Pieces&, std::uint64_t at_version);
  void remember(const std::vector<cache::Piece>&, std::uint64_t at_version);
  bool look_in_window(std::vector<cache::Piece>&);
  void ask_at_once(const Call&, std::vector<cache::Piece>&, std::uint64_t at_version);
  Result<void> fetch(const Call&, std::vector<cache::Piece>&);
  Result<void> fetch_mine(const Call&, std::vector<cache::Ask>&);
  void move_on(const std::vector<cache::Piece>&);
  Result<Tile> arrived(std::uint64_t index, TileGet&) const;
  void note(const std::vector<cache::Piece>&);

  // core_write.cc
  Result<void> draw(const Call&, std::uint64_t index, Rect part, Pixels from, Batch&);
  bool skips(std::uint64_t index, Pixels);
  Result<bool> freeze(const Call&, const cache::DraftPtr&);
  Result<void> put(const Call&, Batch&);
  Result<void> put_all(const Call&);
  Result<void> evict(const Call&);
  void settle(const cache::DraftPtr&, bool arrived);

  // core_ahead.cc
  bool post_ahead(std::vector<std::uint64_t> indices, Hint);
  void run_ahead(const std::vector<std::uint64_t>& indices, Hint);

  std::vector<std::atomic<std::uint64_t>> written_;  // one bit a tile
  std::mutex evicting_;
  std::mutex choosing_;
  bool chosen_ = false;  // what `blank` is; guarded by choosing_
  Hold listed_;
  cache::Gate gate_;
  std::stop_source closing_;
};

}  // namespace smalti
