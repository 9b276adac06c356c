#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "test/cache/kit.h"

namespace smalti {
namespace {

using namespace test;
using testing::HasSubstr;

const ImageSpec small{{300, 200}, rgb8, {64, 32}};  // 5 x 7 tiles, the last ones narrower and lower

TEST(Read, GivesBackWhatWasWritten) {
  for (const bool hot : {true, false}) {
    Kit kit(hot);
    auto cache = kit.make(small);
    ASSERT_TRUE(cache);
    paint(*cache);
    EXPECT_TRUE(shows(*cache, whole(small.size)));
    ASSERT_TRUE(ok(cache->sync(Call{})));
    for (const Rect rect :
         {whole(small.size), Rect{0, 0, {1, 1}}, Rect{299, 199, {1, 1}}, Rect{63, 31, {2, 2}},
          Rect{0, 100, {300, 1}}, Rect{130, 0, {1, 200}}, Rect{64, 32, {64, 32}}, Rect{10, 20, {200, 150}}})
      EXPECT_TRUE(shows(*cache, rect)) << rect.x << "," << rect.y;
  }
}

TEST(Read, WritesIntoAWiderBuffer) {
  Kit kit(true);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  paint(*cache);
  Canvas wide({100, 50}, rgb8, std::byte{7});
  ASSERT_TRUE(ok(cache->read(Call{}, {50, 20, {40, 30}}, wide.pixels().crop({10, 5, {40, 30}}))));
  EXPECT_EQ(*wide.pixels().at(9, 5), std::byte{7});
  EXPECT_EQ(*wide.pixels().at(10, 5), value_at(50, 20, 0));
  EXPECT_EQ(*wide.pixels().at(49, 34), value_at(89, 49, 0));
  EXPECT_EQ(*wide.pixels().at(50, 34), std::byte{7});
}

TEST(Read, AnswersVirtualPixelsByEveryMethod) {
  Outside outside;
  outside.fill = {std::byte{200}, std::byte{100}, std::byte{50}};
  outside.seed = 5;
  for (const bool hot : {true, false}) {
    for (const Extent size : {Extent{70, 40}, Extent{5, 3}, Extent{1, 1}}) {
      Kit kit(hot);
      auto cache = kit.make({size, rgb8, {16, 16}});
      ASSERT_TRUE(cache);
      paint(*cache);
      for (unsigned kind = 0; kind < edge_kinds; ++kind) {
        outside.edge = static_cast<Edge>(kind);
        SCOPED_TRACE(testing::Message() << "method " << kind << " of " << size.w << "x" << size.h);
        EXPECT_TRUE(shows(*cache, {-20, -15, {111, 73}}, outside));
        EXPECT_TRUE(shows(*cache, {-5, 2, {9, 20}}, outside));
        EXPECT_TRUE(shows(*cache, {200, 300, {7, 9}}, outside));
        EXPECT_TRUE(shows(*cache, {-200, 1, {30, 1}}, outside));
      }
    }
  }
}

TEST(Read, VirtualPixelsOfManyTilesGoInPartsThatFitTheWorkingSet) {
  Kit kit(false);
  auto cache = kit.make({{200, 300}, rgb8, {16, 16}}, {.working_set = 3000});
  ASSERT_TRUE(cache);
  paint(*cache);
  ASSERT_TRUE(ok(cache->sync(Call{})));
  Outside outside{Edge::mirror, {}, 0};
  EXPECT_TRUE(shows(*cache, {-150, -400, {500, 1000}}, outside));
  outside.edge = Edge::random;
  EXPECT_TRUE(shows(*cache, {-50, -40, {60, 60}}, outside));
}

TEST(Read, UnwrittenPixelsAreZeroAndCostNothing) {
  Kit kit(false);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  Canvas got(small.size, rgb8, std::byte{9});
  ASSERT_TRUE(ok(cache->read(Call{}, whole(small.size), got.pixels())));
  EXPECT_THAT(got.bytes(), testing::Each(std::byte{0}));
  Canvas dot = picture({100, 100, {1, 1}}, rgb8);
  ASSERT_TRUE(ok(cache->write(Call{}, {100, 100, {1, 1}}, dot.pixels())));
  ASSERT_TRUE(ok(cache->sync(Call{})));
  EXPECT_EQ(kit.store->tiles(), 1u);
  EXPECT_EQ(kit.store->figures().tiles_got, 0u);
  ASSERT_TRUE(ok(cache->read(Call{}, whole(small.size), got.pixels())));
  EXPECT_EQ(*got.pixels().at(100, 100), value_at(100, 100, 0));
  EXPECT_EQ(*got.pixels().at(101, 100), std::byte{0});
  EXPECT_EQ(kit.store->figures().tiles_got, 1u);
}

TEST(Read, MissingTilesOfOneRectangleComeInOneBatch) {
  Kit kit(false);
  auto cache = kit.make(small, {.read_ahead = false});
  ASSERT_TRUE(cache);
  paint(*cache);
  kit.store->forget_figures();
  EXPECT_TRUE(shows(*cache, {-10, 10, {320, 40}}, {Edge::tile, {}, 0}));
  EXPECT_EQ(kit.store->figures().get_batches, 1u);
  EXPECT_EQ(kit.store->figures().tiles_got, 10u);
}

TEST(Read, AWrittenTileThatIsGoneIsAnErrorThatNamesIt) {
  for (const bool hot : {true, false}) {
    Kit kit(hot);
    auto cache = kit.make(small, {.read_ahead = false});
    ASSERT_TRUE(cache);
    paint(*cache);
    ASSERT_TRUE(kit.store->lose(2, 3));
    Canvas got(small.size, rgb8);
    const auto read = cache->read(Call{}, whole(small.size), got.pixels());
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Errc::unavailable);
    EXPECT_THAT(read.error().what, HasSubstr(cache->id().text()));
    EXPECT_THAT(read.error().what, HasSubstr("tile 2,3"));
    EXPECT_TRUE(shows(*cache, {0, 0, {300, 90}}));
  }
}

TEST(Read, PassesTheStoresErrorOn) {
  Kit kit(false);
  auto cache = kit.make(small, {.read_ahead = false});
  ASSERT_TRUE(cache);
  paint(*cache);
  kit.store->before_get = [](const Call&, const TileKey& key) -> Result<void> {
    if (key.col == 1 && key.row == 1) return fail(Errc::io, "disk on fire", 5);
    return {};
  };
  Canvas got(small.size, rgb8);
  const auto read = cache->read(Call{}, whole(small.size), got.pixels());
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::io);
  EXPECT_EQ(read.error().sys, 5);
  EXPECT_THAT(read.error().what, testing::AllOf(HasSubstr("disk on fire"), HasSubstr("tile 1,1")));
  kit.store->before_get = nullptr;
  EXPECT_TRUE(shows(*cache, whole(small.size)));
}

