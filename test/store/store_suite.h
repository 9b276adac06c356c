// The conformance suite that every TileStore passes: plain, composed, behind a socket, behind a fault injector.
//
// Include it in one .cc of a test program and say what to run it on:
//   INSTANTIATE_TEST_SUITE_P(Memory, StoreSuite, testing::Values(StoreUnderTest{"memory", make_memory}), store_name);
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "smalti/policy/limits.h"
#include "smalti/store/store.h"
#include "test/store/patterns.h"

namespace smalti::test {

// A store and whatever it stands on. Derive from it to own pools, folders or servers; they must outlive `store`, so a
// destructor begins with `store.reset()`.
struct Rig {
  explicit Rig(const Limits& limits) : ledger(limits) {}
  virtual ~Rig() = default;

  Ledger ledger;  // what local tiers take their room from
  TileHeap heap;
  StorePtr store;
};

struct StoreUnderTest {
  std::string name;  // letters, digits and _
  std::function<std::unique_ptr<Rig>(const Limits&)> make;
  // What local tiers hold when memory, map and disk are limited to so many bytes each: how many times that. 0: tiles rest
  // elsewhere, where these limits do not count.
  unsigned times = 1;
  unsigned copies = 1;  // of each tile, all of which use() tells
  bool rises = false;   // what is read twice gets a copy in a faster tier, which use() tells as well
};

inline void PrintTo(const StoreUnderTest& store, std::ostream* out) { *out << store.name; }
inline std::string store_name(const testing::TestParamInfo<StoreUnderTest>& info) { return info.param.name; }

class StoreSuite : public testing::TestWithParam<StoreUnderTest> {
 protected:
  void SetUp() override { build(all_limits(unlimited)); }
  void TearDown() override {
    rig_->store.reset();
    expect_all_given_back();
  }

  void build(const Limits& limits) {
    if (rig_) rig_->store.reset();
    rig_ = GetParam().make(limits);
    ASSERT_TRUE(rig_ && rig_->store);
    image_ = ImageId::fresh();
    const auto opened = store().open(call_, image_, suite_image);
    ASSERT_TRUE(opened) << opened.error().what;
  }

  TileStore& store() { return *rig_->store; }
  TileKey key(std::uint32_t col, std::uint32_t row) const { return {image_, 0, col, row}; }
  TileKey nth(std::uint32_t n) const { return key(n % 8, n / 8 % 5); }  // 40 of them
  Tile tile(const TileKey& of, std::uint64_t version) { return pattern_tile(rig_->heap, suite_image, of, version); }

  void put(const TileKey& of, std::uint64_t version) {
    const auto done = put_one(store(), call_, of, tile(of, version));
    ASSERT_TRUE(done) << done.error().what;
  }
  // The version stored, 0 when absent. A torn tile or an error fails the test.
  std::uint64_t version(const TileKey& of) {
    const auto got = get_one(store(), call_, of);
    if (!got) {
      ADD_FAILURE() << got.error().what;
      return 0;
    }
    if (!*got) return 0;
    const auto found = version_of(**got, of);
    EXPECT_TRUE(found) << "a torn or foreign tile";
    return found.value_or(0);
  }
  void sync() {
    const auto done = store().sync(call_, image_);
    ASSERT_TRUE(done) << done.error().what;
  }
  void drop() {
    const auto done = store().drop(call_, image_);
    ASSERT_TRUE(done) << done.error().what;
  }
  std::uint64_t tiles_used(const std::optional<ImageId>& of) {
    std::uint64_t sum = 0;
    store().use(of, [&](const TierUse& use) { sum += use.tiles; });
    EXPECT_EQ(sum % GetParam().copies, 0u);
    return sum / GetParam().copies;
  }
  // After reads, which may have brought copies up.
  void expect_stored(std::uint64_t tiles) {
    const std::uint64_t used = tiles_used(image_);
    EXPECT_GE(used, tiles);
    EXPECT_LE(used, GetParam().rises ? 2 * tiles : tiles);
  }
  std::uint64_t bytes_used(const std::optional<ImageId>& of) {
    std::uint64_t sum = 0;
    store().use(of, [&](const TierUse& use) { sum += use.bytes; });
    return sum / GetParam().copies;
  }
  void expect_all_given_back() {
    for (const Resource each : {Resource::memory, Resource::map, Resource::disk, Resource::file})
      EXPECT_EQ(rig_->ledger.used(each), 0u) << name_of(each);
  }
  static void together(unsigned threads, const std::function<void(unsigned)>& work) {
    std::vector<std::jthread> all;
    for (unsigned i = 0; i < threads; ++i) all.emplace_back([&work, i] { work(i); });
  }

