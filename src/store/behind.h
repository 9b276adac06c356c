// Behind: the queue of keys on their way to slower tiers, and the bound on the bytes of tiles among them.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "smalti/policy/limits.h"
#include "store/open_images.h"

namespace smalti {

// What a tiered store keeps of an image.
struct TieredImage : OpenImage {
  TieredImage(const ImageSpec& of, std::size_t tiers) : OpenImage(of), doors(tiers) {}

  // Whether a tier was told of the image.
  struct Door {
    enum State : std::uint8_t { closed, open, refused };
    std::mutex mutex;  // held while the tier is opened
    std::atomic<State> state{closed};
    std::atomic<unsigned> failures{0};
    Error why;  // of the last failure; written under the mutex, and no more once the state is refused
  };
  // A vector that is never resized: doors do not move.
  std::vector<Door> doors;
  std::atomic<std::uint64_t> busy{0};  // keys that are queued or flying

  // The first put behind the caller's back that failed since the last sync.
  void fail(const Error&);
  std::optional<Error> failure() const;
  std::optional<Error> take_failure();
  Error lost() const;  // why tiles of this image could not be stored, also after take_failure()

 private:
  mutable std::mutex mutex_;
  std::atomic<bool> failed_{false};
  std::optional<Error> failure_;  // guarded by mutex_
  Error lost_;                    // guarded by mutex_
};

using TieredImagePtr = std::shared_ptr<TieredImage>;

class Behind;

// Bytes of one tile on its way; given back when this dies. REQUIRES: its Behind outlives it.
class Passage {
 public:
  Passage(Behind& behind, std::uint64_t bytes, Hold hold) : behind_(behind), bytes_(bytes), hold_(std::move(hold)) {}
  Passage(const Passage&) = delete;
  Passage& operator=(const Passage&) = delete;
  ~Passage();

 private:
  Behind& behind_;
  const std::uint64_t bytes_;
  Hold hold_;
};

// Thread-safe; its lock is a leaf.
class Behind {
 public:
  struct Item {
    TileKey key;
    TieredImagePtr image;
  };

  // `ledger` may be null.
  Behind(std::uint64_t bound, Ledger* ledger) : bound_(bound), ledger_(ledger) {}

  // Null when there is no room. One tile alone always enters.
  std::unique_ptr<Passage> try_enter(std::uint64_t bytes);
  void push(const TileKey&, TieredImagePtr);
  std::vector<Item> pop(std::size_t most);
  // Takes an image's keys out of the queue and answers for them.
  void purge(const TieredImage&);
  // A key is neither queued nor flying any more.
  void resolved(TieredImage&);

  // Something changed since `seen` (in room, queue or what is under way), or a short while has passed.
  std::uint64_t epoch() const;
  void await_change(std::uint64_t seen);

  std::uint64_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }
  std::uint64_t bound() const noexcept { return bound_; }
  std::uint64_t busy() const noexcept { return busy_.load(); }
  bool idle_queue() const;

 private:
  friend class Passage;
  void change();

  const std::uint64_t bound_;
  Ledger* const ledger_;
  std::atomic<std::uint64_t> bytes_{0};
  std::atomic<std::uint64_t> busy_{0};
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Item> queue_;   // guarded by mutex_
  std::uint64_t epoch_ = 0;  // guarded by mutex_
};

}  // namespace smalti