TEST(Read, RefusesAMismatchedBuffer) {
  Kit kit(true);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  Canvas got({10, 10}, rgb8);
  EXPECT_EQ(cache->read(Call{}, {0, 0, {11, 10}}, got.pixels()).error().code, Errc::invalid);
  Canvas gray({10, 10}, {Sample::u8, 1, 0});
  EXPECT_EQ(cache->read(Call{}, {0, 0, {10, 10}}, gray.pixels()).error().code, Errc::invalid);
  EXPECT_EQ(cache->read(Call{}, {0, 0, {10, 10}}, got.pixels(), {Edge::fill, {std::byte{1}}, 0}).error().code,
            Errc::invalid);
}

TEST(Read, OneTileInFlightIsFetchedOnce) {
  Kit kit(false);
  auto cache = kit.make(small, {.read_ahead = false});
  ASSERT_TRUE(cache);
  paint(*cache);
  kit.store->forget_figures();
  kit.store->close_gate();
  std::vector<std::future<testing::AssertionResult>> readers;
  for (int i = 0; i < 6; ++i)
    readers.push_back(std::async(std::launch::async, [&] { return shows(*cache, {10, 10, {200, 20}}); }));
  ASSERT_TRUE(eventually([&] { return kit.store->waiting() != 0; }));
  kit.store->open_gate();
  for (auto& reader : readers) EXPECT_TRUE(reader.get());
  const auto figures = kit.store->figures();
  EXPECT_EQ(figures.tiles_got, 4u);
  for (const auto& [key, times] : figures.gets) EXPECT_EQ(times, 1);
}

