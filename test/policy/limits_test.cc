#include "smalti/policy/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace smalti {
namespace {

using ::testing::HasSubstr;

Limits all(std::uint64_t amount) {
  Limits limits{};
  limits.most.fill(amount);
  return limits;
}

TEST(Ledger, TakesUpToTheLimitAndNoMore) {
  Ledger ledger(all(100));
  auto first = ledger.take(Resource::memory, 60);
  ASSERT_TRUE(first);
  EXPECT_FALSE(ledger.take(Resource::memory, 41));
  auto rest = ledger.take(Resource::memory, 40);
  ASSERT_TRUE(rest);
  EXPECT_EQ(ledger.room(Resource::memory), 0u);
  EXPECT_EQ(ledger.used(Resource::disk), 0u);
  first->release();
  EXPECT_EQ(ledger.used(Resource::memory), 40u);
  EXPECT_EQ(ledger.peak(Resource::memory), 100u);
}

TEST(Ledger, NothingWrapsAround) {
  Ledger ledger(all(unlimited));
  const Hold most = ledger.charge(Resource::disk, unlimited - 5);
  EXPECT_FALSE(ledger.take(Resource::disk, 6));
  EXPECT_TRUE(ledger.take(Resource::disk, 5));
  Ledger small(all(10));
  EXPECT_FALSE(small.take(Resource::disk, unlimited));
}

TEST(Ledger, ChargesGoBeyondTheLimit) {
  Ledger ledger(all(100));
  Hold working = ledger.charge(Resource::memory, 150);
  EXPECT_EQ(ledger.used(Resource::memory), 150u);
  EXPECT_EQ(ledger.room(Resource::memory), 0u);
  Hold hold;
  EXPECT_FALSE(ledger.try_take(Resource::memory, 0, hold));
  working.release();
  EXPECT_TRUE(ledger.try_take(Resource::memory, 100, hold));
}

TEST(Hold, GivesBackOnceWhereverItMoves) {
  Ledger ledger(all(100));
  {
    auto taken = ledger.take(Resource::map, 10);
    Hold moved = std::move(*taken);
    Hold target = ledger.charge(Resource::map, 5);
    target = std::move(moved);
    EXPECT_EQ(ledger.used(Resource::map), 10u);
    EXPECT_EQ(target.amount(), 10u);
  }
  EXPECT_EQ(ledger.used(Resource::map), 0u);
}

TEST(Ledger, TheErrorNamesLimitUseNeedAndCure) {
  Ledger ledger(all(256u << 20));
  const Hold used = ledger.charge(Resource::memory, 210u << 20);
  const auto refused = ledger.take(Resource::memory, 96u << 20);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::limit);
  EXPECT_EQ(refused.error().what,
            "cache resources exhausted: memory limit 256MiB, 210MiB in use, 96MiB more needed; raise it with "
            "-limit "
            "memory, MAGICK_MEMORY_LIMIT or the policy `memory'");
}

TEST(Ledger, MeasuresWithoutTaking) {
  Limits limits = all(100);
  const Ledger ledger(limits);
  EXPECT_TRUE(ledger.fits(Resource::width, 100));
  const auto refused = ledger.fits(Resource::list_length, 101);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr("list-length 101 exceeds the limit of 100"));
  EXPECT_THAT(refused.error().what, HasSubstr("MAGICK_LIST_LENGTH_LIMIT"));
}

TEST(Ledger, ManyThreadsNeverExceedTheLimit) {
  Ledger ledger(all(64));
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 4; ++t)
      threads.emplace_back([&ledger] {
        for (int i = 0; i < 20'000; ++i) {
          Hold a, b;
          if (ledger.try_take(Resource::memory, 1 + i % 40, a)) ledger.try_take(Resource::memory, 7, b);
        }
      });
  }
  EXPECT_EQ(ledger.used(Resource::memory), 0u);
  EXPECT_LE(ledger.peak(Resource::memory), 64u);
}

}  // namespace
}  // namespace smalti