  const Call call_;
  std::unique_ptr<Rig> rig_;
  ImageId image_;
};

TEST_P(StoreSuite, AbsentIsNotAnError) {
  EXPECT_EQ(version(key(0, 0)), 0u);
  const auto got = get_one(store(), call_, {ImageId::fresh(), 0, 0, 0});
  EXPECT_TRUE(!got || !*got) << "an image nobody opened has no tiles";
}

TEST_P(StoreSuite, GivesBackWhatWasPut) {
  const TileKey corner = key(7, 4);  // 52x44 pixels
  put(corner, 3);
  const auto got = get_one(store(), call_, corner);
  ASSERT_TRUE(got && *got);
  EXPECT_EQ((*got)->pixels().size, Grid(suite_image).rect(corner).size);
  EXPECT_EQ((*got)->pixels().format, suite_image.format);
  EXPECT_TRUE((*got)->pixels().contiguous());
  EXPECT_EQ(version(corner), 3u);
}

TEST_P(StoreSuite, AChecksumTravelsWithItsTile) {
  const Tile first = tile(key(0, 0), 1), second = tile(key(1, 0), 1);
  ASSERT_TRUE(put_one(store(), call_, key(0, 0), first.marked_with(first.computed_checksum())));
  ASSERT_TRUE(put_one(store(), call_, key(1, 0), second));
  sync();
  for (const std::uint32_t col : {0u, 1u}) {
    const auto got = get_one(store(), call_, key(col, 0));
    ASSERT_TRUE(got && *got);
    EXPECT_EQ((*got)->checksum(), (*got)->computed_checksum());
    if (col == 0) {
      EXPECT_TRUE((*got)->marked());
    }
  }
}

TEST_P(StoreSuite, LevelsAreApart) {
  TileKey small = key(0, 0);
  small.level = 1;
  put(key(0, 0), 1);
  EXPECT_EQ(version(small), 0u);
}

TEST_P(StoreSuite, APutReplacesTheWholeTile) {
  for (std::uint64_t v = 1; v <= 5; ++v) {
    put(key(1, 1), v);
    EXPECT_EQ(version(key(1, 1)), v);
  }
  sync();
  EXPECT_EQ(version(key(1, 1)), 5u);
  EXPECT_EQ(tiles_used(image_), 1u);
}

TEST_P(StoreSuite, AnswersABatchOfHitsMissesAndDuplicates) {
  put(key(0, 0), 1);
  put(key(2, 0), 2);
  std::vector<TileGet> batch{{key(0, 0)}, {key(1, 0)}, {key(2, 0)}, {key(0, 0)}};
  store().get(call_, batch);
  const std::uint64_t expected[] = {1, 0, 2, 1};
  for (std::size_t i = 0; i < batch.size(); ++i) {
    ASSERT_TRUE(batch[i].got) << batch[i].got.error().what;
    EXPECT_EQ(batch[i].got->has_value(), expected[i] != 0);
    if (*batch[i].got) {
      EXPECT_EQ(version_of(**batch[i].got, batch[i].key), expected[i]);
    }
  }
}

TEST_P(StoreSuite, OfTwoPutsInOneBatchOneWins) {
  std::vector<TilePut> batch{{key(0, 0), tile(key(0, 0), 1)}, {key(1, 0), tile(key(1, 0), 7)},
                             {key(0, 0), tile(key(0, 0), 2)}};
  store().put(call_, batch);
  for (const TilePut& one : batch) EXPECT_TRUE(one.put) << one.put.error().what;
  const std::uint64_t won = version(key(0, 0));
  EXPECT_TRUE(won == 1 || won == 2) << won;
  EXPECT_EQ(version(key(1, 0)), 7u);
  sync();
  EXPECT_EQ(version(key(0, 0)), won);
}

TEST_P(StoreSuite, ALargeBatchArrives) {
  std::vector<TilePut> batch;
  for (std::uint32_t n = 0; n < 40; ++n) batch.push_back({nth(n), tile(nth(n), n + 1)});
  store().put(call_, batch);
  for (const TilePut& one : batch) ASSERT_TRUE(one.put) << one.put.error().what;
  sync();
  for (std::uint32_t n = 0; n < 40; ++n) EXPECT_EQ(version(nth(n)), n + 1);
}

TEST_P(StoreSuite, OpensTwiceButNotDifferently) {
  EXPECT_TRUE(store().open(call_, image_, suite_image));
  ImageSpec other = suite_image;
  other.size.w += 1;
  const auto second = store().open(call_, image_, other);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::conflict);
  other.size = {0, 0};
  const auto empty = store().open(call_, ImageId::fresh(), other);
  ASSERT_FALSE(empty);
  EXPECT_EQ(empty.error().code, Errc::invalid);
}

