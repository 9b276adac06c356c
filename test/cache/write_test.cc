#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <latch>

#include "cache/coverage.h"
#include "test/cache/kit.h"

namespace smalti {
namespace {

using namespace test;
using testing::HasSubstr;

const ImageSpec small{{300, 200}, rgb8, {64, 32}};  // 5 x 7 tiles

TEST(Coverage, KnowsExactlyWhatIsWritten) {
  cache::Coverage covered({130, 4});
  EXPECT_FALSE(covered.whole());
  covered.mark({63, 1, {66, 2}});
  EXPECT_TRUE(covered.covers({63, 1, {66, 2}}));
  EXPECT_TRUE(covered.covers({64, 1, {64, 1}}));
  EXPECT_FALSE(covered.covers({62, 1, {2, 1}}));
  EXPECT_FALSE(covered.covers({128, 2, {2, 1}}));
  covered.mark({0, 0, {130, 2}});
  covered.mark({0, 2, {63, 1}});
  covered.mark({129, 2, {1, 1}});
  EXPECT_FALSE(covered.whole());
  covered.mark({0, 3, {130, 1}});
  EXPECT_TRUE(covered.whole());
}

TEST(Coverage, FillsOnlyTheRest) {
  const PixelFormat gray{Sample::u8, 1, 0};
  Canvas under({70, 2}, gray, std::byte{5});
  Canvas over({70, 2}, gray, std::byte{9});
  cache::Coverage covered({70, 2});
  covered.mark({10, 0, {55, 1}});
  covered.fill_rest(under.pixels(), over.pixels());
  EXPECT_EQ(*over.pixels().at(9, 0), std::byte{5});
  EXPECT_EQ(*over.pixels().at(10, 0), std::byte{9});
  EXPECT_EQ(*over.pixels().at(64, 0), std::byte{9});
  EXPECT_EQ(*over.pixels().at(65, 0), std::byte{5});
  covered.fill_rest({}, over.pixels());
  EXPECT_EQ(*over.pixels().at(69, 1), std::byte{0});
}

TEST(Write, RowsGatherAndATileIsPutOnce) {
  Kit kit(false);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  paint(*cache, 1);
  const auto figures = kit.store->figures();
  EXPECT_EQ(figures.tiles_put, 35u);
  EXPECT_EQ(figures.put_batches, 7u);  // a row of tiles each
  EXPECT_EQ(figures.tiles_got, 0u);
  EXPECT_EQ(figures.bytes_put, small.stored_bytes());
}

TEST(Write, DraftsAreChargedAndGivenBack) {
  Kit kit(false);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  Canvas row = picture({0, 0, {300, 1}}, rgb8);
  ASSERT_TRUE(ok(cache->write(Call{}, {0, 0, {300, 1}}, row.pixels())));
  EXPECT_EQ(kit.ledger.used(Resource::memory), 300u * 32 * 3);
  ASSERT_TRUE(ok(cache->sync(Call{})));
  EXPECT_EQ(kit.ledger.used(Resource::memory), 0u);
}

TEST(Write, SinglePixelsInAnyOrderMakeAWholeTile) {
  Kit kit(false);
  auto cache = kit.make({{20, 10}, rgb8, {20, 10}});
  ASSERT_TRUE(cache);
  for (std::uint32_t i = 0; i < 200; ++i) {
    const std::uint32_t at = i * 77 % 200;  // 77 and 200 have no common factor
    const Rect dot{at % 20, at / 20, {1, 1}};
    Canvas pixel = picture(dot, rgb8);
    ASSERT_TRUE(ok(cache->write(Call{}, dot, pixel.pixels())));
    ASSERT_TRUE(shows(*cache, dot));
    ASSERT_EQ(kit.store->figures().tiles_put, i == 199 ? 1u : 0u);
  }
  EXPECT_TRUE(shows(*cache, {0, 0, {20, 10}}));
}

TEST(Write, OverAStoredTileMergesOnlyWhenAsked) {
  Kit kit(false);
  auto cache = kit.make(small, {.read_ahead = false});
  ASSERT_TRUE(cache);
  paint(*cache);
  kit.store->forget_figures();
  Canvas dot({1, 1}, rgb8, std::byte{1});
  ASSERT_TRUE(ok(cache->write(Call{}, {70, 40, {1, 1}}, dot.pixels())));
  Canvas got({3, 1}, rgb8);
  ASSERT_TRUE(ok(cache->read(Call{}, {70, 40, {1, 1}}, got.pixels().crop({0, 0, {1, 1}}))));
  EXPECT_EQ(*got.pixels().at(0, 0), std::byte{1});
  EXPECT_EQ(kit.store->figures().tiles_got, 0u);
  ASSERT_TRUE(ok(cache->read(Call{}, {69, 40, {3, 1}}, got.pixels())));
  EXPECT_EQ(*got.pixels().at(0, 0), value_at(69, 40, 0));
  EXPECT_EQ(*got.pixels().at(1, 0), std::byte{1});
  EXPECT_EQ(*got.pixels().at(2, 0), value_at(71, 40, 0));
  EXPECT_EQ(kit.store->figures().tiles_got, 1u);
  ASSERT_TRUE(ok(cache->sync(Call{})));
  EXPECT_EQ(kit.store->figures().tiles_got, 1u);
  EXPECT_EQ(kit.store->figures().tiles_put, 1u);
  ASSERT_TRUE(ok(cache->read(Call{}, {69, 40, {3, 1}}, got.pixels())));
  EXPECT_EQ(*got.pixels().at(0, 0), value_at(69, 40, 0));
  EXPECT_EQ(*got.pixels().at(1, 0), std::byte{1});
}

TEST(Write, OverwritingWholeTilesNeverReads) {
  Kit kit(false);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  paint(*cache);
  kit.store->forget_figures();
  paint(*cache, 1);
  EXPECT_EQ(kit.store->figures().tiles_got, 0u);
  EXPECT_EQ(kit.store->figures().tiles_put, 35u);
}

TEST(Write, DraftsBeyondTheBoundGoAndAreMergedAgain) {
  Kit kit(false);
  const std::uint64_t tile = 64 * 32 * 3;
  auto cache = kit.make(small, {.working_set = 6 * tile, .read_ahead = false});
  ASSERT_TRUE(cache);
  // One column of pixels after another: touches 7 tiles each, more than may stay open.
  for (std::uint32_t x = 0; x < 300; ++x) {
    const Rect column{x, 0, {1, 200}};
    Canvas pixels = picture(column, rgb8);
    ASSERT_TRUE(ok(cache->write(Call{}, column, pixels.pixels())));
    ASSERT_LE(kit.ledger.used(Resource::memory), 7 * tile);
  }
  ASSERT_TRUE(ok(cache->sync(Call{})));
  EXPECT_GT(kit.store->figures().tiles_got, 0u);
  EXPECT_TRUE(shows(*cache, whole(small.size)));
}

TEST(Write, ColumnsStayOpenWhereTheWorkingSetMayGrow) {
  Kit kit(false);
  auto cache = kit.make({{300, 2000}, rgb8, {64, 32}});
  ASSERT_TRUE(cache);
  for (std::uint32_t x = 0; x < 300; ++x) {
    const Rect column{x, 0, {1, 2000}};
    Canvas pixels = picture(column, rgb8);
    ASSERT_TRUE(ok(cache->write(Call{}, column, pixels.pixels())));
  }
  EXPECT_EQ(kit.store->figures().tiles_got, 0u);
  EXPECT_EQ(kit.store->figures().bytes_put, cache->spec().stored_bytes());
}

TEST(Write, RefusesWhatLeavesTheImage) {
  Kit kit(true);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  Canvas block({10, 10}, rgb8);
  for (const Rect rect :
       {Rect{-1, 0, {10, 10}}, Rect{0, -1, {10, 10}}, Rect{291, 0, {10, 10}}, Rect{0, 191, {10, 10}}}) {
    const auto written = cache->write(Call{}, rect, block.pixels());
    ASSERT_FALSE(written);
    EXPECT_EQ(written.error().code, Errc::invalid);
  }
  EXPECT_EQ(cache->write(Call{}, {0, 0, {10, 9}}, block.pixels()).error().code, Errc::invalid);
  EXPECT_EQ(kit.ledger.used(Resource::memory), 0u);
}

TEST(Write, AFailedPutIsToldAndItsPixelsStay) {
  Kit kit(false);
  auto cache = kit.make(small, {.read_ahead = false});
  ASSERT_TRUE(cache);
  std::atomic<bool> broken{true}, full{true};
  kit.store->before_put = [&](const Call&, const TileKey& key) -> Result<void> {
    if (broken && key.col == 1) return fail(Errc::io, "the disk is broken");
    if (full && key.col == 1) return fail(Errc::limit, "cache resources exhausted");
    return {};
  };
  const Rect rect{0, 0, {300, 32}};
  Canvas strip = picture(rect, rgb8);
  const auto written = cache->write(Call{}, rect, strip.pixels());
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::io);
  EXPECT_THAT(written.error().what, testing::AllOf(HasSubstr("the disk is broken"), HasSubstr("tile 1,0")));
  EXPECT_TRUE(shows(*cache, rect));
  broken = false;
  const auto synced = cache->sync(Call{});
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().code, Errc::limit);
  EXPECT_EQ(synced.error().what, "cache resources exhausted");  // which tile found no room is nobody's concern
  EXPECT_TRUE(shows(*cache, rect));
  Canvas dot({1, 1}, rgb8, std::byte{1});  // and it may still be drawn upon
  ASSERT_TRUE(ok(cache->write(Call{}, {70, 3, {1, 1}}, dot.pixels())));
  full = false;
  ASSERT_TRUE(ok(cache->sync(Call{})));
  EXPECT_EQ(kit.store->figures().tiles_put, 5u);
  EXPECT_TRUE(shows(*cache, {71, 3, {200, 29}}));
  Canvas got({1, 1}, rgb8);
  ASSERT_TRUE(ok(cache->read(Call{}, {70, 3, {1, 1}}, got.pixels())));
  EXPECT_TRUE(got.same_as(dot));
}

