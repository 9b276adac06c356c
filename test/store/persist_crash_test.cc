// The power fails at any operation, over and over in one folder: what was acknowledged is there, and nothing
// that is there is wrong.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <set>

#include "smalti/policy/limits.h"
#include "store/cell.h"
#include "store/persisted_store.h"
#include "test/store/patterns.h"
#include "test/store/simulated_disk.h"

namespace smalti::test {
namespace {

constexpr ImageSpec small_image{{40, 33}, {Sample::u8, 3, 1}, {16, 16}};  // 3x3 tiles of up to 1 KiB

// What may be found under a key. A version is 0 for a tile that was taken away or never put.
struct Cellar {
  std::vector<std::uint64_t> versions{0};  // each put that was tried, in order
  std::size_t least = 0;                   // the first of them that a sync which was acknowledged saw

  bool may_be(std::uint64_t version) const {
    return std::find(versions.begin() + static_cast<std::ptrdiff_t>(least), versions.end(), version) !=
           versions.end();
  }
  void settle(std::uint64_t version) {
    versions = {version};
    least = 0;
  }
};

struct ImageModel {
  bool kept = false;  // a sync was acknowledged
  std::map<Cell, Cellar> cells;
};

class Life {
 public:
  Life(std::shared_ptr<SimulatedDisk> disk, std::mt19937_64& random)
      : disk_(std::move(disk)), random_(random) {}

  std::map<ImageId, ImageModel> images;
  std::map<std::string, std::set<std::string>> names;  // what may be found; "" for none
  std::uint64_t version = 0;

  // Opens the folder, and compares what is there with what may be.
  void wake(std::shared_ptr<SimulatedDisk> disk) {
    store_.reset();
    disk_ = std::move(disk);
    auto opened = open_persisted(ledger_, heap_, disk_, {.open_files = 2, .waste = 2048});
    ASSERT_TRUE(opened) << opened.error().what;
    store_ = std::move(opened->store);
    book_ = std::move(opened->names);
    std::set<ImageId> found;
    for (const PersistedImage& each : opened->images) {
      EXPECT_EQ(each.damage, "");
      found.insert(each.image);
      if (images.contains(each.image)) continue;
      EXPECT_TRUE(store_->drop(call_, each.image));  // it was dropped before the crash
    }
    for (auto at = images.begin(); at != images.end();) {
      if (!found.contains(at->first)) {
        EXPECT_FALSE(at->second.kept) << "an image that was synced is gone";
        at = images.erase(at);
        continue;
      }
      at->second.kept = true;
      for (auto& [cell, cellar] : at->second.cells) check(key_of(at->first, cell), cellar);
      ++at;
    }
    check_names();
  }

  void act() {
    const auto roll = random_() % 100;
    if (images.empty() || roll < 4) return open();
    auto at = images.begin();
    std::advance(at, random_() % images.size());
    if (roll < 60) return put(at->first, at->second, true);
    if (roll < 66) return put(at->first, at->second, false);
    if (roll < 78) return sync(at->first, at->second);
    if (roll < 80) return drop(at->first);
    if (roll < 90) return name();
    if (roll < 92) return unname();
    look(at->first, at->second);
  }

  void end() {
    store_.reset();
    book_.reset();
    EXPECT_EQ(ledger_.used(Resource::disk), 0u);
    EXPECT_EQ(ledger_.used(Resource::file), 0u);
  }

 private:
  void open() {
    ImageId image;  // by the seed
    for (std::byte& each : image.raw) each = static_cast<std::byte>(random_());
    if (store_->open(call_, image, small_image) && !disk_->off()) images[image];
  }

  void put(const ImageId& image, ImageModel& model, bool pixels) {
    const TileKey key{image, 0, static_cast<std::uint32_t>(random_() % 3),
                      static_cast<std::uint32_t>(random_() % 3)};
    Cellar& cellar = model.cells[cell_of(key)];
    const std::uint64_t next = pixels ? ++version : 0;
    const auto done =
        put_one(*store_, call_, key, pixels ? pattern_tile(heap_, small_image, key, next) : Tile());
    EXPECT_TRUE(done || disk_->off()) << done.error().what;
    cellar.versions.push_back(next);
  }

