// Levels, frames and joined pictures: beside the system's ImageMagick where it is there, else by rule.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test/ops/file_stage.h"
#include "test/ops/op_stage.h"

namespace smalti::ops::testing {
namespace {

using ::testing::HasSubstr;

struct Case {
  const char* name;
  const char* argument;
  Settings settings = {};
};

std::string options_of(const Case& one) {
  std::string text;
  for (const auto& [name, value] : one.settings) text += fmt::format("-{} '{}' ", name, value);
  return text + fmt::format("-{} {}", one.name, *one.argument ? fmt::format("'{}'", one.argument) : "");
}

// The same operator of both programs, on pictures of three kinds.
void compare(const Case& one, int bits, int tolerance, int bands = 0) {
  for (const Kind kind : {Kind::rgb, Kind::rgba, Kind::gray}) {
    SCOPED_TRACE(options_of(one));
    const Raster raster = photograph({61, 43}, kind, bits);
    const auto ours = operate(picture_of(raster), one.name, one.argument, one.settings);
    ASSERT_TRUE(ours) << ours.error().what;
    const Raster got = raster_of(*ours);
    const auto theirs = magick(raster, options_of(one), bands ? bands : got.bands);
    EXPECT_LE(peak_error(got.wide(), theirs.raster), tolerance);
  }
}

TEST(Levels, AreThoseThatImageMagickMakes) {
  if (!have_magick()) GTEST_SKIP() << "no ImageMagick here";
  for (const Case& one :
       {Case{"level", "10%,90%"}, Case{"level", "5000,60000,1.5"}, Case{"level", "20%"}, Case{"gamma", "1.7"},
        Case{"gamma", "0.4"}, Case{"brightness-contrast", "10x20"}, Case{"brightness-contrast", "-20"},
        Case{"brightness-contrast", "5x-40"}, Case{"contrast-stretch", "2%x1%"}, Case{"contrast-stretch", "0"},
        Case{"normalize", ""}}) {
    compare(one, 16, 2);
    compare(one, 8, 2);
  }
}

TEST(Levels, OfBadArgumentsAreRefusedByName) {
  const PictureState in = picture_of(photograph({8, 8}, Kind::rgb, 8));
  for (const Case& one :
       {Case{"level", "red"}, Case{"level", "1,2,3,4"}, Case{"level", "50%,50%"}, Case{"level", "0,100%,0"},
        Case{"gamma", "0"}, Case{"gamma", "-1"}, Case{"brightness-contrast", "101"}, Case{"threshold", "1x2"},
        Case{"contrast-stretch", ""}}) {
    const auto out = operate(in, one.name, one.argument);
    ASSERT_FALSE(out) << options_of(one);
    EXPECT_EQ(out.error().code, Errc::invalid);
    EXPECT_THAT(out.error().what, HasSubstr(one.name));
  }
}

TEST(Levels, OfOneColourStayAsTheyAre) {
  Raster flat = photograph({9, 7}, Kind::rgb, 8);
  for (auto& sample : flat.samples) sample = 77;
  for (const char* name : {"normalize", "trim"}) {
    const auto out = operate(picture_of(flat), name, "");
    ASSERT_TRUE(out) << out.error().what;
    EXPECT_EQ(peak_error(raster_of(*out).wide(), flat.wide()), 0) << name;
  }
}

TEST(Threshold, SplitsAtAnIntensity) {
  Raster three{{3, 1}, 3, false, 8, {0, 0, 0, 0, 255, 0, 255, 0, 0}};
  const auto out = operate(picture_of(three), "threshold", "50%");
  ASSERT_TRUE(out) << out.error().what;
  const Raster got = raster_of(*out);
  ASSERT_EQ(got.bands, 1);
  EXPECT_THAT(got.samples, ::testing::ElementsAre(0, 255, 0));
}

TEST(Sizes, AreThoseThatImageMagickMakes) {
  if (!have_magick()) GTEST_SKIP() << "no ImageMagick here";
  for (const char* name : {"scale", "sample"})
    for (const char* size : {"50%", "37%", "200%", "17x29!", "100x9!"}) compare({name, size}, 16, 2);
}

TEST(Frames, AreThoseThatImageMagickMakes) {
  if (!have_magick()) GTEST_SKIP() << "no ImageMagick here";
  for (const Case& one :
       {Case{"extent", "80x50-7-3"}, Case{"extent", "30x70", {{"gravity", "Center"}}},
        Case{"extent", "90x90+4+5", {{"gravity", "SouthEast"}}}, Case{"border", "5x9"}, Case{"border", "6"},
        Case{"border", "3x4", {{"bordercolor", "gray30"}}}, Case{"shave", "5x9"}, Case{"shave", "7"},
        Case{"transpose", ""}, Case{"transverse", ""}, Case{"flatten", "", {{"background", "gray60"}}}}) {
    compare(one, 16, 1);
    compare(one, 8, 257);  // blended with what lies below, and rounded to the file's depth
  }
}

TEST(Frames, OfAColourTurnGraysToColours) {
  const PictureState in = picture_of(photograph({20, 10}, Kind::gray, 8));
  const auto red = operate(in, "extent", "30x10", {{"background", "red"}});
  ASSERT_TRUE(red) << red.error().what;
  const Raster got = raster_of(*red);
  ASSERT_EQ(got.bands, 3);
  EXPECT_EQ(got.at(29, 9, 0), 255);
  EXPECT_EQ(got.at(29, 9, 1), 0);
  EXPECT_EQ(got.at(5, 5, 0), got.at(5, 5, 2));
  const auto clear = operate(in, "extent", "30x10", {{"background", "none"}});
  ASSERT_TRUE(clear) << clear.error().what;
  EXPECT_TRUE(clear->alpha);
  EXPECT_EQ(raster_of(*clear).at(29, 9, 1), 0);
  EXPECT_EQ(raster_of(*clear).at(5, 5, 1), 255);
}

TEST(Frames, ThatLeaveNothingAreRefused) {
  const PictureState in = picture_of(photograph({20, 10}, Kind::rgb, 8));
  EXPECT_FALSE(operate(in, "shave", "10x2"));
  EXPECT_FALSE(operate(in, "extent", "4000000000x4000000000"));
  EXPECT_FALSE(operate(in, "border", "2000000000"));
}

TEST(Trim, FindsWhatIsWithin) {
  Raster raster = photograph({40, 30}, Kind::rgb, 8);
  for (auto& sample : raster.samples) sample = 200;
  const auto dot = [&raster](std::uint32_t x, std::uint32_t y, std::uint16_t value) {
    raster.samples[(std::size_t{y} * 40 + x) * 3 + 1] = value;
  };
  dot(7, 11, 0), dot(31, 20, 0), dot(20, 25, 0), dot(3, 3, 205);
  const auto tight = operate(picture_of(raster), "trim", "", {{"fuzz", "5%"}});
  ASSERT_TRUE(tight) << tight.error().what;
  EXPECT_EQ(tight->page, (Rect{7, 11, {40, 30}}));
  EXPECT_EQ(raster_of(*tight).size, (Extent{25, 15}));
  const auto loose = operate(picture_of(raster), "trim", "");
  ASSERT_TRUE(loose) << loose.error().what;
  EXPECT_EQ(raster_of(*loose).size, (Extent{29, 23}));
}

TEST(Append, LaysOneBesideTheOther) {
  FileStage stage;
  const auto wide = stage.read("gradient:red-blue", {{"size", "30x10"}});
  const auto high = stage.read("xc:gray", {{"size", "10x20"}});
  ASSERT_TRUE(wide && high);
  const std::vector<Picture> both{wide->front(), high->front()};
  const auto below = join(stage.workshop(), Call(), both, {"append", "", {{"gravity", "East"}}});
  ASSERT_TRUE(below) << below.error().what;
  EXPECT_EQ(facts_of(*below).size, (Extent{30, 30}));
  const Raster got = raster_of(below->state());
  EXPECT_EQ(got.bands, 3);
  const std::uint16_t white = got.bits == 8 ? 255 : 65535;
  EXPECT_EQ(got.at(0, 15, 0), white) << "the background";
  EXPECT_NE(got.at(25, 15, 0), white);
  const auto beside = join(stage.workshop(), Call(), both, {"+append", "", {}});
  ASSERT_TRUE(beside) << beside.error().what;
  EXPECT_EQ(facts_of(*beside).size, (Extent{40, 20}));
  EXPECT_FALSE(join(stage.workshop(), Call(), both, {"negate", "", {}}));
}

}  // namespace
}  // namespace smalti::ops::testing
