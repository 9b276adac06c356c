// Call: the first argument of everything that may wait.
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>

#include "smalti/base/result.h"

namespace smalti {

using Clock = std::chrono::steady_clock;

// hot: answer only what needs no waiting (no disk, no network, no queue); the rest fails with Errc::would_wait.
enum class Reach : std::uint8_t { hot, deep };

struct Call {
  Clock::time_point deadline = Clock::time_point::max();
  std::stop_token stop;
  Reach reach = Reach::deep;
  std::uint64_t trace = 0;  // carried over the wire, so that one job can be followed through the logs

  // An error when the caller has given up (cancelled) or the deadline has passed (timeout).
  Result<void> alive() const;
  Call within(Clock::duration) const;  // the same call with a deadline at most that far away
  Call hot() const;
};

}  // namespace smalti