TEST_P(StoreSuite, RefusesAPutForAnImageThatIsNotOpen) {
  const TileKey stranger{ImageId::fresh(), 0, 0, 0};
  const auto done = put_one(store(), call_, stranger, tile(stranger, 1));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::invalid) << done.error().what;
}

TEST_P(StoreSuite, TakesOneTileAway) {
  put(key(0, 0), 1);
  put(key(1, 0), 1);
  for (int twice = 0; twice < 2; ++twice) {
    const auto gone = put_one(store(), call_, key(0, 0), {});
    ASSERT_TRUE(gone) << gone.error().what;
    EXPECT_EQ(version(key(0, 0)), 0u);
  }
  sync();
  EXPECT_EQ(version(key(0, 0)), 0u);
  EXPECT_EQ(version(key(1, 0)), 1u);
  EXPECT_EQ(tiles_used(image_), 1u);
  put(key(0, 0), 2);
  EXPECT_EQ(version(key(0, 0)), 2u);
}

TEST_P(StoreSuite, DropTakesEveryTileAndTheGeometry) {
  for (std::uint32_t n = 0; n < 10; ++n) put(nth(n), 1);
  drop();
  drop();
  EXPECT_EQ(tiles_used(image_), 0u);
  EXPECT_EQ(tiles_used({}), 0u);
  EXPECT_TRUE(store().drop(call_, ImageId::fresh()));
  ImageSpec other = suite_image;
  other.size.w = 64;
  ASSERT_TRUE(store().open(call_, image_, other));
  for (std::uint32_t n = 0; n < 10; ++n) EXPECT_EQ(version(nth(n)), 0u);
  drop();
  expect_all_given_back();
}

TEST_P(StoreSuite, ImagesAreApart) {
  const ImageId second = ImageId::fresh();
  ASSERT_TRUE(store().open(call_, second, suite_image));
  const TileKey there{second, 0, 0, 0};
  put(key(0, 0), 1);
  put(there, 2);
  EXPECT_EQ(version(key(0, 0)), 1u);
  EXPECT_EQ(version(there), 2u);
  drop();
  EXPECT_EQ(version(there), 2u);
  ASSERT_TRUE(store().drop(call_, second));
}

TEST_P(StoreSuite, AHandleOutlivesOverwritingDropAndStore) {
  put(key(0, 0), 1);
  sync();
  const auto first = get_one(store(), call_, key(0, 0));
  ASSERT_TRUE(first && *first);
  for (std::uint64_t v = 2; v <= 6; ++v) put(key(0, 0), v);
  sync();
  EXPECT_EQ(version_of(**first, key(0, 0)), 1u);
  const auto last = get_one(store(), call_, key(0, 0));
  ASSERT_TRUE(last && *last);
  drop();
  ASSERT_TRUE(store().open(call_, image_, suite_image));
  for (std::uint32_t n = 0; n < 20; ++n) put(nth(n), 9);
  EXPECT_EQ(version_of(**last, key(0, 0)), 6u);
  drop();
  rig_->store.reset();
  EXPECT_EQ(version_of(**first, key(0, 0)), 1u);
  EXPECT_EQ(version_of(**last, key(0, 0)), 6u);
}

TEST_P(StoreSuite, ReadersOfOneKeySeeWholeVersionsThatNeverGoBack) {
  constexpr std::uint64_t last = 60;
  put(key(3, 3), 1);
  std::atomic<std::uint64_t> published{1};
  together(4, [&](unsigned who) {
    if (who == 0) {
      for (std::uint64_t v = 2; v <= last; ++v) {
        put(key(3, 3), v);
        published = v;
      }
      return;
    }
    std::uint64_t seen = 0;
    while (seen < last && !HasFailure()) {
      const std::uint64_t least = published;
      const std::uint64_t now = version(key(3, 3));
      EXPECT_GE(now, least) << "older than what was put before the read began";
      seen = std::max(seen, now);
    }
  });
  sync();
  EXPECT_EQ(version(key(3, 3)), last);
}