  void sync(const ImageId& image, ImageModel& model) {
    if (!store_->sync(call_, image)) return;
    model.kept = true;
    for (auto& [cell, cellar] : model.cells) cellar.least = cellar.versions.size() - 1;
  }

  void drop(const ImageId& image) {
    (void)store_->drop(call_, image);
    images.erase(image);
  }

  void look(const ImageId& image, ImageModel& model) {
    for (auto& [cell, cellar] : model.cells) {
      const auto got = get_one(*store_, call_, key_of(image, cell));
      if (disk_->off()) return;
      ASSERT_TRUE(got) << got.error().what;
      EXPECT_EQ(*got ? version_of(**got, key_of(image, cell)) : 0, cellar.versions.back());
    }
  }

  void name() {
    const std::string which = "name " + std::to_string(random_() % 4);
    const std::string what = std::to_string(++version) + std::string(random_() % 1500, 'x');
    if (book_->put(which, std::as_bytes(std::span(what))))
      names[which] = {what};
    else
      may_also(which, what);
  }
  void unname() {
    const std::string which = "name " + std::to_string(random_() % 4);
    if (book_->remove(which))
      names[which] = {""};
    else
      may_also(which, "");
  }
  void may_also(const std::string& which, const std::string& what) {
    if (!names.contains(which)) names[which] = {""};
    names[which].insert(what);
  }

  void check(const TileKey& key, Cellar& cellar) {
    const auto got = get_one(*store_, call_, key);
    ASSERT_TRUE(got) << got.error().what;
    const auto found = *got ? version_of(**got, key) : std::optional<std::uint64_t>(0);
    ASSERT_TRUE(found) << "torn";
    EXPECT_TRUE(cellar.may_be(*found))
        << *found << " of " << cellar.versions.back() << ", least " << cellar.versions[cellar.least];
    cellar.settle(*found);
  }

  void check_names() {
    EXPECT_TRUE(book_->damaged().empty());
    std::map<std::string, std::string> found;
    auto all = book_->all();
    ASSERT_TRUE(all);
    for (const NameEntry& each : *all)
      found[each.name] = {reinterpret_cast<const char*>(each.bytes.data()), each.bytes.size()};
    for (auto& [which, may] : names) {
      EXPECT_TRUE(may.contains(found[which])) << which << ": " << found[which].substr(0, 20);
      may = {found[which]};
    }
  }

  const Call call_;
  TileHeap heap_;
  Ledger ledger_{all_limits(unlimited)};
  std::shared_ptr<SimulatedDisk> disk_;
  std::mt19937_64& random_;
  StorePtr store_;
  std::unique_ptr<NameBook> book_;
};

// Several lives in one folder. Each ends at a random operation, which may be one of its first.
void live_and_crash(std::uint64_t seed) {
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937_64 random(seed);
  auto disk = std::make_shared<SimulatedDisk>();
  Life life(disk, random);
  life.wake(disk);
  const unsigned lives = 2 + random() % 4;
  for (unsigned n = 0; n < lives && !testing::Test::HasFailure(); ++n) {
    disk->power_fails_at = disk->operations + 1 + random() % (random() % 2 ? 400 : 60);
    for (int i = 0; i < 400 && !disk->off(); ++i) life.act();
    const unsigned keep[] = {0, 10, 50, 90, 100};
    disk = disk->after_power_failure(random, keep[random() % 5]);
    if (random() % 4 == 0) {  // and again while it recovers
      disk->power_fails_at = random() % 40;
      TileHeap heap;
      Ledger ledger(all_limits(unlimited));
      (void)open_persisted(ledger, heap, disk, {});
      disk = disk->after_power_failure(random, keep[random() % 5]);
    }
    life.wake(disk);
  }
  life.end();
}

TEST(PersistCrash, WhatWasAcknowledgedIsThereAndNothingIsWrong) {
  const char* given = std::getenv("SMALTI_SEED");
  if (given) return live_and_crash(std::strtoull(given, nullptr, 10));
  for (std::uint64_t seed = 1; seed <= 1500 && !HasFailure(); ++seed) live_and_crash(seed);
}

}  // namespace
}  // namespace smalti::test
