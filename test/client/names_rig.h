// Names over real servers in this process.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <mutex>
#include <thread>

#include "client/names.h"
#include "test/client/real_servers.h"
#include "test/store/patterns.h"

namespace smalti::test {

using namespace client;
using namespace std::chrono_literals;

inline const ImageSpec spec{{500, 300}, {Sample::u8, 4, 0}, {64, 64}};  // 40 tiles

class NamesTest : public testing::Test {
 protected:
  NamesTest() {
    state_ = std::filesystem::temp_directory_path() / ("smalti-names-test-" + std::to_string(::getpid()));
    options_.secret = our_secret();
    options_.key = our_key();
    options_.placement = Placement::sharded;
    options_.connect = 3000ms;
  }
  ~NamesTest() override {
    servers_.clear();
    std::filesystem::remove_all(state_);
  }
  RealServer& serve(bool rots = false) {
    Limits limits;
    limits.most.fill(unlimited);
    const auto folder = state_ / std::to_string(servers_.size());
    std::filesystem::create_directories(folder);
    servers_.push_back(std::make_unique<RealServer>(RealServerOptions{limits, false, 0, folder, {}, rots}));
    options_.hosts.push_back(servers_.back()->host());
    return *servers_.back();
  }
  Names names() { return Names(loop_, heap_, log_, options_); }
  static TileKey nth(const ImageId& id, std::uint32_t n) { return {id, 0, n % 8, n / 8}; }

  // Puts tiles of this seed, all but those in `blank`; does not commit.
  ImageId put(NameWriter& writer, std::uint32_t seed, std::uint32_t blank = 0) {
    const ImageId id = ImageId::fresh();
    EXPECT_TRUE(writer.store()->open(call_, id, spec));
    std::vector<TilePut> batch;
    for (std::uint32_t n = blank; n < 40; ++n)
      batch.push_back({nth(id, n), pattern_tile(heap_, spec, nth({}, n), n + 100 * seed)});
    writer.store()->put(call_, batch);
    for (const TilePut& one : batch) EXPECT_TRUE(one.put) << one.put.error().what;
    EXPECT_TRUE(writer.store()->sync(call_, id));
    return id;
  }
  Result<void> write(const std::string& name, std::uint32_t seed) {
    SMALTI_TRY(const auto writer, names().write(call_, name));
    const ImageId id = put(*writer, seed);
    return writer->commit(call_, id, spec, 8, std::vector<std::byte>(5, std::byte(seed)));
  }
  // The seed of the version that is there, every tile of it looked at; nothing: an error, which is kept.
  std::optional<std::uint32_t> read(const std::string& name) {
    auto opened = names().open(call_, name);
    if (!opened) {
      last_error_ = opened.error();
      return std::nullopt;
    }
    return seed_of(*opened);
  }
  std::optional<std::uint32_t> seed_of(const NamedImage& image) {
    const auto seed = std::to_integer<std::uint32_t>(image.sidecar.at(0));
    std::vector<TileGet> batch;
    for (std::uint32_t n = 0; n < 40; ++n) batch.push_back({nth(image.record.image, n)});
    image.store->get(call_, batch);
    for (std::uint32_t n = 0; n < 40; ++n) {
      if (!batch[n].got) {
        last_error_ = batch[n].got.error();
        return std::nullopt;
      }
      EXPECT_TRUE(*batch[n].got) << "blank";
      const Tile want = pattern_tile(heap_, spec, nth({}, n), n + 100 * seed);
      EXPECT_TRUE(*batch[n].got && std::ranges::equal((*batch[n].got)->bytes(), want.bytes())) << "a mixture at " << n;
    }
    return seed;
  }
  std::string said() const {
    const std::lock_guard lock(mutex_);
    return said_;
  }
  std::size_t tiles() const {
    std::size_t sum = 0;
    for (const auto& server : servers_) sum += server->tiles();
    return sum;
  }
  template <class Condition>
  static bool eventually(Condition condition) {
    for (const auto until = Clock::now() + 60s; Clock::now() < until; std::this_thread::sleep_for(5ms))
      if (condition()) return true;
    return false;
  }

  std::filesystem::path state_;
  net::Loop loop_;
  TileHeap heap_;
  mutable std::mutex mutex_;
  std::string said_;  // guarded by mutex_
  Log log_{[this](Level, std::string_view text) {
             const std::lock_guard lock(mutex_);
             said_ += std::string(text) + "\n";
           },
           Level::debug};
  ClusterOptions options_;
  std::vector<std::unique_ptr<RealServer>> servers_;
  const Call call_ = Call{}.within(60s);
  Error last_error_;
};

}  // namespace smalti::test
