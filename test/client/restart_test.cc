// What becomes of images when real servers die, come back, or run out of room.
#include <gmock/gmock.h>
#include <unistd.h>

#include "test/client/real_servers.h"
#include "test/store/patterns.h"

namespace smalti::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

const ImageSpec an_images_spec{{500, 300}, {Sample::u8, 4, 0}, {64, 64}};  // 40 tiles

class RealClusterTest : public testing::Test {
 protected:
  RealClusterTest() {
    state_ = std::filesystem::temp_directory_path() / ("smalti-client-test-" + std::to_string(::getpid()));
    std::filesystem::create_directories(state_);
  }
  ~RealClusterTest() override {
    store_.reset();
    servers_.clear();
    std::filesystem::remove_all(state_);
  }

  RealServer& serve(std::uint64_t memory = unlimited) {
    Limits limits;
    limits.most.fill(unlimited);
    limits[Resource::memory] = memory;
    const auto folder = state_ / std::to_string(servers_.size());
    std::filesystem::create_directories(folder);
    servers_.push_back(std::make_unique<RealServer>(RealServerOptions{limits, false, 0, folder}));
    options_.hosts.push_back(servers_.back()->host());
    return *servers_.back();
  }
  TileStore& store() {
    if (!store_) {
      options_.secret = our_secret();
      options_.key = our_key();
      store_ = cluster_store(loop_, heap_, log_, options_);
    }
    return *store_;
  }
  TileKey nth(const ImageId& id, std::uint32_t n) { return {id, 0, n % 8, n / 8}; }
  ImageId an_image() {
    const ImageId id = ImageId::fresh();
    const auto opened = store().open(call_, id, an_images_spec);
    EXPECT_TRUE(opened) << opened.error().what;
    std::vector<TilePut> batch;
    for (std::uint32_t n = 0; n < 40; ++n)
      batch.push_back({nth(id, n), pattern_tile(heap_, an_images_spec, nth(id, n), n + 1)});
    store().put(call_, batch);
    for (const TilePut& one : batch) EXPECT_TRUE(one.put) << one.put.error().what;
    return id;
  }
  // Tiles that are right, and those that are an error; a blank one fails the test.
  std::pair<int, int> read(const ImageId& id) {
    std::pair<int, int> sum;
    std::vector<TileGet> batch;
    for (std::uint32_t n = 0; n < 40; ++n) batch.push_back({nth(id, n)});
    store().get(call_, batch);
    for (std::uint32_t n = 0; n < 40; ++n) {
      if (!batch[n].got) {
        ++sum.second;
        last_error_ = batch[n].got.error();
        continue;
      }
      EXPECT_TRUE(*batch[n].got) << "blank";
      if (*batch[n].got && version_of(**batch[n].got, batch[n].key) == n + 1) ++sum.first;
    }
    return sum;
  }
  template <class Condition>
  static bool eventually(Condition condition) {
    for (int i = 0; i < 6000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  const Call call_;
  std::filesystem::path state_;
  net::Loop loop_;
  TileHeap heap_;
  Log log_;
  ClusterOptions options_;
  std::vector<std::unique_ptr<RealServer>> servers_;
  StorePtr store_;
  Error last_error_;
};

TEST_F(RealClusterTest, AServerThatRestartsHasLostItsPart) {
  RealServer& first = serve();
  RealServer& second = serve();
  options_.placement = Placement::sharded;
  ImageId id = an_image();
  for (int i = 0; i < 50 && (first.tiles() == 0 || second.tiles() == 0); ++i) {  // until both hold some of it
    ASSERT_TRUE(store().drop(call_, id));
    id = an_image();
  }
  const int kept = static_cast<int>(second.tiles());
  ASSERT_EQ(first.tiles() + second.tiles(), 40u);
  first.restart();
  EXPECT_EQ(read(id), std::pair(kept, 40 - kept));
  EXPECT_EQ(last_error_.code, Errc::unavailable);
  EXPECT_THAT(last_error_.what, HasSubstr(first.host().text()));
  EXPECT_THAT(last_error_.what, HasSubstr("restarted in the middle"));
  EXPECT_THAT(last_error_.what, HasSubstr(id.text()));
  EXPECT_EQ(store().sync(call_, id).error().code, Errc::unavailable);
  EXPECT_TRUE(store().drop(call_, id));
  const ImageId next = an_image();  // and life goes on
  EXPECT_EQ(read(next), std::pair(40, 0));
}

TEST_F(RealClusterTest, AServerThatDiesIsNamed) {
  RealServer& only = serve();
  const ImageId id = an_image();
  only.stop();
  EXPECT_EQ(read(id), std::pair(0, 40));
  EXPECT_EQ(last_error_.code, Errc::unavailable);
  EXPECT_THAT(last_error_.what, HasSubstr(only.host().text()));
  EXPECT_THAT(last_error_.what, HasSubstr(id.text()));
  const auto opened = store().open(call_, ImageId::fresh(), an_images_spec);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().what, HasSubstr(only.host().text()));
}

TEST_F(RealClusterTest, AFullServersTilesGoToTheNextAndComeBack) {
  RealServer& small = serve(100'000);
  RealServer& large = serve();
  options_.random_first = false;
  const ImageId id = an_image();
  EXPECT_GT(small.tiles(), 0u);
  EXPECT_GT(large.tiles(), 0u);
  EXPECT_EQ(small.tiles() + large.tiles(), 40u);
  EXPECT_EQ(read(id), std::pair(40, 0));
  std::uint64_t told = 0;
  store().use(id, [&](const TierUse& use) {
    told += use.tiles;
    EXPECT_EQ(use.tiles, use.place == small.host().text() ? small.tiles() : large.tiles());
  });
  EXPECT_EQ(told, 40u);
  EXPECT_TRUE(store().drop(call_, id));
  EXPECT_EQ(small.tiles() + large.tiles(), 0u);
}

TEST_F(RealClusterTest, WhenAllAreFullTheServersAreNamedWithTheirFigures) {
  serve(40'000);
  serve(40'000);
  const ImageId id = ImageId::fresh();
  ASSERT_TRUE(store().open(call_, id, an_images_spec));
  Error refused;
  for (std::uint32_t n = 0; n < 8; ++n) {
    const auto done = put_one(store(), call_, nth(id, n), pattern_tile(heap_, an_images_spec, nth(id, n), 1));
    if (!done) refused = done.error();
  }
  EXPECT_EQ(refused.code, Errc::limit);
  EXPECT_THAT(refused.what, testing::StartsWith("cache resources exhausted"));
  for (const auto& server : servers_) EXPECT_THAT(refused.what, HasSubstr(server->host().text()));
}

TEST_F(RealClusterTest, AClientThatLeavesFreesItsImagesAtOnce) {
  RealServer& server = serve();
  an_image();
  EXPECT_EQ(server.tiles(), 40u);
  store_.reset();
  EXPECT_TRUE(eventually([&] { return server.tiles() == 0; }));
}

}  // namespace
}  // namespace smalti::test
