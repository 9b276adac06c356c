#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/cache/kit.h"

namespace smalti {
namespace {

using namespace test;
using testing::HasSubstr;

const ImageSpec small{{300, 200}, rgb8, {64, 32}};

TEST(Life, TheImageIsDroppedWithItsCache) {
  Kit kit(true);
  {
    auto cache = kit.make(small);
    ASSERT_TRUE(cache);
    paint(*cache);
    EXPECT_EQ(kit.store->tiles(), 35u);
    EXPECT_EQ(kit.ledger.used(Resource::list_length), 1u);
  }
  EXPECT_EQ(kit.store->tiles(), 0u);
  EXPECT_EQ(kit.store->figures().drops, 1u);
  EXPECT_EQ(kit.ledger.used(Resource::list_length), 0u);
  EXPECT_EQ(kit.ledger.used(Resource::memory), 0u);
}

TEST(Life, AnImageOfOthersIsReadAndLetGo) {
  Kit kit(true);
  auto made = kit.make(small);
  ASSERT_TRUE(made);
  const Rect first{0, 0, {64, 32}};
  Canvas pixels = picture(first, rgb8);
  ASSERT_TRUE(made->write(Call{}, first, pixels.pixels()));
  ASSERT_TRUE(made->sync(Call{}));
  std::vector<bool> written(35);
  written[0] = true;
  {
    auto opened = PixelCache::open({kit.store, kit.ledger, kit.heap, kit.ahead}, made->id(), small, written);
    ASSERT_TRUE(opened) << opened.error().what;
    EXPECT_EQ(opened->id(), made->id());
    Canvas got(first.size, rgb8, std::byte{1});
    ASSERT_TRUE(opened->read(Call{}, first, got.pixels()));
    EXPECT_TRUE(got.same_as(pixels));
    Canvas empty(first.size, rgb8, std::byte{1});
    ASSERT_TRUE(opened->read(Call{}, {64, 32, first.size}, empty.pixels()));
    EXPECT_EQ(empty.bytes()[100], std::byte{0});  // never written: asked of nobody
    const auto refused = opened->write(Call{}, first, pixels.pixels());
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::conflict);
    EXPECT_FALSE(PixelCache::open({kit.store, kit.ledger, kit.heap, kit.ahead}, made->id(), small, std::vector<bool>(3)));
  }
}

// Two tiles are one colour, one is another, and the rest is a picture.
TEST(Life, ASparseImageStoresNoTilesOfItsBlank) {
  Kit kit(true);
  auto made = kit.make(small, {.sparse = true});
  ASSERT_TRUE(made) << made.error().what;
  const Grid grid(small);
  Canvas whole = picture({0, 0, small.size}, rgb8);
  const auto paint = [&](std::uint32_t col, std::uint32_t row, std::array<std::byte, 3> colour) {
    const Rect rect = grid.rect(col, row);
    fill_pixels(whole.pixels().crop(rect), colour);
  };
  const std::array blue{std::byte{1}, std::byte{2}, std::byte{3}}, red{std::byte{9}, std::byte{2}, std::byte{3}};
  paint(0, 0, blue);
  paint(1, 0, red);
  paint(1, 1, blue);
  ASSERT_TRUE(made->write(Call{}, {0, 0, small.size}, whole.pixels()));
  ASSERT_TRUE(made->sync(Call{}));
  EXPECT_TRUE(std::ranges::equal(made->blank(), blue));
  EXPECT_EQ(made->counts().tiles_put, grid.tiles() - 2);
  std::vector<bool> written(grid.tiles(), true);
  written[0] = written[grid.cols() + 1] = false;
  CacheOptions options;
  options.blank = made->blank();
  auto opened = PixelCache::open({kit.store, kit.ledger, kit.heap, kit.ahead}, made->id(), small, written, options);
  ASSERT_TRUE(opened) << opened.error().what;
  for (const PixelCache* cache : {&*made, &*opened}) {
    Canvas got(small.size, rgb8);
    ASSERT_TRUE(cache->read(Call{}, {0, 0, small.size}, got.pixels()));
    EXPECT_TRUE(got.same_as(whole));
    Canvas dithered({8, 8}, rgb8), expected({8, 8}, rgb8);  // pixel by pixel, from beyond the image
    ASSERT_TRUE(cache->read(Call{}, {-12, -12, {8, 8}}, dithered.pixels(), {Edge::dither, {}, 0}));
    fill_pixels(expected.pixels(), blue);
    EXPECT_TRUE(dithered.same_as(expected));
  }
  options.blank.pop_back();
  EXPECT_FALSE(PixelCache::open({kit.store, kit.ledger, kit.heap, kit.ahead}, made->id(), small, written, options));
}

TEST(Life, Moves) {
  Kit kit(true);
  auto first = kit.make(small);
  auto second = kit.make(small);
  ASSERT_TRUE(first && second);
  paint(*first);
  const ImageId id = first->id();
  PixelCache moved = std::move(*first);
  EXPECT_EQ(moved.id(), id);
  EXPECT_TRUE(shows(moved, whole(small.size)));
  EXPECT_EQ(kit.store->figures().drops, 0u);
  moved = std::move(*second);
  EXPECT_EQ(kit.store->figures().drops, 1u);
  EXPECT_EQ(kit.store->tiles(), 0u);
  EXPECT_NE(moved.id(), id);
}

TEST(Life, RefusesWhatTheLimitsForbid) {
  Limits limits = no_limits();
  limits[Resource::width] = 300;
  limits[Resource::height] = 200;
  limits[Resource::list_length] = 2;
  Kit kit(true, limits);
  const auto refused = [&](Extent size, std::string_view resource) {
    const auto cache = kit.make({size, rgb8, {64, 32}});
    ASSERT_FALSE(cache);
    EXPECT_EQ(cache.error().code, Errc::limit);
    EXPECT_THAT(cache.error().what, HasSubstr(std::string(resource)));
  };
  refused({301, 10}, "width");
  refused({10, 201}, "height");
  auto first = kit.make(small);
  auto second = kit.make(small);
  ASSERT_TRUE(first && second);
  refused({10, 10}, "list-length");
  EXPECT_TRUE(kit.make(small, {.listed = false})) << "counted by its owner";
  second = tl::unexpected<Error>(Error{});
  EXPECT_TRUE(kit.make(small));
}

TEST(Life, AreaOnlyRefusesMemory) {
  Limits limits = no_limits();
  limits[Resource::area] = 1;
  Kit kit(false, limits);
  EXPECT_TRUE(kit.make(small));
}

TEST(Life, RefusesASpecThatDoesNotHold) {
  Kit kit(true);
  EXPECT_EQ(kit.make({{0, 5}, rgb8, {64, 32}}).error().code, Errc::invalid);
  EXPECT_EQ(kit.make({{5, 5}, rgb8, {0, 32}}).error().code, Errc::invalid);
}

TEST(Life, AnImageThatWillNotFitReservesItsWorkingSet) {
  Limits limits = no_limits();
  limits[Resource::memory] = 100'000;
  Kit kit(false, limits);
  auto cache = kit.make(small);  // 180,000 bytes; a row of tiles is 30,720
  ASSERT_TRUE(cache);
  EXPECT_EQ(kit.ledger.used(Resource::memory), 3u * 30'720);
  paint(*cache);
  EXPECT_TRUE(shows(*cache, whole(small.size)));
  EXPECT_EQ(kit.ledger.peak(Resource::memory), 3u * 30'720);
}

TEST(SpecFor, ARowOfTilesStaysUnderAnEighthOfTheMemoryLimit) {
  Limits limits = no_limits();
  const PixelFormat rgb16{Sample::u16, 3, 0};
  EXPECT_EQ(spec_for({8000, 6000}, rgb16, Ledger(limits)).tile, (Extent{256, 256}));
  limits[Resource::memory] = 256u << 20;
  EXPECT_EQ(spec_for({32768, 32768}, rgb16, Ledger(limits)).tile, (Extent{256, 128}));
  limits[Resource::memory] = 0;
  EXPECT_EQ(spec_for({32768, 32768}, rgb16, Ledger(limits)).tile, (Extent{256, 16}));
}

TEST(Counts, TellWhatHappened) {
  Kit kit(false);
  auto cache = kit.make(small, {.read_ahead = false});
  ASSERT_TRUE(cache);
  paint(*cache, 32);
  EXPECT_TRUE(shows(*cache, {0, 0, {300, 32}}));
  EXPECT_TRUE(shows(*cache, {0, 0, {300, 32}}));
  const CacheCounts counts = cache->counts();
  EXPECT_EQ(counts.writes, 7u);
  EXPECT_EQ(counts.reads, 2u);
  EXPECT_EQ(counts.tiles_put, 35u);
  EXPECT_EQ(counts.bytes_put, small.stored_bytes());
  EXPECT_EQ(counts.tiles_got, 5u);
  EXPECT_EQ(counts.bytes_got, 300u * 32 * 3);
  EXPECT_EQ(counts.window_hits, 5u);
  EXPECT_EQ(counts.tiles_hot, 0u);
}

}  // namespace
}  // namespace smalti
