// PixelCache: any rectangle of an image, wherever its tiles live. The class that users of the library meet.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "smalti/base/call.h"
#include "smalti/base/pool.h"
#include "smalti/geom/edge.h"
#include "smalti/policy/limits.h"
#include "smalti/store/store.h"

namespace smalti {

// What every cache of a process shares. REQUIRES: outlives the caches.
struct CacheParts {
  std::shared_ptr<TileStore> store;
  Ledger& ledger;
  TileHeap& heap;
  Pool& ahead;  // runs reads ahead of the workers
};

struct CacheOptions {
  // Bytes of tiles that the cache holds on to beyond the store: open drafts and the window of tiles lately
  // read or read ahead. 0: follows from the image (about three rows of tiles), charged to Resource::memory.
  std::uint64_t working_set = 0;
  bool read_ahead = true;
  bool listed = true;  // an image of its own to Resource::list_length; false: its owner counts his images himself
  // Tiles that are one colour throughout are not stored, where it is the colour of the first such tile: see blank().
  // REQUIRES: every pixel is written once, and none is read before sync().
  bool sparse = false;
  std::vector<std::byte> blank = {};  // open() only: one pixel, what tiles that were not stored hold; empty: zero
};

// How virtual pixels are answered. fill: one pixel in the image's format (used by Edge::fill and its kin).
struct Outside {
  Edge edge = Edge::edge;
  std::vector<std::byte> fill;
  std::uint64_t seed = 0;
};

// The pace of readers that know their order: they go in steps, which count up; every one before `reached` is done with.
struct Pace {
  std::uint64_t at = 0;
  std::uint64_t reached = 0;
};

// What a cache did, for -verbose.
struct CacheCounts {
  std::uint64_t reads = 0, writes = 0;          // rectangles
  std::uint64_t tiles_hot = 0;                  // answered by the store at once, without waiting
  std::uint64_t tiles_got = 0, bytes_got = 0;   // waited for, by a caller or by the read-ahead
  std::uint64_t tiles_put = 0, bytes_put = 0;   // to the store
  std::uint64_t window_hits = 0;                // tiles found in the window, or on their way there
  std::uint64_t ahead_got = 0, ahead_used = 0;  // tiles read ahead; of these, wanted afterwards
  std::uint64_t wait_ns = 0;                    // callers' time spent waiting for the store
};

// How to cut an image into tiles, so that a row of them stays under an eighth of the memory limit (of at
// least 32 MiB).
ImageSpec spec_for(Extent, PixelFormat, const Ledger&) noexcept;

// Thread-safe: const members from many threads at once; writers of different pixels too. A reader that races
// a writer of the same pixels sees old or new ones. Move-only; the destructor drops its image from the store.
class PixelCache {
 public:
  // A new image; all pixels are zero until written (and are not stored until then). Fails with Errc::limit
  // when its width, height, area or number exceeds a limit, with Errc::invalid when the spec does not hold.
  static Result<PixelCache> create(CacheParts, const Call&, const ImageSpec&, CacheOptions = {});
  // One that somebody else made and that does not change any more: a version of a named image. `written`: which
  // of its tiles there are, by grid index; the others are CacheOptions::blank. Writes fail with Errc::conflict. REQUIRES: the
  // store has the image open; it is dropped there in the end, which for others' images means let go.
  static Result<PixelCache> open(CacheParts, const ImageId&, const ImageSpec&, const std::vector<bool>& written,
                                 CacheOptions = {});
  PixelCache(PixelCache&&) noexcept;
  PixelCache& operator=(PixelCache&&) noexcept;
  ~PixelCache();

  const ImageId& id() const noexcept;
  const ImageSpec& spec() const noexcept;
  // What tiles that were never stored hold: one pixel, or empty for zero. Of a sparse one it is known from sync() on.
  const std::vector<std::byte>& blank() const noexcept;

  // Any rectangle, inside the image or out; copies once. Fails with Errc::invalid unless into.size ==
  // rect.size and into.format == spec().format. A written tile that the store no longer has is
  // Errc::unavailable, never blank pixels. With Reach::hot, Errc::would_wait where a tile is not at hand;
  // `into` is then unspecified.
  Result<void> read(const Call&, Rect, MutablePixels into, const Outside& = {}) const;
  // Zero copy when one tile covers rect: that tile, whose first pixel is that of Grid::rect, not of `rect`.
  // nullopt otherwise, as for virtual pixels, pixels never written, and those still gathering in a draft:
  // read() them.
  Result<std::optional<Tile>> view(const Call&, Rect) const;
  // Fails with Errc::invalid when rect is not inside the image, or `from` differs from it in size or the
  // image in format. Small writes gather in drafts, which reads overlay; a tile that is whole is put. When
  // that fails its pixels stay readable here, and sync() tries again. With Reach::hot a tile that is now
  // whole is not put, but Errc::would_wait: repeat the same write with Reach::deep.
  Result<void> write(const Call&, Rect, Pixels from);
  // Freezes the drafts and waits until every put has arrived; reports the first that failed.
  Result<void> sync(const Call&);

  // A hint that this rectangle is wanted next. Never waits.
  void expect(Rect) const;
  // The same from readers that know their order, well ahead of their reads and in the order of their steps (a
  // step may want many rectangles): what they told is fetched ahead as far as it may be kept, and kept until
  // its last step is done with. Meanwhile nothing is guessed. An empty rectangle ends the plan, a lower step
  // begins a new one.
  void expect(Rect, Pace) const;
  CacheCounts counts() const noexcept;

 private:
  struct Core;
  explicit PixelCache(std::shared_ptr<Core>);
  static Result<std::shared_ptr<Core>> core_for(CacheParts, const ImageId&, const ImageSpec&, const CacheOptions&);
  std::shared_ptr<Core> core_;
};

}  // namespace smalti
