// cache:stream=auto: the same pixels without a cache, in little memory, and what cannot stream is cached
// after all.
#include <gtest/gtest.h>

#include "ops/vips.h"
#include "test/ops/file_stage.h"

namespace smalti::ops::testing {
namespace {

class Stream : public ::testing::Test {
 protected:
  void SetUp() override {
    vips_concurrency_set(2);
    stage.workshop().threads = 2;
    stage.workshop().watch = [this](CacheEvent event, const std::string&, std::uint32_t, const PixelCache&) {
      caches += event == CacheEvent::opened;
    };
    stage.workshop().passed = [this](const Pass& pass) { passes.push_back(pass); };
    std::string file = "P6 2000 1500 255\n";
    std::uint32_t value = 1;
    for (std::uint32_t i = 0; i < 2000 * 1500 * 3; ++i) {
      value = value * 1664525u + 1013904223u;
      file.push_back(static_cast<char>((i / 6000 + i % 6000 / 30) % 200 + (value >> 28)));
    }
    spit(stage.path("in.ppm"), file);
    for (const char* format : {"jpg", "png"}) {
      const auto in = stage.read(stage.path("in.ppm"));
      ASSERT_TRUE(in && stage.write(in->front(), stage.path(std::string("in.") + format)));
    }
    caches = 0;
    passes.clear();
  }

  // The written file, or the error's text.
  std::string run(const std::string& in, const std::vector<Operation>& operations, bool streamed) {
    stage.workshop().stream = streamed;
    const auto read = stage.read(stage.path(in));
    if (!read) return read.error().what;
    Picture picture = read->front();
    for (const Operation& operation : operations) {
      auto applied = apply(stage.workshop(), Call{}, picture, operation);
      if (!applied) return applied.error().what;
      picture = *applied;
    }
    const auto written = stage.write(picture, stage.path("out.ppm"));
    return written ? slurp(stage.path("out.ppm")) : written.error().what;
  }

  FileStage stage;
  int caches = 0;
  std::vector<Pass> passes;
};

TEST_F(Stream, GivesTheSamePixelsWithoutACache) {
  const std::vector<std::vector<Operation>> chains = {
      {},
      {{"negate", "", {}}},
      {{"sharpen", "5x2", {}}},
      {{"blur", "0x8", {}}},
      {{"resize", "13%", {}}},
      {{"resize", "150%", {}}, {"crop", "700x600+300+1000", {}}},
      {{"crop", "500x100+7+1390", {}}, {"flop", "", {}}},
      {{"blur", "0x2", {}}, {"sharpen", "5x2", {}}, {"resize", "50%", {}}}};
  for (const char* in : {"in.jpg", "in.png", "in.ppm"}) {
    for (const auto& chain : chains) {
      SCOPED_TRACE(std::string(in) + " " +
                   (chain.empty() ? "" : chain.back().name + " " + chain.back().argument));
      const std::string cached = run(in, chain, false);
      EXPECT_EQ(caches, 1);
      ASSERT_EQ(passes.size(), 1u);
      EXPECT_NE(passes.back().could_stream_in, 0u);
      EXPECT_TRUE(run(in, chain, true) == cached);
      EXPECT_EQ(caches, 1) << "streamed through a cache";
      EXPECT_TRUE(passes.back().streamed);
      caches = 0;
      passes.clear();
    }
  }
}

TEST_F(Stream, KeepsOnlyTheRowsThatAreWanted) {
  FileStage fresh;
  fresh.workshop().stream = true;
  fresh.workshop().threads = 2;
  {
    const auto in = fresh.read(stage.path("in.png"));
    ASSERT_TRUE(in);
    const auto sharp = apply(fresh.workshop(), Call{}, in->front(), {"sharpen", "5x2", {}});
    ASSERT_TRUE(sharp && fresh.write(*sharp, fresh.path("out.ppm")));
  }
  // libvips' own rows (640 to decode, 256 to encode) and the workers' are charged beforehand; the image has
  // 1,500.
  constexpr std::uint64_t row = 2000 * 3, own = 640 + 256 + 2 * 64 * 2, kept = 400;
  EXPECT_LE(fresh.ledger().peak(Resource::memory), row * (own + kept));
  EXPECT_EQ(fresh.ledger().used(Resource::memory), 0u);
}

TEST_F(Stream, WhatGoesInAnotherOrderIsCachedFirst) {
  for (const char* name : {"flip", "rotate", "auto-level"}) {
    const std::vector<Operation> chain = {{"resize", "50%", {}},
                                          {name, std::string(name) == "rotate" ? "37" : "", {}}};
    const std::string cached = run("in.jpg", chain, false);
    EXPECT_EQ(passes.back().could_stream_in, 0u) << name;
    EXPECT_TRUE(run("in.jpg", chain, true) == cached) << name;
    EXPECT_FALSE(passes.back().streamed) << name;
  }
}

TEST_F(Stream, ADamagedFileIsAnErrorAndLeavesNothing) {
  const std::string whole = slurp(stage.path("in.png"));
  spit(stage.path("cut.png"), whole.substr(0, whole.size() / 2));
  const std::string said = run("cut.png", {{"negate", "", {}}}, true);
  EXPECT_NE(said.find("cut.png"), std::string::npos) << said;
  EXPECT_NE(said.find("input:salvage"), std::string::npos) << said;
  for (const std::string& file : stage.files()) EXPECT_EQ(file.find("out"), std::string::npos) << file;
}

TEST_F(Stream, PassesTellOperatorsAndReading) {
  run("in.png", {{"negate", "", {}}, {"sharpen", "5x2", {}}}, false);
  ASSERT_EQ(passes.size(), 1u);
  ASSERT_EQ(passes[0].operators.size(), 2u);
  EXPECT_EQ(passes[0].operators[0].what, "-negate");
  EXPECT_EQ(passes[0].operators[1].what, "-sharpen 5x2");
  EXPECT_GT(passes[0].operators[1].seconds, 0);
  EXPECT_TRUE(passes[0].cached);
  EXPECT_GT(passes[0].reading.reads, 0u);
  EXPECT_EQ(passes[0].reading.writes, 0u);
}

TEST_F(Stream, ACanvasIsNeverCached) {
  const Settings settings{{"size", "1000000x1000000"}};
  const auto canvas = stage.read("canvas:red", settings);
  ASSERT_TRUE(canvas) << canvas.error().what;
  const auto same = cached(stage.workshop(), Call{}, canvas->front());
  ASSERT_TRUE(same);
  auto turned = apply(stage.workshop(), Call{}, *same, {"flip", "", {}});
  ASSERT_TRUE(turned);
  auto part = apply(stage.workshop(), Call{}, *turned, {"crop", "10x10+500000+999990", {}});
  ASSERT_TRUE(part) << part.error().what;
  ASSERT_TRUE(stage.write(*part, stage.path("red.ppm")));
  const std::string file = slurp(stage.path("red.ppm"));
  EXPECT_EQ(file.substr(file.size() - 3), std::string("\xff\0\0", 3));
  EXPECT_EQ(caches, 0);
}

}  // namespace
}  // namespace smalti::ops::testing
