// Quota: how many bytes names may hold on a server.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>

#include "smalti/base/result.h"

namespace smalti::server {

// Thread-safe; shared by the ports of a server.
class Quota {
 public:
  explicit Quota(std::uint64_t most = std::numeric_limits<std::uint64_t>::max()) noexcept : most_(most) {}
  Quota(const Quota&) = delete;
  Quota& operator=(const Quota&) = delete;

  // Fails with limit, and names quota, use and need. Nothing is taken then.
  Result<void> take(std::uint64_t bytes);
  // Also beyond the quota: for what is kept already.
  void charge(std::uint64_t bytes) noexcept { used_ += bytes; }
  void give(std::uint64_t bytes) noexcept { used_ -= bytes; }

  std::uint64_t most() const noexcept { return most_; }
  std::uint64_t used() const noexcept { return used_; }

 private:
  const std::uint64_t most_;
  std::atomic<std::uint64_t> used_{0};
};

}  // namespace smalti::server
