// Damaged and hostile files: what is got from them is what was put, or an error that names the file.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "store/persisted_store.h"
#include "store/tile_file_format.h"
#include "store/tile_scan.h"
#include "test/store/patterns.h"
#include "test/store/simulated_disk.h"

namespace smalti::test {
namespace {

constexpr ImageSpec small_image{{40, 33}, {Sample::u8, 3, 1}, {16, 16}};

class PersistDamage : public testing::Test {
 protected:
  PersistDamage() {
    auto life = open(disk_);
    EXPECT_TRUE(life->store->open(call_, image_, small_image));
    // Of nine tiles five are put, two of them twice, one taken away, one taken away and put again; in three
    // syncs.
    put(*life->store, 0, 1);
    put(*life->store, 1, 1);
    put(*life->store, 2, 1);
    EXPECT_TRUE(life->store->sync(call_, image_));
    put(*life->store, 0, 2);
    take_away(*life->store, 1);
    put(*life->store, 3, 1);
    EXPECT_TRUE(life->store->sync(call_, image_));
    take_away(*life->store, 3);
    put(*life->store, 3, 2);
    put(*life->store, 4, 1);
    put(*life->store, 0, 3);
    EXPECT_TRUE(life->store->sync(call_, image_));
    EXPECT_TRUE(life->names->put("first", std::as_bytes(std::span("one"))));
    EXPECT_TRUE(life->names->put("second", std::as_bytes(std::span("two"))));
  }

  Result<Persisted> open(const std::shared_ptr<SimulatedDisk>& disk) {
    return open_persisted(ledger_, heap_, disk);
  }
  TileKey key(std::uint32_t n) const { return {image_, 0, n % 3, n / 3}; }
  void put(TileStore& store, std::uint32_t n, std::uint64_t version) {
    const auto done = put_one(store, call_, key(n), pattern_tile(heap_, small_image, key(n), version));
    ASSERT_TRUE(done) << done.error().what;
    versions_[n] = version;
  }
  void take_away(TileStore& store, std::uint32_t n) {
    ASSERT_TRUE(put_one(store, call_, key(n), {}));
    versions_[n] = 0;
  }
  std::string file() const { return image_.text() + ".tiles"; }

  // Every tile and name is right or an error. How many are right.
  unsigned expect_nothing_wrong(Persisted& life) {
    unsigned right = 0;
    for (std::uint32_t n = 0; n < 9; ++n) {
      const auto got = get_one(*life.store, call_, key(n));
      if (!got) {
        EXPECT_TRUE(got.error().code == Errc::corrupt || got.error().code == Errc::incompatible)
            << got.error().what;
        EXPECT_NE(got.error().what.find(file()), std::string::npos) << got.error().what;
        continue;
      }
      EXPECT_EQ(*got ? version_of(**got, key(n)) : 0, versions_[n]) << "tile " << n;
      ++right;
    }
    for (const auto& [name, record] : {std::pair{"first", "one"}, {"second", "two"}}) {
      const auto got = life.names->get(name);
      if (got) {
        EXPECT_STREQ(reinterpret_cast<const char*>(got->data()), record);
      } else {
        EXPECT_FALSE(life.names->damaged().empty());
      }
    }
    return right;
  }

