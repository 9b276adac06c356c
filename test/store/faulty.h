// faulty_store: a store that errs, dawdles and forgets, by a seed.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <utility>

#include "smalti/store/store.h"

namespace smalti::test {

// Chances are 0..1, of each tile of a batch.
struct FaultPlan {
  std::uint64_t seed = 1;
  double fail = 0;     // Errc::unavailable; a put that fails so may have happened or not
  double full = 0;     // Errc::limit on put; it has not happened
  double corrupt = 0;  // Errc::corrupt on get
  double absent = 0;   // a get that finds nothing, once
  std::chrono::microseconds delay{0};  // at most, of each call
  bool waits = false;                  // says that it waits, and answers hot calls so
};

class FaultyStore final : public TileStore {
 public:
  FaultyStore(StorePtr inner, FaultPlan plan) : inner_(std::move(inner)), plan_(plan), dice_(plan.seed) {}

  Result<void> open(const Call& call, const ImageId& image, const ImageSpec& spec) override {
    ++opens_;
    dawdle();
    if (chance(plan_.fail)) return fail(Errc::unavailable, "injected: the tier cannot be reached");
    return inner_->open(call, image, spec);
  }
  void get(const Call& call, std::span<TileGet> batch) override {
    ++gets_;
    if (hot(call)) {
      for (TileGet& one : batch) one.got = smalti::fail(Errc::would_wait, "injected: this tier waits");
      return;
    }
    dawdle();
    inner_->get(call, batch);
    for (TileGet& one : batch) {
      if (chance(plan_.fail)) one.got = smalti::fail(Errc::unavailable, "injected: get failed");
      if (chance(plan_.corrupt)) one.got = smalti::fail(Errc::corrupt, "injected: the checksum differs");
      if (chance(plan_.absent)) one.got = std::optional<Tile>();
    }
  }
  void put(const Call& call, std::span<TilePut> batch) override {
    ++puts_;
    if (hot(call)) {
      for (TilePut& one : batch) one.put = smalti::fail(Errc::would_wait, "injected: this tier waits");
      return;
    }
    dawdle();
    for (TilePut& one : batch) {
      if (chance(plan_.full)) {
        one.put = smalti::fail(Errc::limit, "cache resources exhausted: injected: no room");
        continue;
      }
      if (chance(plan_.fail / 2)) {
        one.put = smalti::fail(Errc::unavailable, "injected: put failed");
        continue;
      }
      inner_->put(call, {&one, 1});
      if (chance(plan_.fail / 2)) one.put = smalti::fail(Errc::unavailable, "injected: put lost its answer");
    }
  }
  Result<void> drop(const Call& call, const ImageId& image) override { return inner_->drop(call, image); }
  Result<void> sync(const Call& call, const std::optional<ImageId>& image) override {
    return inner_->sync(call, image);
  }
  std::vector<TilePut> shed(std::uint64_t bytes) override { return inner_->shed(bytes); }
  Traits traits() const noexcept override {
    Traits own = inner_->traits();
    own.waits |= plan_.waits;
    return own;
  }
  void count(const std::function<void(const Count&)>& tell) const override {
    inner_->count([&](Count count) {
      count.name = "faulty." + count.name;
      tell(count);
    });
  }
  void use(const std::optional<ImageId>& image, const std::function<void(const TierUse&)>& tell) const override {
    inner_->use(image, tell);
  }

  // How often it was called, for tests that count round trips.
  std::uint64_t opens() const { return opens_; }
  std::uint64_t gets() const { return gets_; }
  std::uint64_t puts() const { return puts_; }
  // From now on. Not while calls are under way.
  void replan(FaultPlan plan) { plan_ = plan; }

 private:
  bool hot(const Call& call) const { return plan_.waits && call.reach == Reach::hot; }
  bool chance(double of) {
    if (of <= 0) return false;
    const std::lock_guard lock(mutex_);
    return std::uniform_real_distribution<double>(0, 1)(dice_) < of;
  }
  void dawdle() {
    if (plan_.delay.count() <= 0) return;
    std::int64_t pause = 0;
    {
      const std::lock_guard lock(mutex_);
      pause = std::uniform_int_distribution<std::int64_t>(0, plan_.delay.count())(dice_);
    }
    std::this_thread::sleep_for(std::chrono::microseconds(pause));
  }

  const StorePtr inner_;
  FaultPlan plan_;
  std::mutex mutex_;
  std::mt19937_64 dice_;  // guarded by mutex_
  std::atomic<std::uint64_t> opens_{0}, gets_{0}, puts_{0};
};

inline StorePtr faulty_store(StorePtr inner, FaultPlan plan) {
  return std::make_unique<FaultyStore>(std::move(inner), plan);
}

}  // namespace smalti::test
