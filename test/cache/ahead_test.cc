#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "cache/read_order.h"
#include "test/cache/kit.h"

namespace smalti {
namespace {

using namespace test;

bool same(const Grid::Span& a, const Grid::Span& b) {
  return a.col0 == b.col0 && a.row0 == b.row0 && a.col1 == b.col1 && a.row1 == b.row1;
}

const ImageSpec large{{2000, 6100}, {Sample::u8, 1, 0}, {256, 256}};  // 8 x 24 tiles
const Grid grid(large);

TEST(ReadOrder, KnowsTheFourWaysFromTheFirstStrip) {
  EXPECT_TRUE(same(cache::ReadOrder(grid).note({0, 0, 8, 1}), {0, 1, 8, 2}));
  EXPECT_TRUE(same(cache::ReadOrder(grid).note({0, 23, 8, 24}), {0, 22, 8, 23}));
  EXPECT_TRUE(same(cache::ReadOrder(grid).note({0, 0, 1, 24}), {1, 0, 2, 24}));
  EXPECT_TRUE(same(cache::ReadOrder(grid).note({7, 0, 8, 24}), {6, 0, 7, 24}));
  EXPECT_TRUE(cache::ReadOrder(grid).note({3, 3, 4, 4}).empty());
  EXPECT_TRUE(cache::ReadOrder(grid).note({0, 0, 8, 24}).empty());
}

TEST(ReadOrder, NamesEachRowOnceAndStopsAtTheEnd) {
  cache::ReadOrder order(grid);
  EXPECT_FALSE(order.note({0, 0, 8, 1}).empty());
  EXPECT_TRUE(order.note({0, 0, 8, 1}).empty());
  EXPECT_TRUE(same(order.note({0, 0, 8, 2}), {0, 2, 8, 3}));
  EXPECT_TRUE(order.note({0, 1, 8, 2}).empty());
  for (std::uint32_t row = 2; row < 23; ++row) order.note({0, row, 8, row + 1});
  EXPECT_TRUE(order.note({0, 23, 8, 24}).empty());
}

TEST(ReadOrder, SmallSquaresInRowsBecomeRows) {
  cache::ReadOrder order(grid);
  order.note({0, 4, 1, 5});
  EXPECT_TRUE(same(order.note({1, 4, 2, 5}), {2, 4, 6, 5}));
  for (std::uint32_t col = 2; col < 8; ++col) order.note({col, 4, col + 1, 5});
  EXPECT_TRUE(same(order.note({7, 5, 8, 6}), {0, 6, 8, 7}));  // another thread got there first
  EXPECT_TRUE(order.note({0, 5, 1, 6}).empty());
}

TEST(ReadOrder, ASecondPassStartsAnew) {
  cache::ReadOrder order(grid);
  for (std::uint32_t row = 0; row < 20; ++row) order.note({0, row, 8, row + 1});
  EXPECT_TRUE(order.note({0, 0, 8, 1}).empty());
  EXPECT_TRUE(same(order.note({0, 0, 8, 1}), {0, 1, 8, 2}));
}

TEST(ReadOrder, AThreadLeftBehindIsNotASecondPass) {
  cache::ReadOrder order(grid);
  for (std::uint32_t row = 0; row < 20; ++row) order.note({0, row, 8, row + 1});
  EXPECT_TRUE(order.note({0, 3, 8, 4}).empty());
  EXPECT_TRUE(same(order.note({0, 20, 8, 21}), {0, 21, 8, 22}));
  EXPECT_TRUE(order.note({0, 4, 8, 5}).empty());
}

// Strips across the image, each taken by whichever of two threads is free. As in libvips, whose sinks have
// two buffers, nobody gets further ahead of the slower one than some 200 rows. `between` runs before each
// read.
enum class Way { down, up, right, left };

struct Sweep {
  const PixelCache& cache;
  const Way way;
  const std::uint32_t strip, halo;
  const std::function<void(int thread)> between;

