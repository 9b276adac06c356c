// A folder of images in one life after another; its limits; and the bytes that doc/disk-format.md shows.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>

#include "store/persisted_store.h"
#include "test/store/patterns.h"
#include "test/store/simulated_disk.h"

namespace smalti::test {
namespace {

namespace fs = std::filesystem;

class PersistFolder : public testing::Test {
 protected:
  PersistFolder() {
    std::string name = (fs::temp_directory_path() / "smalti-test-XXXXXX").string();
    above_ = ::mkdtemp(name.data());
    folder_ = above_ / "images";
  }
  ~PersistFolder() override { fs::remove_all(above_); }

  Persisted open(PersistOptions options = {}) {
    auto opened = open_persisted(ledger_, heap_, folder_, options);
    EXPECT_TRUE(opened) << opened.error().what;
    return opened ? std::move(*opened) : Persisted{};
  }
  Tile tile(const TileKey& key, std::uint64_t version) {
    return pattern_tile(heap_, suite_image, key, version);
  }
  void put(TileStore& store, const TileKey& key, std::uint64_t version) {
    const auto done = put_one(store, call_, key, tile(key, version));
    ASSERT_TRUE(done) << done.error().what;
  }
  std::optional<std::uint64_t> version(TileStore& store, const TileKey& key) {
    const auto got = get_one(store, call_, key);
    EXPECT_TRUE(got) << got.error().what;
    if (!got || !*got) return std::nullopt;
    return version_of(**got, key);
  }
  std::size_t open_descriptors() const {
    std::size_t found = 0;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      found += fs::read_symlink(entry.path(), gone).string().ends_with(".tiles");
    }
    return found;
  }

