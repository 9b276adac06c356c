// Operators without ImageMagick beside them: arguments, colours, and what its version 7 does otherwise than
// the system's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "ops/op_color.h"
#include "ops/op_geometry.h"
#include "ops/op_kernel.h"
#include "ops/op_level.h"
#include "ops/op_point.h"
#include "ops/op_resize.h"
#include "test/ops/op_stage.h"

namespace smalti::ops::testing {
namespace {

using ::testing::HasSubstr;

TEST(Geometry, TakesItsPartsAndFlags) {
  const auto g = parse_geometry("-crop", "640x480!-10+20");
  ASSERT_TRUE(g);
  EXPECT_EQ(g->w, 640);
  EXPECT_EQ(g->h, 480);
  EXPECT_EQ(g->x, -10);
  EXPECT_EQ(g->y, 20);
  EXPECT_TRUE(g->exact);
  EXPECT_FALSE(g->percent);
  const auto p = parse_geometry("-unsharp", "0x1.5+1.7+0.02");
  ASSERT_TRUE(p);
  EXPECT_EQ(p->h, 1.5);
  EXPECT_EQ(p->y, 0.02);
  EXPECT_FALSE(parse_geometry("-resize", "x40")->w);
}

TEST(Geometry, RefusesJunkAndNamesTheOption) {
  for (const char* text : {"", "x", "junk", "50x50x50", "10x10+", "10x10+5+6+7", "1e9x1", "5 x2", "-", "0x",
                           "9999999999", "%", "50%%junk", "nan", "0x1F"}) {
    const auto g = parse_geometry("-resize", text);
    if (std::string(text) == "0x") {
      EXPECT_TRUE(g);
      continue;
    }
    ASSERT_FALSE(g) << text;
    EXPECT_EQ(g.error().code, Errc::invalid);
    EXPECT_THAT(g.error().what, HasSubstr("-resize"));
  }
  EXPECT_FALSE(parse_number("-rotate", "12deg"));
  EXPECT_FALSE(parse_number("-rotate", ""));
  EXPECT_EQ(*parse_number("-rotate", "-12.5"), -12.5);
}

TEST(Colour, IsReadInEveryForm) {
  EXPECT_EQ(*parse_color("red"), (Color{65535, 0, 0}));
  EXPECT_EQ(*parse_color("None"), (Color{0, 0, 0, 0}));
  EXPECT_EQ(*parse_color("#f00"), (Color{65535, 0, 0}));
  EXPECT_EQ(*parse_color("#3060A0"), (Color{0x3030, 0x6060, 0xa0a0}));
  EXPECT_EQ(*parse_color("#ff000080"), (Color{65535, 0, 0, 0x8080}));
  EXPECT_EQ(*parse_color("#123456789abc"), (Color{0x1234, 0x5678, 0x9abc}));
  EXPECT_EQ(*parse_color("rgb(255, 0, 50%)"), (Color{65535, 0, 32768}));
  EXPECT_EQ(*parse_color("rgba(0,0,0,0.5)"), (Color{0, 0, 0, 32768}));
  EXPECT_EQ(*parse_color("gray(50%)"), (Color{32768, 32768, 32768}));
  EXPECT_EQ(*parse_color("gray50"), (Color{0x8080 - 257, 0x8080 - 257, 0x8080 - 257}));
  for (const char* text :
       {"", "reddish", "#12345", "#xyz", "rgb(1,2)", "rgb(1,2,3", "rgb()", "gray101", "rgb(1,2,3,4,5)"})
    EXPECT_FALSE(parse_color(text)) << text;
}

TEST(Kernel, ChoosesItsRadiusBySigma) {
  EXPECT_EQ(sharpen_kernel(0, 2, 16).radius(), 7);
  EXPECT_EQ(gaussian_kernel(0, 10, 16).radius(), 30);
  EXPECT_EQ(blur_kernel(0, 2, 16).radius(), 8);
  EXPECT_EQ(blur_kernel(5, 2, 16).radius(), 5);
  EXPECT_LT(blur_kernel(0, 2, 8).radius(), 8);
  EXPECT_NEAR(sharpen_kernel(5, 2, 16).keep, 1.9613, 1e-4);
  EXPECT_NEAR(sharpen_kernel(5, 2, 16).spread, -0.9613, 1e-4);
  EXPECT_EQ(sharpen_kernel(0, 0, 16).half[1], 0);
}

TEST(Resampling, WeightsSumToOneAtEveryPlace) {
  for (const auto& [from, to] :
       {std::pair<std::uint32_t, std::uint32_t>{100, 7}, {7, 100}, {1, 5}, {5, 1}, {64, 64}})
    for (const char* name : {"Lanczos", "Mitchell", "Point", "Box", "Triangle", "Hermite", "Catrom", "Spline",
                             "Lanczos2", "Gaussian", "Quadratic"}) {
      const Filter& filter = **filter_named(name);
      const Resampling plan = resampling(from, to, filter);
      ASSERT_EQ(plan.mixes.size(), to);
      for (const Mix& mix : plan.mixes) {
        double sum = 0;
        for (std::uint32_t k = 0; k < mix.count; ++k) sum += plan.weights[mix.weights + k];
        EXPECT_NEAR(sum, 1, 1e-9);
        EXPECT_LE(mix.first + mix.count, from);
      }
    }
}

TEST(Depth, RoundsWhenStoredAndCutsWhenTold) {
  const Raster raster{{4, 1}, 1, false, 16, {0x80ff, 0x8101, 0x817f, 0xffff}};
  const PictureState state = picture_of(raster);
  const auto rounded = to_depth(state.image, 8);
  ASSERT_TRUE(rounded);
  EXPECT_EQ(raster_of(state.with(share(*rounded))).samples,
            (std::vector<std::uint16_t>{0x80, 0x81, 0x81, 0xff}));
  EXPECT_EQ((*rounded)->Type, VIPS_INTERPRETATION_B_W);
  const auto cut = operate(state, "depth", "8");
  ASSERT_TRUE(cut);
  EXPECT_EQ(cut->depth, 8u);
  EXPECT_EQ(raster_of(*cut).samples, (std::vector<std::uint16_t>{0x80, 0x80, 0x80, 0xff}));
  const auto back = to_depth(*rounded, 16);
  ASSERT_TRUE(back);
  EXPECT_EQ((*back)->Type, VIPS_INTERPRETATION_GREY16);
  EXPECT_EQ(raster_of(state.with(share(*back))).samples[0], 0x8080);
}

TEST(Seven, NegatesAlpha) {
  const Raster raster = photograph({9, 7}, Kind::rgba, 8);
  const auto negated = operate(picture_of(raster), "negate", "");
  ASSERT_TRUE(negated);
  const Raster made = raster_of(*negated);
  EXPECT_EQ(made.bits, 8);
  for (std::size_t i = 0; i < made.samples.size(); ++i) ASSERT_EQ(made.samples[i], 255 - raster.samples[i]);
}

TEST(Seven, CountsAlphaAmongTheLevels) {
  Raster raster{{3, 1},
                4,
                true,
                16,
                {10000, 20000, 30000, 9000, 15000, 15000, 15000, 50000, 40000, 10000, 9999, 20000}};
  const auto leveled = operate(picture_of(raster), "auto-level", "");
  ASSERT_TRUE(leveled);
  const Raster made = raster_of(*leveled);
  for (std::size_t i = 0; i < made.samples.size(); ++i)
    EXPECT_EQ(made.samples[i], std::floor((raster.samples[i] - 9000) / 41000.0 * 65535 + 0.5));
}

TEST(Seven, UnsharpensByTheWeightedBlur) {
  const Raster raster = photograph({31, 17}, Kind::rgba, 16);
  const auto blurred = operate(picture_of(raster), "blur", "0x2");
  const auto made = operate(picture_of(raster), "unsharp", "0x2+1.5+0.1");
  ASSERT_TRUE(blurred && made);
  const Raster soft = raster_of(*blurred), sharp = raster_of(*made);
  for (std::size_t i = 0; i < raster.samples.size(); ++i) {
    const double differs = static_cast<double>(raster.samples[i]) - soft.samples[i];
    const double wanted =
        std::abs(2 * differs) < 6553.5 ? raster.samples[i] : raster.samples[i] + 1.5 * differs;
    ASSERT_EQ(sharp.samples[i], std::floor(std::clamp(wanted, 0.0, 65535.0) + 0.5)) << i;
  }
}

TEST(Seven, GivesAPictureTheBandsItsVirtualPixelsNeed) {
  const PictureState gray = picture_of(photograph({9, 7}, Kind::gray, 8));
  const auto clear = operate(gray, "flip", "", {{"virtual-pixel", "transparent"}});
  ASSERT_TRUE(clear);
  EXPECT_TRUE(clear->alpha);
  EXPECT_EQ(clear->image->Bands, 2);
  const auto red = operate(gray, "flip", "", {{"virtual-pixel", "background"}, {"background", "red"}});
  ASSERT_TRUE(red);
  EXPECT_EQ(red->image->Bands, 3);
  EXPECT_EQ(red->image->Type, VIPS_INTERPRETATION_sRGB);
  const auto turned = operate(gray, "rotate", "30", {{"background", "none"}});
  ASSERT_TRUE(turned);
  EXPECT_EQ(turned->image->Bands, 2);
  EXPECT_EQ(raster_of(*turned).at(0, 0, 1), 0);
}

TEST(Quantum, IsTheDepthOfResults) {
  const PictureState eight = picture_of(photograph({33, 21}, Kind::rgb, 8));
  const PictureState sixteen = picture_of(photograph({33, 21}, Kind::rgb, 16));
  for (const auto& [name, argument] : {std::pair{"sharpen", "0x1"},
                                       {"blur", "0x1"},
                                       {"resize", "50%"},
                                       {"rotate", "5"},
                                       {"auto-level", ""},
                                       {"colorspace", "Gray"},
                                       {"unsharp", "0x1"}}) {
    const auto deep = operate(eight, name, argument, {}, 16);
    const auto flat = operate(eight, name, argument, {}, 8);
    const auto cut = operate(sixteen, name, argument, {}, 8);
    ASSERT_TRUE(deep && flat && cut) << name;
    EXPECT_EQ(deep->image->BandFmt, VIPS_FORMAT_USHORT) << name;
    EXPECT_EQ(flat->image->BandFmt, VIPS_FORMAT_UCHAR) << name;
    EXPECT_EQ(cut->image->BandFmt, VIPS_FORMAT_UCHAR) << name;
    EXPECT_NE(flat->image->Type, VIPS_INTERPRETATION_RGB16) << name;
    EXPECT_LE(peak_error(raster_of(*deep), raster_of(*flat)), 2 * 257) << name;
  }
}

TEST(Apply, NamesWhatIsWrong) {
  const PictureState state = picture_of(photograph({9, 7}, Kind::rgb, 8));
  const auto expect_invalid = [&](const char* name, const char* argument, const char* says,
                                  const Settings& settings = {}) {
    const auto made = operate(state, name, argument, settings);
    ASSERT_FALSE(made) << name << ' ' << argument;
    EXPECT_THAT(made.error().what, HasSubstr(says));
  };
  expect_invalid("sharpen", "junk", "-sharpen 'junk'");
  expect_invalid("sharpen", "0x5000", "1000");
  expect_invalid("flip", "3", "takes no argument");
  expect_invalid("crop", "10x10+100+100", "outside");
  expect_invalid("crop", "4x4", "with an offset");
  expect_invalid("depth", "0", "1 to 16");
  expect_invalid("depth", "8.5", "1 to 16");
  expect_invalid("colorspace", "Lab", "Lab");
  expect_invalid("rotate", "much", "-rotate");
  expect_invalid("resize", "0x0", "no picture");
  expect_invalid("resize", "999999999x1!", "pixels");
  expect_invalid("sharpen", "0x1", "sideways", {{"virtual-pixel", "sideways"}});
  expect_invalid("rotate", "5", "-background", {{"background", "reddish"}});
  expect_invalid("swirl", "90", "not offered");
}

TEST(AutoLevel, LeavesASingleLevelAlone) {
  const auto flat = operate(picture_of(Raster{{2, 1}, 1, false, 8, {7, 7}}), "auto-level", "");
  ASSERT_TRUE(flat);
  EXPECT_EQ(raster_of(*flat).samples, (std::vector<std::uint16_t>{7, 7}));
}

TEST(AutoLevel, StopsWhenItsTimeIsOver) {
  const PictureState state = picture_of(photograph({300, 300}, Kind::rgb, 8));
  Call late;
  late.deadline = Clock::now() - std::chrono::seconds(1);
  const auto range = range_of(late, state.image);
  ASSERT_FALSE(range);
  EXPECT_EQ(range.error().code, Errc::timeout);
}

}  // namespace
}  // namespace smalti::ops::testing
