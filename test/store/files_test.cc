// Tile files: private, gone, preallocated; full disks, damaged bytes and limits.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "smalti/store/stores.h"
#include "test/store/patterns.h"

namespace smalti::test {
namespace {

namespace fs = std::filesystem;

class TileFiles : public testing::TestWithParam<bool> {  // mapped?
 protected:
  TileFiles() {
    std::string name = (fs::temp_directory_path() / "smalti-test-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~TileFiles() override { fs::remove_all(folder_); }

  Result<StorePtr> make(Ledger& ledger) {
    return GetParam() ? mapped_store(ledger, folder_) : disk_store(ledger, heap_, folder_);
  }
  Tile tile(const TileKey& key, std::uint64_t version) { return pattern_tile(heap_, suite_image, key, version); }
  // Descriptors of this process that lead to nameless files in the folder.
  std::vector<int> descriptors() const {
    std::vector<int> found;
    for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      const auto target = fs::read_symlink(entry.path(), gone).string();
      if (!gone && target.starts_with(folder_.string() + "/")) found.push_back(std::stoi(entry.path().filename()));
    }
    return found;
  }

  const Call call_;
  TileHeap heap_;
  Ledger ledger_{all_limits(unlimited)};
  fs::path folder_;
  const ImageId image_ = ImageId::fresh();
};

std::string medium_name(const testing::TestParamInfo<bool>& info) { return info.param ? "mapped" : "disk"; }
INSTANTIATE_TEST_SUITE_P(Both, TileFiles, testing::Bool(), medium_name);

TEST_P(TileFiles, HaveNoName) {
  const auto store = make(ledger_);
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->open(call_, image_, suite_image));
  for (std::uint32_t n = 0; n < 8; ++n) {
    const TileKey key{image_, 0, n, 0};
    ASSERT_TRUE(put_one(**store, call_, key, tile(key, 1)));
  }
  EXPECT_TRUE(fs::is_empty(folder_)) << "a crash now would leave it behind";
  for (const int fd : descriptors()) {
    struct stat about {};
    ASSERT_EQ(::fstat(fd, &about), 0);
    EXPECT_EQ(about.st_nlink, 0u);
    EXPECT_EQ(about.st_mode & 0777u, 0600u);
  }
}

TEST_P(TileFiles, GiveTheDiskItsRoomBackWithTheImage) {
  const auto store = make(ledger_);
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->open(call_, image_, suite_image));
  const TileKey key{image_, 0, 0, 0};
  ASSERT_TRUE(put_one(**store, call_, key, tile(key, 1)));
  auto held = get_one(**store, call_, key);
  ASSERT_TRUE(held && *held);
  ASSERT_TRUE((*store)->drop(call_, image_));
  const Resource resource = GetParam() ? Resource::map : Resource::disk;
  EXPECT_EQ(ledger_.used(resource), GetParam() ? 16384u : 0u) << "a mapping that is read still takes room";
  EXPECT_EQ(version_of(**held, key), 1u);
  held = std::optional<Tile>();
  EXPECT_EQ(ledger_.used(resource), 0u);
  EXPECT_TRUE(descriptors().empty());
}

TEST_P(TileFiles, AFolderThatCannotBeUsedIsNamed) {
  folder_ /= "missing";
  const auto store = make(ledger_);
  ASSERT_FALSE(store);
  EXPECT_EQ(store.error().code, Errc::io);
  EXPECT_NE(store.error().what.find(folder_.string()), std::string::npos) << store.error().what;
  EXPECT_NE(store.error().what.find("registry:temporary-path"), std::string::npos) << store.error().what;
  folder_ = folder_.parent_path();
}

// A file may not grow beyond `bytes` while this lives: what a full disk looks like, without one.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &old_);
    rlimit tight = old_;
    tight.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &tight);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &old_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit old_{};
  void (*old_handler_)(int) = nullptr;
};

TEST_P(TileFiles, AFullDiskIsALimitAndLosesNothing) {
  const auto store = make(ledger_);
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->open(call_, image_, suite_image));
  const TileKey first{image_, 0, 0, 0};
  ASSERT_TRUE(put_one(**store, call_, first, tile(first, 1)));
  const std::uint64_t used = ledger_.used(GetParam() ? Resource::map : Resource::disk);
  std::size_t refused = 0;
  {
    const FileSizeLimit full(8192);
    for (std::uint32_t n = 1; n < 40; ++n) {
      const TileKey key{image_, 1, n, 0};
      // Beyond what is reserved already; pieces of a megabyte are.
      ImageSpec large = suite_image;
      large.tile = {500, 300};
      const auto put = put_one(**store, call_, key, pattern_tile(heap_, large, {image_, 0, 0, 0}, 1));
      if (put) continue;
      ++refused;
      EXPECT_EQ(put.error().code, Errc::limit) << put.error().what;
      EXPECT_NE(put.error().what.find(folder_.string()), std::string::npos) << put.error().what;
      EXPECT_NE(put.error().what.find("cache resources exhausted"), std::string::npos);
    }
  }
  EXPECT_GT(refused, 0u);
  auto got = get_one(**store, call_, first);
  ASSERT_TRUE(got && *got);
  EXPECT_EQ(version_of(**got, first), 1u);
  got = std::optional<Tile>();
  const TileKey next{image_, 0, 1, 0};
  EXPECT_TRUE(put_one(**store, call_, next, tile(next, 1))) << "there is room again";
  EXPECT_GT(ledger_.used(GetParam() ? Resource::map : Resource::disk), used);
  ASSERT_TRUE((*store)->drop(call_, image_));
  EXPECT_EQ(ledger_.used(GetParam() ? Resource::map : Resource::disk), 0u);
}

