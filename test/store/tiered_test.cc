// What a tiered store promises beyond the suite: what goes where, when, and what it costs.
#include <gtest/gtest.h>

#include <map>

#include "smalti/store/stores.h"
#include "test/store/faulty.h"
#include "test/store/patterns.h"

namespace smalti::test {
namespace {

constexpr std::uint64_t tile_bytes = 16384;

// Memory with room for `above` tiles over a tier that waits with room for `below`.
class Tiered : public testing::Test {
 protected:
  void build(std::uint64_t above, std::uint64_t below, FaultPlan plan = {}, TieredOptions options = {}) {
    store_.reset();
    Limits limits = all_limits(unlimited);
    limits[Resource::memory] = above * tile_bytes;
    upper_ = std::make_unique<Ledger>(limits);
    limits[Resource::memory] = below * tile_bytes;
    lower_ = std::make_unique<Ledger>(limits);
    plan.waits = true;
    auto slow = std::make_unique<FaultyStore>(memory_store(*lower_), plan);
    slow_ = slow.get();
    std::vector<Tier> tiers;
    tiers.push_back({"Memory", memory_store(*upper_)});
    tiers.push_back({"Distributed", std::move(slow)});
    options.ledger = upper_.get();
    store_ = tiered_store(std::move(tiers), pool_, options);
    ASSERT_TRUE(store_->open(call_, image_, suite_image));
  }
  ~Tiered() override {
    go_ = true;
    store_.reset();
  }

