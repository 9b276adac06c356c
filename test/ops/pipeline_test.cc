// Pixels on demand: many workers over a slow store, errors that keep their name, stops, progress, and the
// watch.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "ops/cached_source.h"
#include "ops/state.h"
#include "test/ops/file_stage.h"

namespace smalti::ops::testing {
namespace {

struct Trouble {
  std::atomic<int> wait_ms{0};
  std::atomic<bool> get_fails{false};
  std::atomic<bool> put_fails{false};
  std::atomic<int> gets{0};
};

// A store that dawdles and fails as told.
class Awkward final : public TileStore {
 public:
  Awkward(StorePtr inner, Trouble& trouble) : inner_(std::move(inner)), trouble_(trouble) {}
  Result<void> open(const Call& call, const ImageId& id, const ImageSpec& spec) override {
    return inner_->open(call, id, spec);
  }
  void get(const Call& call, std::span<TileGet> batch) override {
    if (call.reach == Reach::hot) {  // what is slow is never at hand
      for (TileGet& one : batch) one.got = fail(Errc::would_wait, "not at hand");
      return;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(trouble_.wait_ms));
    trouble_.gets += static_cast<int>(batch.size());
    inner_->get(call, batch);
    if (!trouble_.get_fails) return;
    for (TileGet& one : batch) one.got = fail(Errc::unavailable, "server 192.0.2.1:6668 is gone");
  }
  void put(const Call& call, std::span<TilePut> batch) override {
    if (!trouble_.put_fails) return inner_->put(call, batch);
    for (TilePut& one : batch) one.put = fail(Errc::io, "disk of 192.0.2.1:6668 broke");
  }
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
  Trouble& trouble_;
};

std::string noise(Extent size) {
  std::string out = "P6 " + std::to_string(size.w) + " " + std::to_string(size.h) + " 255\n";
  std::uint32_t value = 1;
  for (std::uint64_t i = 0; i < size.area() * 3; ++i) {
    value = value * 1664525u + 1013904223u;
    out.push_back(static_cast<char>(value >> 24));
  }
  return out;
}

class Pipeline : public ::testing::Test {
 protected:
  void SetUp() override {
    auto slow = std::make_shared<Awkward>(memory_store(stage.ledger()), trouble);
    stage.workshop().cache.store = slow;
    spit(stage.path("in.ppm"), noise({1500, 700}));
  }
  Trouble trouble;
  FileStage stage;
};

TEST_F(Pipeline, ManyWorkersOverASlowStoreGetTheSamePixels) {
  const std::string want = slurp(stage.path("in.ppm"));
  for (const int workers : {2, 8}) {
    vips_concurrency_set(workers);
    trouble.wait_ms = 0;
    const auto in = stage.read(stage.path("in.ppm"));
    ASSERT_TRUE(in) << in.error().what;
    trouble.wait_ms = 3;
    const auto done = stage.write(in->front(), stage.path("out.ppm"));
    ASSERT_TRUE(done) << done.error().what;
    const std::string got = slurp(stage.path("out.ppm"));
    EXPECT_TRUE(got.substr(got.size() - 1500 * 700 * 3) == want.substr(want.size() - 1500 * 700 * 3))
        << workers;
  }
}

TEST_F(Pipeline, AnErrorOfTheStoreReachesTheCallerWithItsOwnTextAndCode) {
  const auto in = stage.read(stage.path("in.ppm"));
  ASSERT_TRUE(in) << in.error().what;
  trouble.get_fails = true;
  for (const char* name : {"out.png", "out.ppm", "out.tif", "out.jpg", "out.webp", "null:"}) {
    const std::string target = std::string(name) == "null:" ? name : stage.path(name);
    // An operator between, so that the error crosses it.
    const auto blurred = apply(stage.workshop(), Call(), in->front(), {"blur", "0x1", {}});
    ASSERT_TRUE(blurred) << blurred.error().what;
    const auto done = stage.write(*blurred, target);
    ASSERT_FALSE(done) << name;
    EXPECT_EQ(done.error().code, Errc::unavailable) << done.error().what;
    EXPECT_NE(done.error().what.find("192.0.2.1:6668 is gone"), std::string::npos) << done.error().what;
  }
  EXPECT_EQ(stage.files(), (std::vector<std::string>{"in.ppm"}));
  trouble.get_fails = false;
  const auto again = stage.write(in->front(), stage.path("out.ppm"));
  EXPECT_TRUE(again) << "an old error does not stick: " << again.error().what;
}

TEST_F(Pipeline, AFailedPutEndsTheRead) {
  trouble.put_fails = true;
  const auto in = stage.read(stage.path("in.ppm"));
  ASSERT_FALSE(in);
  EXPECT_EQ(in.error().code, Errc::io) << in.error().what;
  EXPECT_NE(in.error().what.find("192.0.2.1:6668 broke"), std::string::npos) << in.error().what;
  EXPECT_NE(in.error().what.find("in.ppm"), std::string::npos) << in.error().what;
}

TEST_F(Pipeline, AStopEndsAWriteAtOnceAndLeavesNothing) {
  const auto in = stage.read(stage.path("in.ppm"));
  ASSERT_TRUE(in) << in.error().what;
  trouble.wait_ms = 20;
  std::stop_source source;
  Call call;
  call.stop = source.get_token();
  const int before = trouble.gets;
  std::jthread stopper([&] {
    while (trouble.gets == before) std::this_thread::yield();
    source.request_stop();
  });
  const auto done = write_picture(stage.workshop(), call, in->front(), stage.path("out.png"), {});
  stopper.join();
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::cancelled) << done.error().what;
  EXPECT_EQ(stage.files(), (std::vector<std::string>{"in.ppm"}));
}

TEST_F(Pipeline, AStopEndsWhatIsPureArithmetic) {
  const auto canvas = stage.read("gradient:red-blue", {{"size", "100000x90000"}});
  ASSERT_TRUE(canvas) << canvas.error().what;
  std::stop_source source;
  Call call;
  call.stop = source.get_token();
  stage.workshop().progress = [&](std::string_view, std::uint64_t, std::uint64_t) { source.request_stop(); };
  const auto done = write_picture(stage.workshop(), call, canvas->front(), "null:", {});
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::cancelled) << done.error().what;
}