TEST(Write, HotGathersButNeverPuts) {
  Kit kit(false);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  for (std::uint32_t y = 0; y < 32; ++y) {
    const Rect row{0, y, {64, 1}};
    Canvas pixels = picture(row, rgb8);
    const auto written = cache->write(Call{}.hot(), row, pixels.pixels());
    if (y < 31) {
      ASSERT_TRUE(ok(written));
    } else {
      ASSERT_EQ(written.error().code, Errc::would_wait);
      ASSERT_EQ(kit.store->figures().tiles_put, 0u);
      ASSERT_TRUE(ok(cache->write(Call{}, row, pixels.pixels())));
    }
  }
  EXPECT_EQ(kit.store->figures().tiles_put, 1u);
  EXPECT_TRUE(shows(*cache, {0, 0, {64, 32}}));
}

TEST(Write, WritersOfOneTileFromManyThreads) {
  for (const bool hot : {true, false}) {
    Kit kit(hot);
    auto cache = kit.make({{256, 64}, rgb8, {128, 64}});
    ASSERT_TRUE(cache);
    std::vector<std::jthread> writers;
    std::atomic<int> failures{0};
    for (std::uint32_t t = 0; t < 8; ++t) {
      writers.emplace_back([&, t] {
        for (std::uint32_t y = t; y < 64; y += 8) {
          for (std::uint32_t x = 0; x < 256; x += 32) {
            const Rect rect{x, y, {32, 1}};
            Canvas pixels = picture(rect, rgb8);
            failures += !cache->write(Call{}, rect, pixels.pixels());
            failures += !shows(*cache, rect);
          }
        }
      });
    }
    writers.clear();
    EXPECT_EQ(failures.load(), 0);
    EXPECT_EQ(kit.store->figures().tiles_put, 2u);
    EXPECT_TRUE(shows(*cache, {0, 0, {256, 64}}));
  }
}