TEST_P(StoreSuite, WritersOfOneKeyNeverTearIt) {
  together(4, [&](unsigned who) {
    for (std::uint64_t i = 0; i < 20; ++i) {
      put(key(0, 0), who * 1000 + i + 1);
      EXPECT_NE(version(key(0, 0)), 0u);
    }
  });
  sync();
  EXPECT_NE(version(key(0, 0)), 0u);
  expect_stored(1);
}

TEST_P(StoreSuite, WritersOfDifferentKeysDoNotDisturbEachOther) {
  together(4, [&](unsigned who) {
    for (std::uint64_t v = 1; v <= 5; ++v)
      for (std::uint32_t n = who; n < 40; n += 4) {
        put(nth(n), v);
        EXPECT_EQ(version(nth(n)), v);
      }
  });
  sync();
  for (std::uint32_t n = 0; n < 40; ++n) EXPECT_EQ(version(nth(n)), 5u);
  expect_stored(40);
}

TEST_P(StoreSuite, ADropAmongPutsLeavesNothingBehind) {
  std::atomic<bool> stop{false};
  together(3, [&](unsigned who) {
    if (who == 0) {
      for (int i = 0; i < 10; ++i) {
        EXPECT_TRUE(store().drop(call_, image_));
        EXPECT_TRUE(store().open(call_, image_, suite_image));
      }
      stop = true;
      return;
    }
    for (std::uint32_t n = who; !stop; ++n) {
      const TileKey at = nth(n);
      const auto done = put_one(store(), call_, at, tile(at, n + 1));
      if (!done) {
        EXPECT_EQ(done.error().code, Errc::invalid) << done.error().what;
      }
      const auto got = get_one(store(), call_, at);
      if (got && *got) {
        EXPECT_TRUE(version_of(**got, at));
      }
    }
  });
  drop();
  EXPECT_EQ(tiles_used({}), 0u);
  expect_all_given_back();
}

TEST_P(StoreSuite, PutsOnlyWhileTheGenerationHolds) {
  if (!store().traits().conditional) GTEST_SKIP() << "this store does not honour only_if";
  const TileKey at = key(0, 0);
  const auto first = put_one(store(), call_, at, tile(at, 1), Generation::none);
  ASSERT_TRUE(first) << first.error().what;
  const auto again = put_one(store(), call_, at, tile(at, 2), Generation::none);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Errc::conflict);
  EXPECT_EQ(version(at), 1u);
  const auto second = put_one(store(), call_, at, tile(at, 3), *first);
  ASSERT_TRUE(second) << second.error().what;
  EXPECT_GT(*second, *first);
  EXPECT_FALSE(put_one(store(), call_, at, tile(at, 4), *first));
  EXPECT_FALSE(put_one(store(), call_, at, {}, *first));
  EXPECT_EQ(version(at), 3u);
  EXPECT_TRUE(put_one(store(), call_, at, {}, *second));
  const auto third = put_one(store(), call_, at, tile(at, 5), Generation::none);
  ASSERT_TRUE(third);
  EXPECT_GT(*third, *second) << "a generation must never come back";
}

TEST_P(StoreSuite, OneOfManyConditionalWritersWins) {
  if (!store().traits().conditional) GTEST_SKIP() << "this store does not honour only_if";
  std::atomic<unsigned> won{0};
  together(4, [&](unsigned who) {
    for (std::uint32_t n = 0; n < 20; ++n)
      if (put_one(store(), call_, nth(n), tile(nth(n), who + 1), Generation::none)) ++won;
  });
  EXPECT_EQ(won, 20u);
}

TEST_P(StoreSuite, SyncOfAnythingKnownOrNotSucceeds) {
  put(key(0, 0), 1);
  EXPECT_TRUE(store().sync(call_, image_));
  EXPECT_TRUE(store().sync(call_, {}));
  EXPECT_TRUE(store().sync(call_, ImageId::fresh()));
}

TEST_P(StoreSuite, AHotCallAnswersOrSaysThatItWouldWait) {
  put(key(0, 0), 1);
  sync();
  std::vector<TileGet> batch{{key(0, 0)}, {key(1, 0)}};
  store().get(call_.hot(), batch);
  if (batch[0].got) {
    ASSERT_TRUE(*batch[0].got) << "a hot miss must not look like an absent tile";
    EXPECT_EQ(version_of(**batch[0].got, key(0, 0)), 1u);
  } else {
    EXPECT_EQ(batch[0].got.error().code, Errc::would_wait);
  }
  if (!store().traits().waits) {
    EXPECT_TRUE(batch[0].got) << "a store that does not wait has no excuse";
    EXPECT_TRUE(batch[1].got);
  }
  const auto done = put_one(store(), call_.hot(), key(2, 0), tile(key(2, 0), 4));
  if (!done) {
    EXPECT_EQ(done.error().code, Errc::would_wait);
  }
  EXPECT_EQ(version(key(2, 0)), done ? 4u : 0u);
}

