// Budget: how many bytes may be under way at once. Bounds memory whatever the peers do.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <utility>

namespace smalti::server {

// Used on its loop only. First come, first served, so that large takers do not starve. REQUIRES: outlives its
// shares.
class Budget {
 public:
  // A taken part; gives it back when it dies.
  class Share {
   public:
    Share() = default;
    Share(Budget& budget, std::uint64_t bytes) noexcept : budget_(&budget), bytes_(bytes) {}
    Share(Share&& other) noexcept
        : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
    Share& operator=(Share&& other) noexcept {
      std::swap(budget_, other.budget_);
      std::swap(bytes_, other.bytes_);
      return *this;
    }
    ~Share() {
      if (budget_) budget_->give(bytes_);
    }
    // Becomes the sum of both. REQUIRES: of one budget.
    void join(Share other) noexcept {
      budget_ = budget_ ? budget_ : other.budget_;
      bytes_ += std::exchange(other.bytes_, 0);
      other.budget_ = nullptr;
    }

   private:
    Budget* budget_ = nullptr;
    std::uint64_t bytes_ = 0;
  };

  using Patience = std::chrono::milliseconds;

  Budget(asio::any_io_executor executor, std::uint64_t most, Patience patience = std::chrono::hours(24))
      : executor_(std::move(executor)), most_(most), patience_(patience) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  // False where there is no room, or somebody waits for it already.
  bool try_take(std::uint64_t bytes, Share& into);
  // Waits for its turn. More than the whole budget is granted once nothing else is under way.
  asio::awaitable<Share> take(std::uint64_t bytes);
  std::uint64_t used() const noexcept { return used_; }

  // Whoever takes may be pressed: `press` is called each time somebody else has waited for the patience. It may give
  // shares back, but neither watch nor unwatch.
  void watch(const void* who, std::function<void(Patience)> press) { watched_[who] = std::move(press); }
  void unwatch(const void* who) noexcept { watched_.erase(who); }

 private:
  struct Turn {
    std::uint64_t bytes;
    bool granted = false;
    asio::steady_timer timer;
  };
  bool fits(std::uint64_t bytes) const noexcept {
    return used_ == 0 || bytes <= most_ - std::min(used_, most_);
  }
  void give(std::uint64_t bytes) noexcept;
  void leave(std::list<Turn>::iterator turn);

  asio::any_io_executor executor_;
  const std::uint64_t most_;
  const Patience patience_;
  std::map<const void*, std::function<void(Patience)>> watched_;
  std::uint64_t used_ = 0;
  std::list<Turn> turns_;  // of those who wait; a granted one is removed by whoever waited
};

}  // namespace smalti::server