TEST_P(TileFiles, DamagedBytesAreNoticed) {
  if (GetParam()) GTEST_SKIP() << "mapped tiles carry no checksum";
  const auto store = make(ledger_);
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->open(call_, image_, suite_image));
  const TileKey key{image_, 0, 0, 0};
  ASSERT_TRUE(put_one(**store, call_, key, tile(key, 1)));
  const auto files = descriptors();
  ASSERT_EQ(files.size(), 1u);
  ASSERT_EQ(::pwrite(files[0], "x", 1, 1000), 1);
  const auto got = get_one(**store, call_, key);
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::corrupt);
  EXPECT_NE(got.error().what.find(image_.text()), std::string::npos) << got.error().what;
  EXPECT_NE(got.error().what.find(folder_.string()), std::string::npos) << got.error().what;
  ASSERT_EQ(::ftruncate(files[0], 0), 0);
  EXPECT_EQ(get_one(**store, call_, key).error().code, Errc::corrupt);
}

TEST_P(TileFiles, CountAgainstTheFileLimit) {
  Limits limits = all_limits(unlimited);
  limits[Resource::file] = 1;
  Ledger ledger(limits);
  const auto store = make(ledger);
  ASSERT_TRUE(store);
  const ImageId second = ImageId::fresh();
  ASSERT_TRUE((*store)->open(call_, image_, suite_image));
  ASSERT_TRUE((*store)->open(call_, second, suite_image));
  const TileKey here{image_, 0, 0, 0}, there{second, 0, 0, 0};
  ASSERT_TRUE(put_one(**store, call_, here, tile(here, 1)));
  const auto refused = put_one(**store, call_, there, tile(there, 1));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::limit);
  EXPECT_NE(refused.error().what.find("file"), std::string::npos) << refused.error().what;
  EXPECT_EQ(ledger.used(GetParam() ? Resource::map : Resource::disk), 16384u);
  ASSERT_TRUE((*store)->drop(call_, image_));
  EXPECT_TRUE(put_one(**store, call_, there, tile(there, 1)));
}

TEST_P(TileFiles, ReuseRoomOnlyWhenNobodyReadsIt) {
  Limits limits = all_limits(unlimited);
  limits[Resource::map] = limits[Resource::disk] = 2 * 16384;
  Ledger ledger(limits);
  const auto store = make(ledger);
  ASSERT_TRUE(store);
  ASSERT_TRUE((*store)->open(call_, image_, suite_image));
  const TileKey key{image_, 0, 0, 0};
  std::vector<Tile> handles;
  for (std::uint64_t v = 1; v <= 20; ++v) {
    ASSERT_TRUE(put_one(**store, call_, key, tile(key, v)));
    const auto got = get_one(**store, call_, key);
    ASSERT_TRUE(got && *got);
    handles.push_back(**got);
  }
  for (std::uint64_t v = 1; v <= 20; ++v) EXPECT_EQ(version_of(handles[v - 1], key), v);
  handles.clear();
  EXPECT_EQ(ledger.used(GetParam() ? Resource::map : Resource::disk), 16384u);
}

TEST(MemoryStore, RefusesAnImageBeyondTheAreaLimit) {
  Limits limits = all_limits(unlimited);
  limits[Resource::area] = suite_image.size.area() - 1;
  Ledger ledger(limits);
  const StorePtr store = memory_store(ledger);
  const auto opened = store->open({}, ImageId::fresh(), suite_image);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::limit);
  EXPECT_NE(opened.error().what.find("area"), std::string::npos) << opened.error().what;
}

TEST(MemoryStore, ShedsAScanBeforeWhatIsHot) {
  Ledger ledger(all_limits(unlimited));
  TileHeap heap;
  const StorePtr store = memory_store(ledger);
  const ImageId image = ImageId::fresh();
  ImageSpec spec = suite_image;
  spec.size = {64 * 100, 64 * 16};
  ASSERT_TRUE(store->open({}, image, spec));
  const auto put = [&](std::uint32_t col, std::uint32_t row) {
    const TileKey key{image, 0, col, row};
    ASSERT_TRUE(put_one(*store, {}, key, pattern_tile(heap, spec, key, 1)));
  };
  for (std::uint32_t col = 0; col < 100; ++col) put(col, 0);
  for (std::uint32_t col = 0; col < 100; ++col) EXPECT_TRUE(*get_one(*store, {}, {image, 0, col, 0}));
  for (std::uint32_t row = 1; row < 16; ++row)
    for (std::uint32_t col = 0; col < 100; ++col) put(col, row);
  const auto gone = store->shed(1000 * 16384);
  EXPECT_EQ(gone.size(), 1000u);
  for (const TilePut& one : gone) EXPECT_NE(one.key.row, 0u) << "a hot tile went before a cold one";
  EXPECT_EQ(ledger.used(Resource::memory), 1600u * 16384) << "what is shed is charged until it has landed";
}

}  // namespace
}  // namespace smalti::test