  const Call call_;
  TileHeap heap_;
  Ledger ledger_{all_limits(unlimited)};
  fs::path above_, folder_;
  const ImageId image_ = ImageId::fresh();
};

TEST_F(PersistFolder, HoldsWhatWasSyncedThroughARestart) {
  const TileKey first{image_, 0, 0, 0}, corner{image_, 0, 7, 4}, taken{image_, 0, 1, 0};
  {
    const auto life = open();
    ASSERT_TRUE(life.store->open(call_, image_, suite_image));
    for (const TileKey& key : {first, corner, taken}) put(*life.store, key, 1);
    put(*life.store, corner, 2);
    ASSERT_TRUE(put_one(*life.store, call_, taken, {}));
    ASSERT_TRUE(life.store->sync(call_, image_));
    ASSERT_TRUE(life.names->put("slides/1 \n", std::as_bytes(std::span("record"))));
  }
  EXPECT_EQ(ledger_.used(Resource::disk), 0u);
  const auto life = open();
  ASSERT_EQ(life.images.size(), 1u);
  EXPECT_EQ(life.images[0].image, image_);
  EXPECT_EQ(life.images[0].spec, suite_image);
  EXPECT_EQ(life.images[0].tiles, 2u);
  EXPECT_EQ(life.images[0].damage, "");
  EXPECT_TRUE(life.complaints.empty());
  EXPECT_TRUE(life.store->open(call_, image_, suite_image));
  EXPECT_EQ(version(*life.store, first), 1u);
  EXPECT_EQ(version(*life.store, corner), 2u);
  EXPECT_EQ(version(*life.store, taken), std::nullopt);
  const auto names = life.names->all();
  ASSERT_TRUE(names && names->size() == 1);
  EXPECT_EQ(names->front().name, "slides/1 \n");
  EXPECT_EQ(names->front().bytes.size(), sizeof "record");
  std::uint64_t on_disk = 0;
  for (const auto& each : fs::directory_iterator(folder_))
    if (each.path().extension() == ".tiles") on_disk += each.file_size();
  EXPECT_EQ(ledger_.used(Resource::disk), on_disk) << "what is found is charged, too";
}

TEST_F(PersistFolder, ForgetsAnImageThatWasNeverSynced) {
  {
    const auto life = open();
    ASSERT_TRUE(life.store->open(call_, image_, suite_image));
    put(*life.store, {image_, 0, 0, 0}, 1);
  }
  const auto life = open();
  EXPECT_TRUE(life.images.empty());
  EXPECT_TRUE(life.complaints.empty());
  for (const auto& each : fs::directory_iterator(folder_))
    EXPECT_NE(each.path().extension(), ".new") << "left behind by a crash";
}

TEST_F(PersistFolder, GenerationsNeverComeBack) {
  const TileKey key{image_, 0, 0, 0};
  Generation before{};
  {
    const auto life = open();
    ASSERT_TRUE(life.store->open(call_, image_, suite_image));
    put(*life.store, key, 1);
    ASSERT_TRUE(life.store->sync(call_, image_));
    before = put_one(*life.store, call_, key, {}).value();
    before = put_one(*life.store, call_, key, tile(key, 2)).value();
  }
  const auto life = open();
  const auto after = put_one(*life.store, call_, key, tile(key, 3));
  ASSERT_TRUE(after);
  EXPECT_GT(*after, before);
  EXPECT_EQ(put_one(*life.store, call_, key, tile(key, 4), before).error().code, Errc::conflict);
  EXPECT_TRUE(put_one(*life.store, call_, key, tile(key, 5), *after));
}

TEST_F(PersistFolder, IsPrivateAndBelongsToOneProcess) {
  const auto life = open();
  struct stat about {};
  ASSERT_EQ(::stat(folder_.c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777u, 0700u);
  ASSERT_TRUE(life.store->open(call_, image_, suite_image));
  ASSERT_TRUE(life.store->sync(call_, image_));
  for (const auto& each : fs::directory_iterator(folder_)) {
    ASSERT_EQ(::stat(each.path().c_str(), &about), 0);
    EXPECT_EQ(about.st_mode & 0777u, 0600u) << each.path();
  }
  const auto second = open_persisted(ledger_, heap_, folder_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::conflict);
  EXPECT_NE(second.error().what.find(folder_.string()), std::string::npos) << second.error().what;
}

TEST_F(PersistFolder, IsRefusedWhereOthersMayWrite) {
  fs::create_directory(folder_);
  ::chmod(folder_.c_str(), 0777);
  const auto refused = open_persisted(ledger_, heap_, folder_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid);
  const auto nowhere = open_persisted(ledger_, heap_, above_ / "missing" / "deep");
  ASSERT_FALSE(nowhere);
  EXPECT_NE(nowhere.error().what.find("deep"), std::string::npos);
}

TEST_F(PersistFolder, OfAnotherFormatIsRefusedAndLeftAlone) {
  { open(); }
  std::ofstream(folder_ / "format") << "Smalti image folder, format 9\n";
  const auto refused = open_persisted(ledger_, heap_, folder_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::incompatible);
  EXPECT_NE(refused.error().what.find("format 9"), std::string::npos) << refused.error().what;
}

TEST_F(PersistFolder, ManyImagesNeedFewDescriptors) {
  const auto life = open({.open_files = 5});
  std::vector<ImageId> images;
  for (int n = 0; n < 60; ++n) {
    images.push_back(ImageId::fresh());
    ASSERT_TRUE(life.store->open(call_, images.back(), suite_image));
    put(*life.store, {images.back(), 0, 1, 1}, 7);
  }
  ASSERT_TRUE(life.store->sync(call_, {}));
  for (const ImageId& each : images) EXPECT_EQ(version(*life.store, {each, 0, 1, 1}), 7u);
  EXPECT_LE(open_descriptors(), 5u);
  EXPECT_LE(ledger_.used(Resource::file), 5u);
}

TEST_F(PersistFolder, TakesNoMoreFilesThanTheLimit) {
  Limits limits = all_limits(unlimited);
  limits[Resource::file] = 2;
  Ledger few(limits);
  auto life = open_persisted(few, heap_, folder_);
  ASSERT_TRUE(life);
  for (int n = 0; n < 10; ++n) {
    const ImageId image = ImageId::fresh();
    ASSERT_TRUE(life->store->open(call_, image, suite_image));
    put(*life->store, {image, 0, 0, 0}, 1);
    EXPECT_LE(few.used(Resource::file), 2u);
  }
}

TEST_F(PersistFolder, RoomIsTakenBeforeItIsUsedAndGivenBack) {
  Limits limits = all_limits(unlimited);
  limits[Resource::disk] = 12288 + 4 * (16384 + 64) + 100;
  Ledger small(limits);
  auto life = open_persisted(small, heap_, folder_, {.waste = 20000});
  ASSERT_TRUE(life);
  TileStore& store = *life->store;
  ASSERT_TRUE(store.open(call_, image_, suite_image));
  for (std::uint32_t n = 0; n < 4; ++n) put(store, {image_, 0, n, 0}, 1);
  const TileKey fifth{image_, 0, 4, 0};
  const auto refused = put_one(store, call_, fifth, tile(fifth, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::limit);
  EXPECT_NE(refused.error().what.find("cache resources exhausted"), std::string::npos);
  EXPECT_EQ(version(store, fifth), std::nullopt);
  // Replaced and taken away, over and over: it must not need more and more.
  for (std::uint64_t v = 2; v < 100; ++v) put(store, {image_, 0, 0, 0}, v);
  EXPECT_EQ(version(store, {image_, 0, 0, 0}), 99u);
  EXPECT_EQ(version(store, {image_, 0, 3, 0}), 1u);
  EXPECT_LE(small.used(Resource::disk), limits[Resource::disk] + 5 * (16384 + 64) + 20000);
  ASSERT_TRUE(store.drop(call_, image_));
  EXPECT_EQ(small.used(Resource::disk), 0u);
  ASSERT_TRUE(store.open(call_, image_, suite_image));
  put(store, fifth, 1);
}

TEST_F(PersistFolder, AFileDoesNotGrowWithWhatIsReplaced) {
  std::uint64_t size = 0;
  {
    const auto life = open({.waste = 65536});
    ASSERT_TRUE(life.store->open(call_, image_, suite_image));
    for (std::uint64_t v = 1; v <= 300; ++v) {
      put(*life.store, {image_, 0, static_cast<std::uint32_t>(v % 3), 0}, v);
      if (v % 50 != 0) continue;
      ASSERT_TRUE(life.store->sync(call_, image_));
    }
    size = fs::file_size(folder_ / (image_.text() + ".tiles"));
    EXPECT_LE(size, 12288 + 65536 + 7 * 16448u);
  }
  const auto life = open();
  EXPECT_TRUE(life.complaints.empty());
  for (std::uint64_t v = 298; v <= 300; ++v)
    EXPECT_EQ(version(*life.store, {image_, 0, static_cast<std::uint32_t>(v % 3), 0}), v);
}

TEST(PersistDisk, AFullOneIsToldAndSpoilsNothing) {
  TileHeap heap;
  Ledger ledger(all_limits(unlimited));
  const auto disk = std::make_shared<SimulatedDisk>();
  const Call call;
  const ImageId image = ImageId::fresh();
  const TileKey first{image, 0, 0, 0}, second{image, 0, 1, 0};
  {
    auto life = open_persisted(ledger, heap, disk);
    ASSERT_TRUE(life);
    ASSERT_TRUE(life->store->open(call, image, suite_image));
    ASSERT_TRUE(put_one(*life->store, call, first, pattern_tile(heap, suite_image, first, 1)));
    disk->most_bytes = 12288 + 16448 + 10000;
    const auto full = put_one(*life->store, call, second, pattern_tile(heap, suite_image, second, 1));
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code, Errc::limit);
    EXPECT_EQ(get_one(*life->store, call, second).value(), std::nullopt);
    ASSERT_TRUE(life->store->sync(call, image));
    disk->most_bytes = ~0ull;
    ASSERT_TRUE(put_one(*life->store, call, second, pattern_tile(heap, suite_image, second, 2)));
    ASSERT_TRUE(life->store->sync(call, image));
  }
  auto life = open_persisted(ledger, heap, disk);
  ASSERT_TRUE(life);
  EXPECT_TRUE(life->complaints.empty());
  EXPECT_EQ(version_of(**get_one(*life->store, call, first), first), 1u);
  EXPECT_EQ(version_of(**get_one(*life->store, call, second), second), 2u);
}

TEST(PersistDisk, NothingIsAcknowledgedAfterASyncThatFailed) {
  TileHeap heap;
  Ledger ledger(all_limits(unlimited));
  const auto disk = std::make_shared<SimulatedDisk>();
  const Call call;
  const ImageId image = ImageId::fresh();
  auto life = open_persisted(ledger, heap, disk);
  ASSERT_TRUE(life);
  ASSERT_TRUE(life->store->open(call, image, suite_image));
  ASSERT_TRUE(
      put_one(*life->store, call, {image, 0, 0, 0}, pattern_tile(heap, suite_image, {image, 0, 0, 0}, 1)));
  disk->power_fails_at = disk->operations;
  EXPECT_FALSE(life->store->sync(call, image));
  disk->power_fails_at = ~0ull;
  EXPECT_FALSE(life->store->sync(call, image)) << "the system may have thrown away what it could not write";
  EXPECT_FALSE(
      put_one(*life->store, call, {image, 0, 1, 0}, pattern_tile(heap, suite_image, {image, 0, 1, 0}, 1)));
  EXPECT_TRUE(life->store->drop(call, image));
}

TEST(PersistNames, AreReplacedAndRemoved) {
  const auto disk = std::make_shared<SimulatedDisk>();
  auto book = NameBook::open(disk);
  ASSERT_TRUE(book);
  const std::string longest(NameBook::most_name_bytes, '/');
  for (const std::string& name : {std::string("../../etc/passwd"), std::string("a\0b", 3), longest}) {
    ASSERT_TRUE((*book)->put(name, {}));
    ASSERT_TRUE((*book)->put(name, std::as_bytes(std::span("two"))));
  }
  EXPECT_EQ((*book)->put("", {}).error().code, Errc::invalid);
  EXPECT_EQ((*book)->put(longest + "/", {}).error().code, Errc::invalid);
  for (const auto& [file, inode] : disk->files()) EXPECT_EQ(file.size(), 21u) << "names are not file names";
  ASSERT_TRUE((*book)->remove("../../etc/passwd"));
  ASSERT_TRUE((*book)->remove("never there"));
  auto again = NameBook::open(disk);
  ASSERT_TRUE(again);
  EXPECT_EQ((*again)->all().value().size(), 2u);
  EXPECT_EQ((*again)->get(longest).value().size(), sizeof "two");
  EXPECT_EQ((*again)->get("../../etc/passwd").error().code, Errc::unavailable);
}

// The files that doc/disk-format.md shows: "FILE name SIZE", then lines of "OFFSET: byte byte ...", the rest
// zero.
std::map<std::string, Bytes> shown_files() {
  std::ifstream in(SMALTI_DOC "/disk-format.md");
  std::map<std::string, Bytes> files;
  Bytes* now = nullptr;
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::string first;
    words >> first;
    if (first == "FILE") {
      std::string name;
      std::size_t size = 0;
      words >> name >> size;
      now = &files[name];
      now->resize(size);
    } else if (now && first.ends_with(':')) {
      std::size_t at = std::stoul(first, nullptr, 16);
      for (std::string byte; words >> byte;)
        now->at(at++) = static_cast<std::byte>(std::stoul(byte, nullptr, 16));
    } else if (first.starts_with("```")) {
      now = nullptr;
    }
  }
  return files;
}

TEST(PersistFormat, TheDocumentsFilesAreReadAsItSays) {
  const auto disk = std::make_shared<SimulatedDisk>();
  const auto files = shown_files();
  ASSERT_EQ(files.size(), 3u);
  for (const auto& [name, bytes] : files) {
    disk->files()[name] = std::make_shared<SimulatedDisk::Inode>();
    disk->files()[name]->now = bytes;
  }
  TileHeap heap;
  Ledger ledger(all_limits(unlimited));
  const Call call;
  const auto life = open_persisted(ledger, heap, disk);
  ASSERT_TRUE(life) << life.error().what;
  EXPECT_TRUE(life->complaints.empty());
  ASSERT_EQ(life->images.size(), 1u);
  const ImageId image = life->images[0].image;
  EXPECT_EQ(image.text(), "000102030405060708090a0b0c0d0e0f");
  EXPECT_EQ(life->images[0].spec, (ImageSpec{{5, 2}, {Sample::u8, 1, 0}, {4, 2}}));
  const auto left = get_one(*life->store, call, {image, 0, 0, 0});
  ASSERT_TRUE(left && *left);
  const std::uint8_t pixels[] = {10, 11, 12, 13, 14, 15, 16, 17};
  EXPECT_TRUE(std::ranges::equal((*left)->bytes(), std::as_bytes(std::span(pixels))));
  EXPECT_EQ(get_one(*life->store, call, {image, 0, 1, 0}).value(), std::nullopt);
  const auto record = life->names->get("slide");
  ASSERT_TRUE(record);
  EXPECT_TRUE(std::ranges::equal(*record, std::as_bytes(std::span(std::string_view("hello")))));
  // And what is written anew is the same.
  const Bytes before = disk->files()["0000000000000001.name"]->now;
  ASSERT_TRUE(life->names->put("slide", *record));
  EXPECT_EQ(disk->files()["0000000000000001.name"]->now, before);
}

}  // namespace
}  // namespace smalti::test