TEST_F(Pipeline, ProgressGrowsToTheWhole) {
  std::atomic<std::uint64_t> last{0}, whole{0};
  stage.workshop().progress = [&](std::string_view, std::uint64_t done, std::uint64_t of) {
    last = done;
    whole = of;
  };
  const auto in = stage.read(stage.path("in.ppm"));
  ASSERT_TRUE(in) << in.error().what;
  EXPECT_EQ(whole, 1500u * 700);
  EXPECT_GT(last, 0u);
}

TEST_F(Pipeline, TheWatchHearsOfEveryCache) {
  std::vector<std::string> heard;
  stage.workshop().watch = [&](CacheEvent event, const std::string& name, std::uint32_t scene,
                               const PixelCache& cache) {
    heard.push_back((event == CacheEvent::opened ? "open " : "close ") + name + " " + std::to_string(scene) +
                    " " + std::to_string(cache.spec().size.w));
  };
  {
    const auto in = stage.read(stage.path("in.ppm"));
    ASSERT_TRUE(in) << in.error().what;
    EXPECT_EQ(heard, (std::vector<std::string>{"open " + stage.path("in.ppm") + " 0 1500"}));
  }
  EXPECT_EQ(heard.size(), 2u);
  EXPECT_EQ(heard.back(), "close " + stage.path("in.ppm") + " 0 1500");
}

TEST_F(Pipeline, WhatIsReadOutOfOrderIsComputedOnce) {
  unsigned opened = 0;
  stage.workshop().watch = [&](CacheEvent event, const std::string&, std::uint32_t, const PixelCache&) {
    opened += event == CacheEvent::opened;
  };
  const auto in = stage.read(stage.path("in.ppm"));
  ASSERT_TRUE(in) << in.error().what;
  const auto chain = [&](std::initializer_list<Operation> operations) {
    opened = 0;
    Picture picture = in->front();
    for (const Operation& operation : operations) {
      auto next = apply(stage.workshop(), Call(), picture, operation);
      ASSERT_TRUE(next) << next.error().what;
      picture = *next;
    }
  };
  chain({{"negate", "", {}}, {"rotate", "90", {}}});
  EXPECT_EQ(opened, 0u) << "a complement costs nothing to compute again";
  chain({{"blur", "0x2", {}}, {"rotate", "90", {}}});
  EXPECT_EQ(opened, 1u);
  chain({{"blur", "0x2", {}}, {"sharpen", "5x2", {}}});
  EXPECT_EQ(opened, 0u);
}

}  // namespace
}  // namespace smalti::ops::testing