  const bool rows = way == Way::down || way == Way::up;
  const Extent size = cache.spec().size;
  const std::uint32_t length = rows ? size.h : size.w;
  const std::uint32_t strips = (length + strip - 1) / strip;
  const std::uint32_t lead = std::max(2u, 200 / strip);
  std::atomic<int> failures{0};

  std::mutex mutex;
  std::condition_variable moved;
  std::uint32_t next = 0;              // guarded by mutex
  std::uint32_t busy[2] = {~0u, ~0u};  // guarded by mutex; the strip of each thread

  std::uint32_t take(int thread) {
    std::unique_lock lock(mutex);
    busy[thread] = ~0u;
    moved.notify_all();
    moved.wait(lock, [&] { return next <= std::min(busy[1 - thread], next) + lead; });
    return busy[thread] = next++;
  }

  void work(int thread) {
    for (std::uint32_t mine = take(thread); mine < strips; mine = take(thread)) {
      const std::uint32_t at = (way == Way::up || way == Way::left ? strips - 1 - mine : mine) * strip;
      const std::int64_t first = std::int64_t{at} - halo;
      const std::uint32_t wide = std::min(strip, length - at) + 2 * halo;
      const std::int64_t margin = halo;
      const Rect rect = rows ? Rect{-margin, first, {size.w + 2 * halo, wide}}
                             : Rect{first, -margin, {wide, size.h + 2 * halo}};
      if (between) between(thread);
      Canvas into(rect.size, cache.spec().format);
      failures += !cache.read(Call{}, rect, into.pixels());
    }
    const std::lock_guard lock(mutex);
    busy[thread] = ~0u;
    moved.notify_all();
  }
};

void sweep(const PixelCache& cache, Way way, std::uint32_t strip, std::uint32_t halo,
           std::function<void(int)> between = {}) {
  Sweep job{cache, way, strip, halo, std::move(between)};
  {
    std::jthread other([&job] { job.work(1); });
    job.work(0);
  }
  EXPECT_EQ(job.failures.load(), 0);
}

// Written, whatever with.
void fill(PixelCache& cache) {
  const Extent size = cache.spec().size;
  Canvas flat({size.w, 256}, cache.spec().format, std::byte{1});
  for (std::uint32_t y = 0; y < size.h; y += 256) {
    const Rect rect{0, y, {size.w, std::min(256u, size.h - y)}};
    ASSERT_TRUE(ok(cache.write(Call{}, rect, flat.pixels().crop({0, 0, rect.size}))));
  }
}

TEST(Ahead, AHaloIsFetchedOnce) {
  for (const Way way : {Way::down, Way::up, Way::right, Way::left}) {
    for (const std::uint32_t strip : {16u, 40u, 128u, 256u, 300u, 512u}) {
      Kit kit(false);
      auto cache = kit.make(large);
      ASSERT_TRUE(cache);
      fill(*cache);
      ASSERT_TRUE(ok(cache->sync(Call{})));
      kit.store->forget_figures();
      sweep(*cache, way, strip, 5);
      const auto figures = kit.store->figures();
      SCOPED_TRACE(testing::Message() << "way " << static_cast<int>(way) << ", strips of " << strip);
      EXPECT_GE(figures.bytes_got, large.stored_bytes());
      EXPECT_LE(figures.bytes_got, large.stored_bytes() * 105 / 100);
      EXPECT_EQ(figures.bytes_got, cache->counts().bytes_got);
    }
  }
}

// One thread is slow: the other runs ahead of it by several strips.
TEST(Ahead, AHaloIsFetchedOnceByUnequalThreads) {
  for (const std::uint32_t strip : {16u, 128u}) {
    Kit kit(false);
    auto cache = kit.make(large);
    ASSERT_TRUE(cache);
    fill(*cache);
    kit.store->forget_figures();
    sweep(*cache, Way::down, strip, 5, [](int thread) {
      if (thread == 1) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
    EXPECT_LE(kit.store->figures().bytes_got, large.stored_bytes() * 105 / 100) << strip;
  }
}

TEST(Ahead, SquaresAreFetchedOnceToo) {
  Kit kit(false);
  auto cache = kit.make(large);
  ASSERT_TRUE(cache);
  fill(*cache);
  kit.store->forget_figures();
  Canvas into({138, 138}, large.format);
  for (std::int64_t y = 0; y < large.size.h; y += 128)
    for (std::int64_t x = 0; x < large.size.w; x += 128)
      ASSERT_TRUE(ok(cache->read(Call{}, {x - 5, y - 5, {138, 138}}, into.pixels())));
  EXPECT_LE(kit.store->figures().bytes_got, large.stored_bytes() * 105 / 100);
}

TEST(Ahead, TheNextRowIsFetchedWhileThePresentOneIsUsed) {
  Kit kit(false);
  auto cache = kit.make(large);
  ASSERT_TRUE(cache);
  paint(*cache, 256);
  kit.store->forget_figures();
  EXPECT_TRUE(shows(*cache, {0, 0, {2000, 16}}));
  ASSERT_TRUE(eventually([&] { return kit.store->figures().tiles_got == 16; }));
  EXPECT_TRUE(shows(*cache, {0, 256, {2000, 16}}));
  EXPECT_EQ(cache->counts().ahead_used, 8u);
  ASSERT_TRUE(eventually([&] { return kit.store->figures().tiles_got == 24; }));
}

TEST(Ahead, ExpectedTilesAreFetched) {
  Kit kit(false);
  auto cache = kit.make(large);
  ASSERT_TRUE(cache);
  paint(*cache, 256);
  kit.store->forget_figures();
  cache->expect({600, 3000, {300, 300}});
  ASSERT_TRUE(eventually([&] { return kit.store->figures().tiles_got == 4; }));
  EXPECT_TRUE(shows(*cache, {600, 3000, {300, 300}}));
  EXPECT_EQ(cache->counts().ahead_used, 4u);
  EXPECT_LE(kit.store->figures().tiles_got, 4u);
}

TEST(Ahead, NothingIsFetchedAheadOfWhatMemoryAnswers) {
  Kit kit(true);
  auto cache = kit.make(large);
  ASSERT_TRUE(cache);
  paint(*cache, 256);
  kit.store->forget_figures();
  sweep(*cache, Way::down, 16, 5);
  EXPECT_EQ(kit.store->figures().tiles_got, 0u);
  EXPECT_EQ(kit.ledger.used(Resource::memory), 0u);
}

// A read-ahead that is stuck must neither keep the cache from closing nor outlive it.
TEST(Ahead, TheCacheClosesWhileAFetchIsUnderWay) {
  Kit kit(false);
  {
    auto cache = kit.make(large);
    ASSERT_TRUE(cache);
    paint(*cache, 256);
    kit.store->close_gate();
    cache->expect({0, 0, {2000, 600}});
    ASSERT_TRUE(eventually([&] { return kit.store->waiting() != 0; }));
  }
  EXPECT_EQ(kit.store->tiles(), 0u);
  EXPECT_EQ(kit.ledger.used(Resource::memory), 0u);
  kit.store->open_gate();
}

TEST(Ahead, FailuresAreToldOnlyToWhoReads) {
  Kit kit(false);
  auto cache = kit.make(large);
  ASSERT_TRUE(cache);
  paint(*cache, 256);
  std::atomic<bool> down{false};
  kit.store->before_get = [&](const Call&, const TileKey& key) -> Result<void> {
    if (down && key.row > 0) return fail(Errc::unavailable, "server gone");
    return {};
  };
  down = true;
  EXPECT_TRUE(shows(*cache, {0, 0, {2000, 16}}));
  EXPECT_FALSE(shows(*cache, {0, 256, {2000, 16}}));
  down = false;
  EXPECT_TRUE(shows(*cache, {0, 256, {2000, 16}}));
}

}  // namespace
}  // namespace smalti
