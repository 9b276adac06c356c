#include "cache/working_set.h"

#include <algorithm>

namespace smalti::cache {

WorkingSet::WorkingSet(Ledger& ledger, WorkingSetPlan plan)
    : ledger_(ledger), plan_(plan), bound_(plan.bound) {
  charge_anew();
}

void WorkingSet::add(std::uint64_t bytes) {
  used_.fetch_add(bytes, std::memory_order_relaxed);
  charge_anew();
}

void WorkingSet::remove(std::uint64_t bytes) {
  used_.fetch_sub(bytes, std::memory_order_relaxed);
  charge_anew();
}

void WorkingSet::need(std::uint64_t bytes) noexcept {
  const std::uint64_t wanted = std::min(bytes, plan_.most);
  std::uint64_t now = bound();
  while (now < wanted && !bound_.compare_exchange_weak(now, wanted, std::memory_order_relaxed)) {
  }
}

void WorkingSet::close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  hold_.release();
}

// The old charge goes first: the sum would be a peak that never was.
void WorkingSet::charge_anew() {
  const std::lock_guard lock(mutex_);
  const std::uint64_t owed = std::max(plan_.reserve, used());
  if (closed_ || owed == hold_.amount()) return;
  hold_.release();
  hold_ = ledger_.charge(Resource::memory, owed);
}

}  // namespace smalti::cache
