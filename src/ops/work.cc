#include "ops/work.h"

#include <algorithm>
#include <utility>

namespace smalti::ops {

namespace {

// Of this thread: nanoseconds timed below the stopwatch that runs.
thread_local std::uint64_t below = 0;

}  // namespace

Stopwatch::Stopwatch(Work* work) noexcept
    : work_(work), from_(std::chrono::steady_clock::now()), below_before_(std::exchange(below, 0)) {}

Stopwatch::~Stopwatch() {
  const auto all =
      static_cast<std::uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now() - from_).count());
  if (work_) work_->nanoseconds.fetch_add(all - std::min(below, all), std::memory_order_relaxed);
  below = below_before_ + all;
}

}  // namespace smalti::ops