  TileKey nth(std::uint32_t n) const { return {image_, 0, n % 7, n / 7}; }  // 28 full tiles
  Result<Generation> put(std::uint32_t n, std::uint64_t version) {
    return put_one(*store_, call_, nth(n), pattern_tile(heap_, suite_image, nth(n), version));
  }
  void fill(std::uint32_t from, std::uint32_t to, std::uint64_t version = 1) {
    for (std::uint32_t n = from; n < to; ++n) ASSERT_TRUE(put(n, version));
  }
  std::uint64_t version(std::uint32_t n) {
    const auto got = get_one(*store_, call_, nth(n));
    if (!got) ADD_FAILURE() << got.error().what;
    return got && *got ? version_of(**got, nth(n)).value_or(~0ull) : 0;
  }
  std::map<std::string, std::uint64_t> tiles() {
    std::map<std::string, std::uint64_t> out;
    store_->use(image_, [&](const TierUse& use) { out[use.tier] += use.tiles; });
    return out;
  }
  std::uint64_t counted(const std::string& name) {
    std::uint64_t out = 0;
    store_->count([&](const Count& count) { out += count.name == name ? count.value : 0; });
    return out;
  }
  void sync() {
    const auto done = store_->sync(call_, image_);
    ASSERT_TRUE(done) << done.error().what;
  }
  // Until go_.
  void hold_up_the_pool() {
    for (int i = 0; i < 2; ++i)
      pool_.post([this] {
        while (!go_) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      });
  }
  static bool eventually(const std::function<bool()>& holds) {
    for (int i = 0; i < 3000; ++i) {
      if (holds()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }

  const Call call_;
  const ImageId image_ = ImageId::fresh();
  TileHeap heap_;
  std::unique_ptr<Ledger> upper_, lower_;
  std::atomic<bool> go_{false};
  Pool pool_{2};
  FaultyStore* slow_ = nullptr;
  StorePtr store_;
};

TEST_F(Tiered, TheTileThatNoLongerFitsGoesDownTheRestStay) {
  build(10, 100);
  fill(0, 28);
  sync();
  EXPECT_EQ(tiles(), (std::map<std::string, std::uint64_t>{{"Memory", 10}, {"Distributed", 18}}));
  for (std::uint32_t n = 0; n < 28; ++n) EXPECT_EQ(version(n), 1u);
}

TEST_F(Tiered, WhatFitsAboveNeverTouchesTheTierBelow) {
  build(28, 100);
  fill(0, 28);
  for (std::uint32_t n = 0; n < 28; ++n) EXPECT_EQ(version(n), 1u);
  EXPECT_FALSE(*get_one(*store_, call_, {image_, 1, 0, 0})) << "absent";
  sync();
  ASSERT_TRUE(store_->drop(call_, image_));
  EXPECT_EQ(slow_->opens() + slow_->gets() + slow_->puts(), 0u);
}

TEST_F(Tiered, PutsGoDownInBatchesAndGetsComeUpInOne) {
  build(0, 100);
  hold_up_the_pool();
  fill(0, 28);
  go_ = true;
  sync();
  EXPECT_LT(slow_->puts(), 20u) << "28 tiles went one by one";
  EXPECT_EQ(slow_->opens(), 1u);
  std::vector<TileGet> batch;
  for (std::uint32_t n = 0; n < 28; ++n) batch.push_back({nth(n)});
  store_->get(call_, batch);
  EXPECT_EQ(slow_->gets(), 1u);
  for (const TileGet& one : batch) EXPECT_EQ(version_of(**one.got, one.key), 1u);
}

TEST_F(Tiered, ATileOnItsWayIsReadable) {
  build(0, 100, {.delay = std::chrono::milliseconds(50)});
  for (std::uint64_t v = 1; v <= 3; ++v) {
    ASSERT_TRUE(put(0, v));
    EXPECT_EQ(version(0), v);
    const auto hot = get_one(*store_, call_.hot(), nth(0));
    if (hot) {
      EXPECT_EQ(version_of(**hot, nth(0)), v);
    } else {
      EXPECT_EQ(hot.error().code, Errc::would_wait);
    }
  }
  sync();
  EXPECT_EQ(version(0), 3u);
  EXPECT_EQ(tiles()["Distributed"], 1u);
}

TEST_F(Tiered, AnOverwrittenTileLeavesNoCopyBelow) {
  build(2, 100);
  fill(0, 6);
  sync();
  ASSERT_EQ(tiles()["Distributed"], 4u);
  for (std::uint32_t n = 0; n < 2; ++n) ASSERT_TRUE(put_one(*store_, call_, nth(n), {}));
  fill(4, 6, 2);  // there is room above now
  sync();
  EXPECT_EQ(tiles(), (std::map<std::string, std::uint64_t>{{"Memory", 2}, {"Distributed", 2}}));
  EXPECT_EQ(version(4), 2u);
  EXPECT_EQ(version(5), 2u);
}

TEST_F(Tiered, AFailureBelowIsToldByThePutsAfterItAndBySyncOnce) {
  build(0, 100, {.fail = 1});
  ASSERT_TRUE(put(0, 1)) << "it fails behind our back";
  auto synced = store_->sync(call_, image_);
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().code, Errc::unavailable);
  EXPECT_TRUE(store_->sync(call_, image_)) << "told once";
  const auto got = get_one(*store_, call_, nth(0));
  ASSERT_FALSE(got) << "lost is not absent";
  EXPECT_EQ(got.error().code, Errc::unavailable);
  ASSERT_TRUE(put(1, 1));
  ASSERT_TRUE(eventually([&] { return counted("tiers.behind.tiles") == 0; }));
  const auto next = put(2, 1);
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, Errc::unavailable);
  const ImageId other = ImageId::fresh();
  ASSERT_TRUE(store_->open(call_, other, suite_image));
  EXPECT_TRUE(store_->sync(call_, other)) << "another image's failure is not ours";
  EXPECT_FALSE(store_->sync(call_, {}));
  slow_->replan({.waits = true});
  ASSERT_TRUE(put(0, 2)) << "after it was told, life goes on";
  sync();
  EXPECT_EQ(version(0), 2u);
}

TEST_F(Tiered, WhenNothingHasRoomTheErrorNamesEveryLimit) {
  build(2, 3);
  fill(0, 5);
  sync();
  ASSERT_TRUE(put(5, 1));
  const auto synced = store_->sync(call_, image_);
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().code, Errc::limit);
  const std::string& what = synced.error().what;
  for (const char* part : {"cache resources exhausted", "memory limit 32768B", "memory limit 49152B", "-limit memory",
                           "16384"})
    EXPECT_NE(what.find(part), std::string::npos) << part << " is not in: " << what;
  EXPECT_EQ(what.find("cache resources exhausted", 1), std::string::npos) << "said once is enough: " << what;
  for (std::uint32_t n = 0; n < 5; ++n) EXPECT_EQ(version(n), 1u);
  EXPECT_FALSE(get_one(*store_, call_, nth(5)));
}

TEST_F(Tiered, APutThroughTellsItsOwnFailureAndNoOthers) {
  build(2, 3, {}, {.through = true});
  fill(0, 5);
  for (std::uint32_t n = 5; n < 7; ++n) {
    const auto refused = put(n, 1);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, Errc::limit);
    EXPECT_NE(refused.error().what.find("cache resources exhausted"), std::string::npos);
    EXPECT_EQ(version(n), 0u);  // absent, and no error: the client has it elsewhere
  }
  sync();
  for (std::uint32_t n = 0; n < 5; ++n) EXPECT_EQ(version(n), 1u) << n;
  ASSERT_TRUE(put_one(*store_, call_, nth(0), {}));
  EXPECT_TRUE(put(6, 2));  // room again
  EXPECT_EQ(version(6), 2u);
}