TEST_P(StoreSuite, UseAddsUp) {
  const ImageId second = ImageId::fresh();
  ASSERT_TRUE(store().open(call_, second, suite_image));
  std::uint64_t bytes = 0;
  for (std::uint32_t n = 0; n < 40; ++n) {
    put(nth(n), 1);
    bytes += tile(nth(n), 1).charge();
  }
  for (std::uint32_t n = 0; n < 3; ++n) put({second, 0, n, 0}, 1);
  ASSERT_TRUE(store().sync(call_, {}));
  EXPECT_EQ(tiles_used(image_), 40u);
  EXPECT_EQ(bytes_used(image_), bytes);
  EXPECT_EQ(bytes, suite_image.stored_bytes());
  EXPECT_EQ(tiles_used(second), 3u);
  EXPECT_EQ(tiles_used({}), 43u);
  std::set<std::string> names;
  store().count([&](const Count& count) { EXPECT_TRUE(names.insert(count.name).second) << count.name << " twice"; });
  ASSERT_TRUE(store().drop(call_, second));
}

TEST_P(StoreSuite, WhatFindsNoRoomChangesNothing) {
  if (GetParam().times == 0) GTEST_SKIP() << "its room is elsewhere";
  Limits limits = all_limits(4 * 16384 + 100);
  limits[Resource::area] = unlimited;
  build(limits);
  std::uint64_t kept = 0;
  bool refused = false;
  for (std::uint32_t n = 0; n < 4 * GetParam().times + 4; ++n) {
    const TileKey at = key(n % 7, n / 7);
    const auto done = put_one(store(), call_, at, tile(at, 1));
    const auto landed = store().sync(call_, image_);
    if (done && landed) {
      ++kept;
      EXPECT_EQ(version(at), 1u);
      continue;
    }
    refused = true;
    const Error& why = done ? landed.error() : done.error();
    EXPECT_EQ(why.code, Errc::limit) << why.what;
    EXPECT_NE(why.what.find("cache resources exhausted"), std::string::npos) << why.what;
    const auto got = get_one(store(), call_, at);
    EXPECT_TRUE(!got || !*got);
  }
  EXPECT_TRUE(refused);
  EXPECT_EQ(kept, 4u * GetParam().times);
  EXPECT_EQ(version(key(0, 0)), 1u);
  put(key(0, 0), 2);  // no more room than before is needed
  sync();
  EXPECT_EQ(version(key(0, 0)), 2u);
  EXPECT_EQ(version(key(1, 0)), 1u);
  drop();
  expect_all_given_back();
  ASSERT_TRUE(store().open(call_, image_, suite_image));
  put(key(0, 0), 3);
  sync();
}

TEST_P(StoreSuite, ALimitBelowOneTileLeavesNothingAtRest) {
  if (GetParam().times == 0) GTEST_SKIP() << "its room is elsewhere";
  Limits limits = all_limits(1000);
  limits[Resource::area] = unlimited;
  build(limits);
  const auto done = put_one(store(), call_, key(0, 0), tile(key(0, 0), 1));
  const auto landed = store().sync(call_, image_);
  ASSERT_FALSE(done && landed);
  EXPECT_EQ((done ? landed.error() : done.error()).code, Errc::limit);
  EXPECT_EQ(tiles_used(image_), 0u);
}

TEST_P(StoreSuite, WhatIsShedIsHandedOverWholeAndGone) {
  std::uint64_t bytes = 0;
  for (std::uint32_t n = 0; n < 40; ++n) put(nth(n), n + 1);
  sync();
  auto out = store().shed(100000);
  for (const TilePut& one : out) {
    EXPECT_EQ(version_of(one.tile, one.key), one.key.row * 8 + one.key.col + 1);
    bytes += one.tile.charge();
    const auto got = get_one(store(), call_, one.key);
    EXPECT_TRUE(!got || !*got);
  }
  EXPECT_EQ(tiles_used(image_), 40 - out.size());
  EXPECT_LT(bytes, 100000u + 16384);
  for (const TilePut& one : out) EXPECT_TRUE(put_one(store(), call_, one.key, one.tile));
  out.clear();
  sync();
  EXPECT_EQ(tiles_used(image_), 40u);
}

}  // namespace smalti::test
