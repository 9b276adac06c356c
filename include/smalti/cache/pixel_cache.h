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
  // Bytes of tiles that the cache holds on to beyond the store: open drafts and the window of tiles lately read or
  // read ahead. 0: follows from the image (about three rows of tiles), charged to Resource::memory.
  std::uint64_t working_set = 0;
  bool read_ahead = true;
};

// How virtual pixels are answered. fill: one pixel in the image's format (used by Edge::fill and its kin).
struct Outside {
  Edge edge = Edge::edge;
  std::vector<std::byte> fill;
  std::uint64_t seed = 0;
};

// What a cache did, for -verbose.
struct CacheCounts {
  std::uint64_t reads = 0, writes = 0;            // rectangles
  std::uint64_t tiles_got = 0, bytes_got = 0;     // from the store
  std::uint64_t tiles_put = 0, bytes_put = 0;     // to the store
  std::uint64_t window_hits = 0, ahead_used = 0;  // tiles found in the window; of these, read ahead
  std::uint64_t wait_ns = 0;                      // callers' time spent waiting for the store
};

// Thread-safe: const members from many threads at once; writers of different pixels too. A reader that races a writer
// of the same pixels sees old or new ones. Move-only; the destructor drops its image from the store.
class PixelCache {
 public:
  // A new image; all pixels are zero until written (and are not stored until then). Fails with Errc::limit when its
  // width, height, area or number exceeds a limit, with Errc::invalid when the spec does not hold.
  static Result<PixelCache> create(CacheParts, const Call&, const ImageSpec&, CacheOptions = {});
  PixelCache(PixelCache&&) noexcept;
  PixelCache& operator=(PixelCache&&) noexcept;
  ~PixelCache();

  const ImageId& id() const noexcept;
  const ImageSpec& spec() const noexcept;

  // Any rectangle, inside the image or out; copies once. REQUIRES: into.size == rect.size, into.format == spec().format.
  // A written tile that the store no longer has is Errc::unavailable, never blank pixels.
  Result<void> read(const Call&, Rect, MutablePixels into, const Outside& = {}) const;
  // Zero copy when one whole tile covers rect; nullopt otherwise (and for virtual pixels).
  Result<std::optional<Tile>> view(const Call&, Rect) const;
  // REQUIRES: from.size == rect.size. Fails with Errc::invalid when rect is not inside the image. Small writes gather
  // in drafts, which reads overlay; whole tiles are put behind the caller's back.
  Result<void> write(const Call&, Rect, Pixels from);
  // Freezes the drafts and waits until every put has arrived; reports the first that failed.
  Result<void> sync(const Call&);

  // A hint that this rectangle is wanted next. Never waits.
  void expect(Rect) const;
  CacheCounts counts() const noexcept;

 private:
  struct Core;
  explicit PixelCache(std::shared_ptr<Core>);
  std::shared_ptr<Core> core_;
};

}  // namespace smalti
