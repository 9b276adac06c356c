// Checksums of pixels while they are on their way: summed while they are still in the processor's nearest caches.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace smalti::wire {

// The XXH3-64 of what comes in pieces.
class RunningSum {
 public:
  RunningSum();
  ~RunningSum();
  RunningSum(const RunningSum&) = delete;
  RunningSum& operator=(const RunningSum&) = delete;

  void add(std::span<const std::byte>) noexcept;
  std::uint64_t value() const noexcept;  // of all that was added

 private:
  struct State;
  const std::unique_ptr<State> state_;
};

// Copies, and returns the XXH3-64 of what was copied, from its new place: the source may be changed by others meanwhile.
// REQUIRES: equal sizes.
std::uint64_t copy_and_sum(std::span<std::byte> into, std::span<const std::byte> from);

}  // namespace smalti::wire
