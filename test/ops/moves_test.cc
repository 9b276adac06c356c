// What operators move when no tile rests here: each tile of the image once, in whatever order they go, and
// nothing in vain. Counts, not times.
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <sstream>

#include "ops/vips.h"
#include "test/ops/file_stage.h"

namespace smalti::ops::testing {
namespace {

// A store whose tiles are never at hand, like a server's.
class Far final : public TileStore {
 public:
  explicit Far(StorePtr inner) : inner_(std::move(inner)) {}
  Result<void> open(const Call& call, const ImageId& id, const ImageSpec& spec) override {
    return inner_->open(call, id, spec);
  }
  void get(const Call& call, std::span<TileGet> batch) override {
    if (call.reach != Reach::hot) return inner_->get(call, batch);
    for (TileGet& one : batch) one.got = fail(Errc::would_wait, "not at hand");
  }
  void put(const Call& call, std::span<TilePut> batch) override { inner_->put(call, batch); }
  Result<void> drop(const Call& call, const ImageId& id) override { return inner_->drop(call, id); }
  Result<void> sync(const Call& call, const std::optional<ImageId>& id) override {
    return inner_->sync(call, id);
  }
  std::vector<TilePut> shed(std::uint64_t bytes) override { return inner_->shed(bytes); }
  Traits traits() const noexcept override {
    Traits traits = inner_->traits();
    traits.waits = true;
    return traits;
  }
  void count(const std::function<void(const Count&)>& tell) const override { inner_->count(tell); }
  void use(const std::optional<ImageId>& id, const std::function<void(const TierUse&)>& tell) const override {
    inner_->use(id, tell);
  }

 private:
  StorePtr inner_;
};

constexpr Extent size{4096, 3072};  // 16 x 12 tiles of 192 KiB
constexpr std::uint64_t tiles = 16 * 12;
constexpr std::uint64_t memory = 24u << 20;  // two thirds of the image

class Moves : public ::testing::Test {
 protected:
  void SetUp() override {
    stage.workshop().cache.store = std::make_shared<Far>(memory_store(servers));
    stage.workshop().threads = 2;
    stage.workshop().watch = [this](CacheEvent event, const std::string&, std::uint32_t,
                                    const PixelCache& cache) {
      const std::lock_guard lock(mutex);
      if (event == CacheEvent::closing) closed.push_back(cache.counts());
    };
    vips_concurrency_set(2);
    std::string file = "P6 4096 3072 255\n";
    for (std::uint32_t i = 0; i < size.area() * 3; ++i) file.push_back(static_cast<char>(i * 7 + i / 4096));
    spit(stage.path("in.ppm"), file);
  }

  // Counts of the image that was read, after the operators and a writer went over it.
  CacheCounts run(const std::string& chain) {
    closed.clear();
    {
      const auto in = stage.read(stage.path("in.ppm"));
      EXPECT_TRUE(in) << in.error().what;
      if (!in) return {};
      Picture picture = in->front();
      std::istringstream words(chain);
      for (std::string name, argument; words >> name;) {
        if (name != "-flip" && name != "-flop" && name != "-negate")
          words >> argument;
        else
          argument.clear();
        auto applied = apply(stage.workshop(), Call{}, picture, {name.substr(1), argument, {}});
        EXPECT_TRUE(applied) << applied.error().what;
        if (!applied) return {};
        picture = *applied;
      }
      const auto written = stage.write(picture, stage.path("out.ppm"));
      EXPECT_TRUE(written) << written.error().what;
    }
    EXPECT_EQ(closed.size(), 1u) << "no second cached image";
    return closed.empty() ? CacheCounts{} : closed.back();
  }

  Ledger servers{FileStage::with(Resource::memory, unlimited)};
  FileStage stage{FileStage::with(Resource::memory, memory)};
  std::mutex mutex;
  std::vector<CacheCounts> closed;  // guarded by mutex
};

TEST_F(Moves, EachTileOnceInEveryOrder) {
  for (const char* chain : {"-negate", "-sharpen 5x2", "-blur 0x8", "-resize 50%", "-resize 120%", "-flip",
                            "-flop", "-rotate 90", "-rotate 180", "-rotate 270", "-rotate 37", "-rotate -5",
                            "-depth 4 -negate", "-blur 0x2 -sharpen 5x2 -resize 50%", "-flip -sharpen 0x1"}) {
    SCOPED_TRACE(chain);
    const CacheCounts counts = run(chain);
    EXPECT_GE(counts.tiles_got, tiles * 95 / 100);  // a rotation's reads may miss none
    EXPECT_LE(counts.tiles_got, tiles * 105 / 100);
    EXPECT_LE(counts.ahead_got - counts.ahead_used, tiles * 5 / 100) << "read ahead in vain";
  }
}

TEST_F(Moves, OnlyWhatACropNeeds) {
  const CacheCounts counts = run("-crop 1000x600+1024+1024 -sharpen 5x2");
  EXPECT_LE(counts.tiles_got, 4u * 3u);
  EXPECT_EQ(counts.ahead_got, counts.ahead_used);
}

TEST_F(Moves, SharpeningNoMoreThanNegating) {
  const std::uint64_t negate = run("-negate").bytes_got, sharpen = run("-sharpen 5x2").bytes_got;
  EXPECT_GE(negate, size.area() * 3);
  EXPECT_LE(sharpen, negate * 105 / 100);
}

}  // namespace
}  // namespace smalti::ops::testing
