#include "cache/plan.h"

#include <gtest/gtest.h>

#include <array>

#include "test/cache/kit.h"

namespace smalti {
namespace {

using namespace test;
using cache::Plan;

void tell(Plan& plan, std::vector<std::uint64_t> indices, Pace pace) { plan.tell(indices, pace); }

TEST(Plan, TilesAreDueInTheOrderOfTheirFirstStep) {
  Plan plan;
  tell(plan, {7, 3}, {1, 0});
  tell(plan, {3, 9}, {2, 0});
  EXPECT_EQ(plan.next_due(), 7u);
  EXPECT_EQ(plan.next_due(), 3u);
  EXPECT_EQ(plan.next_due(), 9u);
  EXPECT_EQ(plan.next_due(), Plan::no_tile);
}

TEST(Plan, ATileIsWantedUntilItsLastStepIsDoneWith) {
  Plan plan;
  tell(plan, {1, 2}, {1, 0});
  tell(plan, {2}, {2, 0});
  EXPECT_LT(plan.last_use(1), plan.last_use(2));
  tell(plan, {3}, {3, 2});
  EXPECT_EQ(plan.last_use(1), 0u);
  EXPECT_NE(plan.last_use(2), 0u);
  EXPECT_EQ(plan.next_due(), 2u) << "what readers have passed is not fetched";
  tell(plan, {1}, {4, 2});  // once more
  EXPECT_EQ(plan.next_due(), 3u);
  EXPECT_EQ(plan.next_due(), 1u);
}

TEST(Plan, ALowerStepBeginsAnew) {
  Plan plan;
  tell(plan, {1}, {9, 8});
  tell(plan, {2}, {1, 0});
  EXPECT_EQ(plan.last_use(1), 0u);
  EXPECT_EQ(plan.next_due(), 2u);
  EXPECT_TRUE(plan.active());
  plan.end();
  EXPECT_FALSE(plan.active());
}

const ImageSpec large{{2000, 6100}, {Sample::u8, 1, 0}, {256, 256}};  // 8 x 24 tiles

// Diagonal bands, which nobody would guess, and which need more than the three rows of tiles that a window
// begins with.
TEST(PlannedReads, MoveEachTileOnceInAnyOrder) {
  Kit kit(false);
  auto cache = kit.make(large);
  ASSERT_TRUE(cache);
  paint(*cache, 256);
  kit.store->forget_figures();
  std::uint64_t step = 0;
  const auto band = [](std::uint64_t at, auto each) {
    for (std::int64_t y = 0; y < 6100; y += 200)
      each(Rect{static_cast<std::int64_t>(at) * 100 - y / 4, y, {200, 200}}.meet(whole(large.size)));
  };
  const std::uint64_t steps = 37;
  std::uint64_t told = 0;
  for (; step < steps; ++step) {
    for (; told < std::min(step + 8, steps); ++told)
      band(told, [&](Rect r) {
        if (!r.empty()) cache->expect(r, {told + 1, step});
      });
    band(step, [&](Rect r) {
      EXPECT_TRUE(r.empty() || shows(*cache, r));
    });
  }
  cache->expect({}, {});
  const std::uint64_t got = kit.store->figures().tiles_got;
  EXPECT_GE(got, 8u * 24u);
  EXPECT_LE(got, 8u * 24u * 105 / 100);
  EXPECT_LE(cache->counts().ahead_got - cache->counts().ahead_used, got / 20);
}

TEST(PlannedReads, EndWithThePlan) {
  Kit kit(false);
  auto cache = kit.make(large);
  ASSERT_TRUE(cache);
  paint(*cache, 256);
  kit.store->forget_figures();
  cache->expect({0, 0, {2000, 256}}, {1, 0});
  ASSERT_TRUE(eventually([&] { return kit.store->figures().tiles_got == 8; }));
  cache->expect({}, {});
  EXPECT_TRUE(shows(*cache, {0, 0, {2000, 16}}));  // guessed again: one row ahead
  ASSERT_TRUE(eventually([&] { return kit.store->figures().tiles_got == 16; }));
  EXPECT_EQ(cache->counts().ahead_used, 8u);
}

}  // namespace
}  // namespace smalti
