#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "net/loop.h"
#include "smalti/base/waiting.h"

namespace smalti::net {
namespace {

// Something to wait for, which a handler on the loop makes true.
struct Wish {
  std::mutex mutex;
  std::condition_variable changed;
  bool granted = false;
  std::thread::id by;

  void grant() {
    const std::lock_guard lock(mutex);
    granted = true;
    by = std::this_thread::get_id();
    changed.notify_all();
  }
};

bool wait_for(Loop& loop, Wish& wish, Clock::duration patience = std::chrono::seconds(60)) {
  std::unique_lock lock(wish.mutex);
  loop.wait(lock, wish.changed, Clock::now() + patience, [&] { return wish.granted; });
  return wish.granted;
}

TEST(Wheel, SoonACallerThatIsAloneDoesItsOwnWork) {
  Loop loop(Loop::Lent::to_callers);
  bool own = false;
  for (int tries = 0; tries < 10000 && !own; ++tries) {
    Wish wish;
    asio::post(loop.executor(), [&] { wish.grant(); });
    ASSERT_TRUE(wait_for(loop, wish));
    own = wish.by == std::this_thread::get_id();
  }
  EXPECT_TRUE(own);
  EXPECT_FALSE(on_loop_thread());
}

TEST(Wheel, ALoopThatIsNotLentRunsOnItsOwnThread) {
  Loop loop;
  for (int tries = 0; tries < 100; ++tries) {
    Wish wish;
    asio::post(loop.executor(), [&] { wish.grant(); });
    ASSERT_TRUE(wait_for(loop, wish));
    ASSERT_NE(wish.by, std::this_thread::get_id());
  }
}

TEST(Wheel, ManyCallersAreAllServedAndOneHandlerRunsAtATime) {
  Loop loop(Loop::Lent::to_callers);
  int within = 0;  // not atomic: ThreadSanitizer would tell
  std::uint64_t handled = 0;
  constexpr int callers = 6, wishes = 400;
  {
    std::vector<std::jthread> threads;
    for (int caller = 0; caller < callers; ++caller)
      threads.emplace_back([&, caller] {
        for (int n = 0; n < wishes; ++n) {
          Wish wish;
          asio::post(loop.executor(), [&] {
            EXPECT_EQ(++within, 1);
            EXPECT_TRUE(on_loop_thread());
            ++handled;
            --within;
            wish.grant();
          });
          ASSERT_TRUE(wait_for(loop, wish));
          if (n % 100 == caller) std::this_thread::sleep_for(std::chrono::milliseconds(6));  // the own thread returns
        }
      });
  }
  EXPECT_EQ(handled, std::uint64_t{callers} * wishes);
}

TEST(Wheel, WhatNobodyWaitsForIsDoneAllTheSame) {
  Loop loop(Loop::Lent::to_callers);
  Wish first;
  asio::post(loop.executor(), [&] { first.grant(); });
  ASSERT_TRUE(wait_for(loop, first));
  std::atomic<bool> done = false;
  asio::post(loop.executor(), [&] { done = true; });
  const auto end = Clock::now() + std::chrono::seconds(60);
  while (!done && Clock::now() < end) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_TRUE(done);
}

TEST(Wheel, ACallerAtTheWheelServesOthersAndGoesByItsDeadline) {
  Loop loop(Loop::Lent::to_callers);
  std::atomic<bool> done = false;
  std::jthread other([&] {
    while (!done) {
      auto task = []() -> Task<int> { co_return 7; };
      EXPECT_EQ(loop.run(task()), 7);
    }
  });
  for (int n = 0; n < 5; ++n) {
    Wish never;
    EXPECT_FALSE(wait_for(loop, never, std::chrono::milliseconds(20)));
  }
  done = true;
}

TEST(Wheel, LookingAgainEndsAWait) {
  Loop loop(Loop::Lent::to_callers);
  for (int n = 0; n < 20; ++n) {
    Wish wish;
    std::jthread other([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(n % 3 * 3));
      wish.grant();
      loop.look_again();
    });
    ASSERT_TRUE(wait_for(loop, wish));
  }
}

}  // namespace
}  // namespace smalti::net
