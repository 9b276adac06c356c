// WorkingSet: the bytes of tiles that one cache holds on to beyond the store, bounded and charged to the
// Ledger.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "smalti/policy/limits.h"

namespace smalti::cache {

struct WorkingSetPlan {
  std::uint64_t bound = 0;  // bytes to hold on to at most
  std::uint64_t most = 0;   // what need() may raise the bound to
  std::uint64_t reserve =
      0;  // bytes charged from the start, so that tiles at rest do not take what will be needed
};

// Thread-safe. REQUIRES: the Ledger outlives it, or close() is called before.
class WorkingSet {
 public:
  WorkingSet(Ledger&, WorkingSetPlan);

  void add(std::uint64_t bytes);
  void remove(std::uint64_t bytes);
  std::uint64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  std::uint64_t bound() const noexcept { return bound_.load(std::memory_order_relaxed); }
  std::uint64_t least_bound() const noexcept { return plan_.bound; }  // what it began with
  std::uint64_t most_bound() const noexcept { return plan_.most; }    // what need() may raise it to
  // What may be read ahead on a guess. Reads take the rest in one batch at most, so that both together stay within the
  // bound while all of it is still on its way, and nothing can be let go.
  std::uint64_t guess_share() const noexcept { return bound() / 3; }
  bool over() const noexcept { return used() > bound(); }

  // A caller touches tiles of so many bytes in one call, and will want them again: raises the bound, up to
  // `most`.
  void need(std::uint64_t bytes) noexcept;
  // Gives every charge back.
  void close();

 private:
  void charge_anew();

  Ledger& ledger_;
  const WorkingSetPlan plan_;
  std::atomic<std::uint64_t> used_{0};
  std::atomic<std::uint64_t> bound_;
  std::mutex mutex_;
  Hold hold_;            // guarded by mutex_
  bool closed_ = false;  // guarded by mutex_
};

}  // namespace smalti::cache