TEST_F(Tiered, AHotPutThroughDoesNotWaitForTheTierBelow) {
  build(1, 3, {}, {.through = true});
  fill(0, 1);
  const auto hot = put_one(*store_, call_.hot(), nth(1), pattern_tile(heap_, suite_image, nth(1), 1));
  ASSERT_FALSE(hot);
  EXPECT_EQ(hot.error().code, Errc::would_wait);
  EXPECT_TRUE(put(1, 1));
}

TEST_F(Tiered, DropAlsoTakesWhatIsOnItsWay) {
  build(4, 100, {.delay = std::chrono::milliseconds(5)});
  for (int round = 0; round < 5; ++round) {
    fill(0, 28);
    ASSERT_TRUE(store_->drop(call_, image_));
    EXPECT_EQ(lower_->used(Resource::memory), 0u);
    EXPECT_EQ(upper_->used(Resource::memory), 0u);
    ASSERT_TRUE(store_->open(call_, image_, suite_image));
    EXPECT_EQ(version(0), 0u);
  }
}

TEST_F(Tiered, WhatIsReadAgainRises) {
  build(4, 100);
  fill(0, 8);
  sync();
  ASSERT_TRUE(put_one(*store_, call_, nth(0), {}));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(version(7), 1u);
  const std::uint64_t before = slow_->gets();
  for (int i = 0; i < 10; ++i) EXPECT_EQ(version(7), 1u);
  EXPECT_EQ(slow_->gets(), before) << "it has risen";
  const auto hot = get_one(*store_, call_.hot(), nth(7));
  EXPECT_TRUE(hot);
  ASSERT_TRUE(put(7, 2)) << "and a new version is never hidden by the copy";
  EXPECT_EQ(version(7), 2u);
  sync();
  EXPECT_EQ(version(7), 2u);
}

// Readers ask again and again whether a tile is at hand before it is fetched: once, here.
TEST_F(Tiered, ToAskWhetherATileIsAtHandIsNoUseOfIt) {
  build(4, 100);
  fill(0, 8);
  sync();
  ASSERT_TRUE(put_one(*store_, call_, nth(0), {}));
  for (int i = 0; i < 10; ++i) {
    const auto hot = get_one(*store_, call_.hot(), nth(7));
    ASSERT_FALSE(hot);
    EXPECT_EQ(hot.error().code, Errc::would_wait);
  }
  EXPECT_EQ(version(7), 1u);
  EXPECT_EQ(counted("tiers.risen"), 0u) << "it was used once";
  EXPECT_EQ(version(7), 1u);
  EXPECT_EQ(counted("tiers.risen"), 1u);
}

TEST_F(Tiered, ACopyGivesWayToATileThatHasNoOtherPlace) {
  build(4, 4);
  fill(0, 8);
  sync();
  ASSERT_TRUE(put_one(*store_, call_, nth(0), {}));
  for (int i = 0; i < 4; ++i) EXPECT_EQ(version(7), 1u);
  ASSERT_EQ(tiles()["Memory"], 4u) << "three and a copy";
  ASSERT_TRUE(put(20, 1));
  sync();
  for (const std::uint32_t n : {1u, 2u, 3u, 4u, 5u, 6u, 7u, 20u}) EXPECT_EQ(version(n), 1u);
}

TEST_F(Tiered, AHotTileChangesPlacesWithAColdOne) {
  build(4, 100);
  fill(0, 8);
  sync();
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(version(7), 1u);
    return counted("tiers.risen") > 0;
  }));
  sync();
  for (std::uint32_t n = 0; n < 8; ++n) EXPECT_EQ(version(n), 1u);
}

TEST_F(Tiered, AScanMovesNothing) {
  build(4, 100);
  fill(0, 28);
  sync();
  for (int pass = 0; pass < 3; ++pass)
    for (std::uint32_t n = 0; n < 28; ++n) EXPECT_EQ(version(n), 1u);
  EXPECT_EQ(counted("tiers.sunk"), 0u) << "equally warm tiles must not push each other out";
}

TEST_F(Tiered, AWorkingSetThatGrowsPressesTilesDown) {
  build(20, 100);
  fill(0, 20);
  EXPECT_EQ(slow_->puts(), 0u);
  const Hold working = upper_->charge(Resource::memory, 12 * tile_bytes);
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(version(0), 1u);
    return upper_->used(Resource::memory) <= 20 * tile_bytes;
  }));
  sync();
  EXPECT_GE(tiles()["Distributed"], 12u);
  EXPECT_LE(tiles()["Distributed"], 16u) << "no more than it takes";
  for (std::uint32_t n = 0; n < 20; ++n) EXPECT_EQ(version(n), 1u);
}