// Two writers whose frozen tiles are each other's next: neither may wait with one in hand.
TEST(Write, WritersThatMeetDoNotWaitForEachOther) {
  Kit kit(false);
  auto cache = kit.make({{128, 64}, rgb8, {32, 32}});
  ASSERT_TRUE(cache);
  std::atomic<int> failures{0};
  for (int round = 0; round < 200; ++round) {
    std::latch start(2);
    const auto write = [&](Rect rect) {
      Canvas pixels = picture(rect, rgb8);
      start.arrive_and_wait();
      failures += !cache->write(Call{}, rect, pixels.pixels());
    };
    std::jthread other(write, Rect{0, 0, {128, 64}});
    write({0, 0, {128, 64}});
  }
  EXPECT_EQ(failures.load(), 0);
  EXPECT_TRUE(shows(*cache, {0, 0, {128, 64}}));
}

TEST(Sync, WaitsForPutsOfOthers) {
  Kit kit(false);
  auto cache = kit.make(small);
  ASSERT_TRUE(cache);
  std::atomic<bool> held{true};
  std::atomic<bool> inside{false};
  kit.store->before_put = [&](const Call&, const TileKey&) -> Result<void> {
    inside = true;
    eventually([&] { return !held.load(); });
    return {};
  };
  const Rect rect{0, 0, {64, 32}};
  auto writer = std::async(std::launch::async, [&] {
    Canvas pixels = picture(rect, rgb8);
    return cache->write(Call{}, rect, pixels.pixels());
  });
  ASSERT_TRUE(eventually([&] { return inside.load(); }));
  EXPECT_TRUE(shows(*cache, rect));  // readable while on its way
  EXPECT_EQ(cache->sync(Call{}.within(std::chrono::milliseconds(20))).error().code, Errc::timeout);
  held = false;
  EXPECT_TRUE(ok(cache->sync(Call{})));
  EXPECT_TRUE(ok(writer.get()));
  EXPECT_EQ(kit.store->figures().syncs, 1u);
}

}  // namespace
}  // namespace smalti
