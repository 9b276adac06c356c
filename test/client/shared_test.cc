// Tiles between a client and real servers on its own host pass in shared memory, and nobody can tell by the pixels.
#include <gmock/gmock.h>

#include <atomic>
#include <mutex>
#include <thread>

#include "test/client/real_servers.h"
#include "test/store/patterns.h"

namespace smalti::test {
namespace {

using namespace std::chrono_literals;

const ImageSpec spec{{500, 300}, {Sample::u8, 4, 0}, {64, 64}};  // 40 tiles

class SharedTest : public testing::Test {
 protected:
  RealServer& serve(bool share = true, bool plain = false) {
    Limits limits;
    limits.most.fill(unlimited);
    servers_.push_back(std::make_unique<RealServer>(RealServerOptions{limits, plain, 0, {}, {}, false, share}));
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
  TileKey nth(std::uint32_t n) const { return {image_, 0, n % 8, n / 8}; }
  Result<void> open() {
    image_ = ImageId::fresh();
    return store().open(call_, image_, spec);
  }
  // Errors of the puts.
  std::vector<Error> put_all(std::uint64_t version) {
    std::vector<TilePut> batch;
    for (std::uint32_t n = 0; n < 40; ++n) batch.push_back({nth(n), pattern_tile(heap_, spec, nth(n), version)});
    store().put(call_, batch);
    std::vector<Error> out;
    for (const TilePut& one : batch)
      if (!one.put) out.push_back(one.put.error());
    return out;
  }
  // How many tiles are right; errors go to `out`; anything else fails the test.
  int read_all(std::uint64_t version, std::vector<Error>* out = nullptr) {
    std::vector<TileGet> batch;
    for (std::uint32_t n = 0; n < 40; ++n) batch.push_back({nth(n)});
    store().get(call_, batch);
    int right = 0;
    for (const TileGet& one : batch) {
      if (!one.got && out) out->push_back(one.got.error());
      if (!one.got) continue;
      EXPECT_TRUE(*one.got) << "blank";
      if (*one.got && version_of(**one.got, one.key) == version) ++right;
    }
    return right;
  }
  // Until the answer to the offer of sharing has come, tiles go by the stream.
  bool shares() {
    for (int i = 0; i < 1000; ++i) {
      const std::uint64_t before = shared_bytes();
      EXPECT_TRUE(put_all(1).empty());
      EXPECT_EQ(read_all(1), 40);
      if (shared_bytes() > before) return true;
      std::this_thread::sleep_for(2ms);
    }
    return false;
  }
  std::uint64_t shared_bytes() {
    std::uint64_t sum = 0;
    store().count([&](const Count& one) { sum += one.name.ends_with(".shared.bytes") ? one.value : 0; });
    return sum;
  }
  bool said(const std::string& text) {
    const std::lock_guard lock(mutex_);
    return std::any_of(lines_.begin(), lines_.end(), [&](const auto& line) { return line.find(text) != line.npos; });
  }

  const Call call_;
  std::mutex mutex_;
  std::vector<std::string> lines_;  // guarded by mutex_
  net::Loop loop_{net::Loop::Lent::to_callers};
  TileHeap heap_;
  Log log_{[this](Level, std::string_view text) {
             const std::lock_guard lock(mutex_);
             lines_.emplace_back(text);
           },
           Level::info};
  ClusterOptions options_;
  std::vector<std::unique_ptr<RealServer>> servers_;
  StorePtr store_;
  ImageId image_;
};

TEST_F(SharedTest, TilesPassInItOnOneHost) {
  for (const bool plain : {false, true}) {
    store_.reset();
    servers_.clear();
    options_.hosts.clear();
    options_.encrypt = !plain;
    serve(true, plain);
    serve(true, plain);
    options_.placement = Placement::sharded;
    ASSERT_TRUE(open());
    EXPECT_TRUE(shares());
    EXPECT_TRUE(said("shared memory"));
    EXPECT_TRUE(put_all(2).empty());
    EXPECT_EQ(read_all(2), 40);
    EXPECT_GT(servers_[0]->server().use().shared_bytes, 0u);
  }
  store_.reset();
  for (const auto& server : servers_) {
    for (int i = 0; i < 6000 && server->server().use().shared_bytes > 0; ++i) std::this_thread::sleep_for(10ms);
    EXPECT_EQ(server->server().use().shared_bytes, 0u);
  }
}

TEST_F(SharedTest, NotWhereTheClientWantsNone) {
  options_.share = false;
  serve();
  ASSERT_TRUE(open());
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(put_all(1).empty());
    EXPECT_EQ(read_all(1), 40);
  }
  EXPECT_EQ(shared_bytes(), 0u);
  EXPECT_EQ(servers_[0]->server().use().shared_bytes, 0u);
}

TEST_F(SharedTest, NotWhereTheServerWantsNone) {
  serve(false);
  ASSERT_TRUE(open());
  for (int i = 0; i < 20; ++i) {
    EXPECT_TRUE(put_all(1).empty());
    EXPECT_EQ(read_all(1), 40);
  }
  EXPECT_EQ(shared_bytes(), 0u);
  EXPECT_FALSE(said("shared memory"));
}

TEST_F(SharedTest, NotForTilesThatAreCompressed) {
  options_.compress = Compress::lz4;
  serve();
  ASSERT_TRUE(open());
  EXPECT_TRUE(put_all(1).empty());
  EXPECT_EQ(read_all(1), 40);
}

// More at once than there is shared memory: the rest goes by the stream, and everything arrives.
TEST_F(SharedTest, ManyCallersAtOnceAndMoreThanFits) {
  serve();
  const ImageSpec large{{4096, 4096}, {Sample::u8, 4, 0}, {512, 512}};  // 64 tiles of 1 MiB
  image_ = ImageId::fresh();
  ASSERT_TRUE(store().open(call_, image_, large));
  std::vector<std::jthread> callers;
  for (std::uint32_t caller = 0; caller < 4; ++caller)
    callers.emplace_back([&, caller] {
      for (int round = 0; round < 3; ++round) {
        std::vector<TilePut> puts;
        std::vector<TileGet> gets;
        for (std::uint32_t n = caller; n < 64; n += 4) {
          const TileKey key{image_, 0, n % 8, n / 8};
          puts.push_back({key, pattern_tile(heap_, large, key, n + 1)});
          gets.push_back({key});
        }
        store().put(call_, puts);
        for (const TilePut& one : puts) EXPECT_TRUE(one.put) << one.put.error().what;
        store().get(call_, gets);
        for (const TileGet& one : gets) {
          ASSERT_TRUE(one.got && *one.got);
          EXPECT_EQ(version_of(**one.got, one.key), one.key.col + one.key.row * 8 + 1);
        }
      }
    });
  callers.clear();
  EXPECT_GT(shared_bytes(), 0u);
}

// A server's end in the middle of an answer is a lost server, as it is over TCP: never a damaged tile, never a blank one.
TEST_F(SharedTest, AServerThatEndsInTheMiddleIsLostAndNothingElse) {
  RealServer& server = serve();
  ASSERT_TRUE(open());
  ASSERT_TRUE(shares());
  for (int round = 0; round < 5; ++round) {
    std::atomic<int> begun = 0;
    std::vector<Error> errors;
    std::jthread reader([&] {
      for (const auto until = Clock::now() + 60s; errors.empty() && Clock::now() < until; ++begun) read_all(1, &errors);
    });
    while (begun < 20 && round > 0) std::this_thread::yield();
    server.restart();
    reader.join();
    ASSERT_FALSE(errors.empty());
    for (const Error& error : errors) EXPECT_EQ(error.code, Errc::unavailable) << error.what;
    ASSERT_TRUE(store().drop(call_, image_));
    ASSERT_TRUE(open());
    ASSERT_TRUE(put_all(1).empty());
  }
}

}  // namespace
}  // namespace smalti::test