TEST_F(Tiered, PressureWithNoRoomBelowLosesNothingAndIsNoError) {
  build(10, 2);
  fill(0, 10);
  const Hold working = upper_->charge(Resource::memory, 8 * tile_bytes);
  for (int i = 0; i < 50; ++i)
    for (std::uint32_t n = 0; n < 10; ++n) EXPECT_EQ(version(n), 1u);
  sync();
  for (std::uint32_t n = 0; n < 10; ++n) EXPECT_EQ(version(n), 1u);
  EXPECT_EQ(tiles()["Memory"] + tiles()["Distributed"], 10u);
}

TEST_F(Tiered, ASinkingThatFailsIsAnErrorAndTheTileStays) {
  build(10, 100, {.fail = 1});
  fill(0, 10);
  const Hold working = upper_->charge(Resource::memory, 8 * tile_bytes);
  EXPECT_TRUE(eventually([&] {
    EXPECT_EQ(version(0), 1u);
    return !store_->sync(call_, image_);
  }));
  for (std::uint32_t n = 0; n < 10; ++n) EXPECT_EQ(version(n), 1u);
}

TEST_F(Tiered, ATierThatRefusesTheImageIsPassedBy) {
  Limits limits = all_limits(unlimited);
  limits[Resource::area] = 1000;
  Ledger small(limits), large(all_limits(unlimited));
  std::vector<Tier> tiers;
  tiers.push_back({"Memory", memory_store(small)});
  tiers.push_back({"More", memory_store(large)});
  const StorePtr store = tiered_store(std::move(tiers), pool_);
  ASSERT_TRUE(store->open(call_, image_, suite_image));
  ASSERT_TRUE(put_one(*store, call_, nth(0), pattern_tile(heap_, suite_image, nth(0), 1)));
  EXPECT_EQ(small.used(Resource::memory), 0u);
  EXPECT_EQ(large.used(Resource::memory), tile_bytes);
}

TEST_F(Tiered, CallersMoveTheQueueThemselvesWhenThePoolIsBusy) {
  build(0, 100, {}, {.behind_bytes = 2 * tile_bytes});
  hold_up_the_pool();
  fill(0, 28);
  sync();
  EXPECT_EQ(tiles()["Distributed"], 28u);
  go_ = true;
}

TEST_F(Tiered, ACallerWhoGivesUpIsNotKeptWaiting) {
  build(0, 100, {.delay = std::chrono::milliseconds(1)}, {.behind_bytes = tile_bytes});
  std::stop_source stop;
  stop.request_stop();
  Call given_up;
  given_up.stop = stop.get_token();
  std::size_t cancelled = 0;
  for (std::uint32_t n = 0; n < 28; ++n) {
    const auto done = put_one(*store_, given_up, nth(n), pattern_tile(heap_, suite_image, nth(n), 1));
    if (!done) {
      EXPECT_EQ(done.error().code, Errc::cancelled);
      ++cancelled;
    }
  }
  sync();
  EXPECT_EQ(tiles()["Distributed"], 28 - cancelled);
}

TEST_F(Tiered, AStoreThatDiesWithTilesOnTheirWayDiesQuietly) {
  for (int round = 0; round < 10; ++round) {
    build(2, 100, {.delay = std::chrono::milliseconds(2)});
    fill(0, 28);
  }
}

// Each try may take as long as a host takes that does not answer.
TEST_F(Tiered, ATierThatCannotBeReachedIsTriedOnceForAllThatWaits) {
  build(0, 28, {.fail = 1, .delay = std::chrono::milliseconds(50)});
  for (std::uint32_t n = 0; n < 28; ++n)
    if (const auto done = put(n, 1); !done) {
      EXPECT_EQ(done.error().code, Errc::unavailable);
    }
  const auto synced = store_->sync(call_, image_);
  ASSERT_FALSE(synced);
  EXPECT_EQ(synced.error().code, Errc::unavailable);
  EXPECT_LE(slow_->opens(), 2u);
}

TEST(TieredOverflow, IsToldOnceWhenAnImageIsOpenedThatCannotFit) {
  const std::uint64_t whole = suite_image.stored_bytes();
  Limits limits = all_limits(0);
  limits[Resource::memory] = limits[Resource::disk] = whole / 2;
  Ledger ledger(limits);
  Pool pool(1);
  unsigned told = 0;
  std::vector<Tier> tiers;
  tiers.push_back({"Memory", memory_store(ledger)});
  const auto store = tiered_store(std::move(tiers), pool, {.ledger = &ledger, .overflows = [&] { ++told; }});
  ASSERT_TRUE(store->open(Call(), ImageId::fresh(), suite_image));
  EXPECT_EQ(told, 0u);
  const Hold taken = ledger.charge(Resource::memory, 1);
  for (int n = 0; n < 2; ++n) ASSERT_TRUE(store->open(Call(), ImageId::fresh(), suite_image));
  EXPECT_EQ(told, 1u);
}

}  // namespace
}  // namespace smalti::test