TEST(Read, AFlightThatFailsIsTriedAgainByThoseWhoWait) {
  Kit kit(false);
  auto cache = kit.make(small, {.read_ahead = false});
  ASSERT_TRUE(cache);
  paint(*cache);
  std::atomic<int> failures{1};
  kit.store->before_get = [&](const Call& call, const TileKey&) -> Result<void> {
    SMALTI_CHECK(call.alive());
    if (failures.fetch_sub(1) > 0) return fail(Errc::unavailable, "just this once");
    return {};
  };
  kit.store->close_gate();
  std::vector<std::future<bool>> readers;
  for (int i = 0; i < 4; ++i)
    readers.push_back(std::async(std::launch::async, [&] { return bool(shows(*cache, {0, 0, {10, 10}})); }));
  ASSERT_TRUE(eventually([&] { return kit.store->waiting() != 0; }));
  kit.store->open_gate();
  int succeeded = 0;
  for (auto& reader : readers) succeeded += reader.get();
  EXPECT_EQ(succeeded, 3);
}

TEST(Read, GivesUpAtItsDeadlineAndWhenStopped) {
  Kit kit(false);
  auto cache = kit.make(small, {.read_ahead = false});
  ASSERT_TRUE(cache);
  paint(*cache);
  kit.store->close_gate();
  auto first = std::async(std::launch::async, [&] { return shows(*cache, {0, 0, {10, 10}}); });
  ASSERT_TRUE(eventually([&] { return kit.store->waiting() == 1; }));
  Canvas got({10, 10}, rgb8);
  const auto late = cache->read(Call{}.within(std::chrono::milliseconds(20)), {0, 0, {10, 10}}, got.pixels());
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::timeout);
  std::stop_source stop;
  auto second = std::async(std::launch::async, [&] {
    Canvas into({10, 10}, rgb8);
    return cache->read(Call{.stop = stop.get_token()}, {0, 0, {10, 10}}, into.pixels());
  });
  stop.request_stop();
  const auto stopped = second.get();
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, Errc::cancelled);
  kit.store->open_gate();
  EXPECT_TRUE(first.get());
}

TEST(Read, HotNeverWaits) {
  Kit kit(false);
  auto cache = kit.make(small, {.read_ahead = false});
  ASSERT_TRUE(cache);
  paint(*cache);
  kit.store->close_gate();
  Canvas got({10, 10}, rgb8);
  EXPECT_EQ(cache->read(Call{}.hot(), {0, 0, {10, 10}}, got.pixels()).error().code, Errc::would_wait);
  kit.store->open_gate();
  EXPECT_TRUE(shows(*cache, {0, 0, {10, 10}}));
  kit.store->close_gate();
  EXPECT_TRUE(ok(cache->read(Call{}.hot(), {0, 0, {10, 10}}, got.pixels())));
  kit.store->open_gate();
}

TEST(View, SharesOneWholeTile) {
  Kit kit(true);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  auto nothing = cache->view(Call{}, {0, 0, {5, 5}});
  ASSERT_TRUE(nothing);
  EXPECT_FALSE(*nothing);
  paint(*cache);
  auto tile = cache->view(Call{}, {70, 40, {5, 5}});
  ASSERT_TRUE(tile && *tile);
  EXPECT_EQ((*tile)->pixels().size, (Extent{64, 32}));
  EXPECT_EQ(*(*tile)->pixels().at(6, 8), value_at(70, 40, 0));
  for (const Rect rect : {Rect{60, 40, {5, 5}}, Rect{-1, 0, {5, 5}}, Rect{400, 0, {5, 5}}, Rect{0, 0, {}}}) {
    auto none = cache->view(Call{}, rect);
    ASSERT_TRUE(none);
    EXPECT_FALSE(*none);
  }
}

TEST(Memory, RowAfterRowAsksTheStoreOnce) {
  Kit kit(true);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  paint(*cache);
  kit.store->forget_figures();
  for (std::uint32_t y = 32; y < 64; ++y) EXPECT_TRUE(shows(*cache, {0, y, {300, 1}}));
  EXPECT_EQ(kit.store->figures().hot_tiles, 5u);
  EXPECT_EQ(kit.store->figures().tiles_got, 0u);
  EXPECT_EQ(cache->counts().window_hits, 0u);
}

TEST(Memory, WhatWasRememberedIsForgottenWhenWritten) {
  Kit kit(true);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  paint(*cache);
  const Rect rect{64, 32, {64, 32}};
  EXPECT_TRUE(shows(*cache, rect));
  Canvas black(rect.size, rgb8, std::byte{1});
  ASSERT_TRUE(ok(cache->write(Call{}, rect, black.pixels())));
  Canvas got(rect.size, rgb8);
  ASSERT_TRUE(ok(cache->read(Call{}, rect, got.pixels())));
  EXPECT_TRUE(got.same_as(black));
}

}  // namespace
}  // namespace smalti
