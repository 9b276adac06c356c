// Work: what each operator of a chain computes, and the time of it. Private to ops/.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

namespace smalti::ops {

struct Work {
  explicit Work(std::string name) : what(std::move(name)) {}

  const std::string what;                     // "-sharpen 5x2"
  std::atomic<std::uint64_t> nanoseconds{0};  // computing, of all threads
};
using WorkPtr = std::shared_ptr<Work>;

// Times what a thread does for one image while it lives, without what is timed below it: so an operator is
// not billed for its input's computing, nor for waiting. Null: only keeps the time from whoever stands above.
class Stopwatch {
 public:
  explicit Stopwatch(Work* work) noexcept;
  ~Stopwatch();
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  Work* const work_;
  const std::chrono::steady_clock::time_point from_;
  std::uint64_t below_before_;
};

}  // namespace smalti::ops