  const Call call_;
  TileHeap heap_;
  Ledger ledger_{all_limits(unlimited)};
  std::shared_ptr<SimulatedDisk> disk_ = std::make_shared<SimulatedDisk>();
  const ImageId image_ = ImageId::fresh();
  std::map<std::uint32_t, std::uint64_t> versions_;
};

TEST_F(PersistDamage, ASoundFolderIsAllRight) {
  auto life = open(disk_->copy());
  ASSERT_TRUE(life);
  EXPECT_EQ(expect_nothing_wrong(*life), 9u);
  EXPECT_TRUE(life->complaints.empty());
}

// Each, then opened twice: what the first opening mends must not make the second one forget.
TEST_F(PersistDamage, OneFlippedBitIsNeverAWrongPixel) {
  std::mt19937_64 random(1);
  std::vector<std::string> names;
  for (const auto& [name, inode] : disk_->files()) names.push_back(name);
  unsigned worst = 9;
  for (int n = 0; n < 6000 && !HasFailure(); ++n) {
    const auto disk = disk_->copy();
    Bytes& bytes = disk->files()[names[n % names.size()]]->now;
    const std::size_t at = random() % bytes.size();
    bytes[at] ^= static_cast<std::byte>(1u << random() % 8);
    SCOPED_TRACE(testing::Message() << names[n % names.size()] << " at " << at);
    for (int twice = 0; twice < 2; ++twice) {
      auto life = open(disk);
      if (!life) {
        EXPECT_EQ(life.error().code, Errc::incompatible) << life.error().what;
        continue;
      }
      worst = std::min(worst, expect_nothing_wrong(*life));
      EXPECT_TRUE(life->store->sync(call_, {}));
    }
  }
  EXPECT_EQ(worst, 0u) << "a damaged head was never met";
}

TEST_F(PersistDamage, ManyFlippedBitsAreNoWrongPixelsEither) {
  std::mt19937_64 random(2);
  for (int n = 0; n < 3000 && !HasFailure(); ++n) {
    const auto disk = disk_->copy();
    Bytes& bytes = disk->files()[file()]->now;
    for (unsigned flips = 2 + random() % 12; flips > 0; --flips)
      bytes[(random() % 2 ? 12288 : 0) + random() % (bytes.size() - 12288)] ^=
          static_cast<std::byte>(1u << random() % 8);
    for (int twice = 0; twice < 2; ++twice) {
      auto life = open(disk);
      if (!life) continue;
      expect_nothing_wrong(*life);
      EXPECT_TRUE(life->store->sync(call_, {}));
    }
  }
}

TEST_F(PersistDamage, ATruncatedFileIsToldAtAnyLength) {
  const std::size_t whole = disk_->files()[file()]->now.size();
  for (std::size_t size = 0; size < whole && !HasFailure(); size += size < 12288 ? 509 : 13) {
    const auto disk = disk_->copy();
    disk->files()[file()]->now.resize(size);
    for (int twice = 0; twice < 2; ++twice) {
      auto life = open(disk);
      ASSERT_TRUE(life);
      EXPECT_LT(expect_nothing_wrong(*life), 9u) << size;
      EXPECT_FALSE(life->images.at(0).damage.empty()) << size << " " << twice;
      EXPECT_TRUE(life->store->sync(call_, {}));
    }
  }
}

// A replica puts back what was lost: that much is whole again, and stays so.
TEST_F(PersistDamage, WhatIsPutAgainIsWholeAgain) {
  const auto disk = disk_->copy();
  Bytes& bytes = disk->files()[file()]->now;
  for (std::size_t at = 12288; at < bytes.size(); at += 64)
    bytes[at] ^= std::byte{1};  // no record keeps its head
  {
    auto life = open(disk);
    ASSERT_TRUE(life);
    EXPECT_EQ(expect_nothing_wrong(*life), 0u);
    for (const std::uint32_t n : {0u, 4u}) put(*life->store, n, 9);
    EXPECT_EQ(expect_nothing_wrong(*life), 2u);
    ASSERT_TRUE(life->store->sync(call_, image_));
  }
  auto life = open(disk);
  ASSERT_TRUE(life);
  EXPECT_EQ(expect_nothing_wrong(*life), 2u);
  ASSERT_TRUE(life->store->drop(call_, image_));
  EXPECT_FALSE(disk->files().contains(file()));
}

TEST_F(PersistDamage, ADamagedNameIsReportedByNameAndMayBePutAgain) {
  const auto disk = disk_->copy();
  for (auto& [name, inode] : disk->files())
    if (name == "0000000000000002.name") inode->now.back() ^= std::byte{4};
  auto life = open(disk);
  ASSERT_TRUE(life);
  ASSERT_EQ(life->names->damaged().size(), 1u);
  EXPECT_EQ(life->names->damaged()[0].name, "second");
  EXPECT_NE(life->names->damaged()[0].why.what.find("second"), std::string::npos);
  EXPECT_EQ(life->complaints.size(), 1u);
  EXPECT_EQ(life->names->all().value().size(), 1u);
  ASSERT_TRUE(life->names->put("second", std::as_bytes(std::span("two"))));
  EXPECT_TRUE(life->names->damaged().empty());
  life = open(disk->copy());
  EXPECT_TRUE(life->names->damaged().empty());
  EXPECT_EQ(life->names->all().value().size(), 2u);
}

TEST_F(PersistDamage, AnotherVersionOrByteOrderIsRefusedByName) {
  for (const std::size_t at : {8u, 10u}) {
    const auto disk = disk_->copy();
    disk->files()[file()]->now[at] = std::byte{2};
    auto life = open(disk);
    ASSERT_TRUE(life);
    const auto got = get_one(*life->store, call_, key(0));
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Errc::incompatible);
    EXPECT_NE(got.error().what.find(at == 8 ? "format is 2" : "big-endian"), std::string::npos)
        << got.error().what;
    EXPECT_FALSE(life->store->open(call_, image_, small_image));
    EXPECT_FALSE(put_one(*life->store, call_, key(0), pattern_tile(heap_, small_image, key(0), 1)));
    EXPECT_EQ(disk->files()[file()]->now.size(), disk_->files()[file()]->now.size())
        << "it is left as it was";
  }
}

// Well-sealed lies: marks beyond the file, tiles of absurd sizes, counts that are wrong.
TEST_F(PersistDamage, AbsurdNumbersNeedNoMemoryAndNoTime) {
  using namespace tile_file;
  std::mt19937_64 random(3);
  const Bytes sound = disk_->files()[file()]->now;
  const auto head = decode_head(std::span(sound).first<head_bytes>());
  ASSERT_TRUE(head);
  for (int n = 0; n < 300 && !HasFailure(); ++n) {
    const auto disk = disk_->copy();
    Bytes& bytes = disk->files()[file()]->now;
    const auto odd = [&] { return random() >> random() % 64; };
    Mark mark{.serial = 4 + random() % 2,
              .end = odd() / 64 * 64,
              .clock = odd(),
              .records = odd(),
              .replacing = odd()};
    std::ranges::copy(encode(mark, head->salt),
                      bytes.begin() + static_cast<std::ptrdiff_t>(mark_at(mark.serial)));
    Record record{.cell = {0, static_cast<std::uint32_t>(odd()), 0},
                  .size = {static_cast<std::uint32_t>(odd()), static_cast<std::uint32_t>(odd())},
                  .format = {Sample::f64, 255, 65535},
                  .generation = odd(),
                  .offset = records_at};
    std::ranges::copy(encode(record, head->salt), bytes.begin() + records_at);
    auto life = open(disk);
    ASSERT_TRUE(life);
    for (std::uint32_t tile = 0; tile < 9; ++tile) (void)get_one(*life->store, call_, key(tile));
    EXPECT_LE(disk->files()[file()]->now.size(), sound.size() + 128);
  }
}

// Each hole is searched for the record behind it, which is near: a piece of many records read for each would take as long as
// a file of their square.
TEST_F(PersistDamage, ManyHolesAreScannedInProportionToTheFile) {
  using namespace tile_file;
  constexpr std::uint64_t records = 8192;
  const Head head{image_, small_image, 7};
  Bytes bytes(records_at + records * record_bytes);
  const auto lay = [&bytes](std::uint64_t at, const auto& what) {
    std::ranges::copy(what, bytes.begin() + static_cast<std::ptrdiff_t>(at));
  };
  lay(0, encode(head));
  lay(mark_at(0), encode(Mark{.end = bytes.size(), .clock = records, .records = records}, head.salt));
  for (std::uint64_t n = 1; n < records; n += 2) {
    const std::uint64_t at = records_at + n * record_bytes;
    lay(at, encode(Record{.taken_away = true, .cell = {0, 0, 0}, .generation = n, .offset = at}, head.salt));
  }
  disk_->files()["holes"] = std::make_shared<SimulatedDisk::Inode>(SimulatedDisk::Inode{bytes, bytes, {}});
  const auto opened = disk_->open("holes", DiskFolder::Make::existing);
  ASSERT_TRUE(opened);
  disk_->bytes_read = 0;
  const auto found = scan(**opened, head);
  ASSERT_TRUE(found) << found.error().what;
  EXPECT_EQ(found->end, bytes.size());
  EXPECT_EQ(found->clock, records);
  EXPECT_TRUE(found->incomplete);
  EXPECT_LE(disk_->bytes_read, 64 * bytes.size());
}

}  // namespace
}  // namespace smalti::test
