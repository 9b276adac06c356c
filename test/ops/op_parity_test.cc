// Every operator beside the system's ImageMagick, on pieces of a real photograph: pixel by pixel.
#include <gtest/gtest.h>

#include "test/ops/op_stage.h"

namespace smalti::ops::testing {
namespace {

struct Case {
  const char* name;
  const char* argument;
  const char* magick = nullptr;  // its options, where they are not "-name argument"
  int most = 1;                  // greatest difference at 16 bits
};

struct Source {
  Kind kind;
  int bits;
};

constexpr Source sources[] = {{Kind::rgb, 8},  {Kind::rgb, 16},  {Kind::rgba, 8},  {Kind::rgba, 16},
                              {Kind::gray, 8}, {Kind::gray, 16}, {Kind::graya, 16}};

std::string label(const Source& source) {
  static constexpr const char* kinds[] = {"gray", "rgb", "rgba", "graya"};
  return std::string(kinds[static_cast<int>(source.kind)]) + std::to_string(source.bits);
}

std::string magick_options(const Case& c) {
  if (c.magick != nullptr) return c.magick;
  return "-" + std::string(c.name) + (*c.argument != 0 ? " '" + std::string(c.argument) + "'" : "");
}

void expect_parity(const Case& c, const Source& source, const Raster& raster,
                   const std::string& virtual_pixel = "edge") {
  SCOPED_TRACE(label(source) + " -virtual-pixel " + virtual_pixel + " -" + c.name + " " + c.argument);
  const auto ours = operate(picture_of(raster), c.name, c.argument,
                            {{"virtual-pixel", virtual_pixel}, {"background", "#3060a0"}});
  ASSERT_TRUE(ours) << ours.error().what;
  const Raster made = raster_of(*ours);
  const auto theirs = magick(
      raster, "-background '#3060a0' -virtual-pixel " + virtual_pixel + " " + magick_options(c), made.bands);
  EXPECT_EQ(made.size, theirs.raster.size);
  const bool resampled = c.name == std::string("resize") || c.name == std::string("rotate");
  EXPECT_LE(peak_error(made, theirs.raster), resampled ? 2 : c.most);
}

class Parity : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!have_magick()) GTEST_SKIP() << "no ImageMagick here";
  }
};

TEST_F(Parity, OfEveryOperatorAtEveryDepth) {
  constexpr Case cases[] = {
      {"negate", "", "-channel RGBA -negate"},
      {"flip", ""},
      {"flop", ""},
      {"crop", "20x15+7+9"},
      {"sharpen", "5x2"},
      {"sharpen", "0x1"},
      {"sharpen", "0x3"},
      {"blur", "5x2"},
      {"blur", "0x1.3"},
      {"blur", "0x4"},
      {"gaussian-blur", "3x1"},
      {"gaussian-blur", "0x2.5"},
  };
  for (const Source& source : sources) {
    const Raster raster = photograph({61, 43}, source.kind, source.bits);
    for (const Case& c : cases) expect_parity(c, source, raster);
  }
}

TEST_F(Parity, OfNeighbourhoodsOverEveryBorder) {
  constexpr Case cases[] = {{"sharpen", "5x2"}, {"blur", "0x3"}, {"gaussian-blur", "0x1"}};
  constexpr const char* methods[] = {"edge",
                                     "mirror",
                                     "tile",
                                     "background",
                                     "black",
                                     "gray",
                                     "white",
                                     "transparent",
                                     "checker-tile",
                                     "horizontal-tile",
                                     "dither",
                                     "vertical-tile",
                                     "vertical-tile-edge",
                                     "horizontal-tile-edge"};
  // These say something else of a corner than of its two sides in turn (doc/decisions/500).
  const auto uneven = [](const std::string& method) {
    return method == "checker-tile" || method == "dither";
  };
  constexpr Source few[] = {{Kind::rgb, 8}, {Kind::rgba, 16}, {Kind::rgb, 16}};
  for (const Source& source : few) {
    const Raster raster = photograph({29, 23}, source.kind, source.bits);
    for (const char* method : methods)
      for (const Case& c : cases)
        if (!uneven(method) || c.name != std::string("blur")) expect_parity(c, source, raster, method);
  }
}

TEST_F(Parity, OfResampling) {
  constexpr Case cases[] = {
      {"resize", "50%"},     {"resize", "37x29!"}, {"resize", "150%"}, {"resize", "33%x210%"},
      {"resize", "20x100!"}, {"resize", "7%"},     {"rotate", "37"},   {"rotate", "-3.5"},
      {"rotate", "125"},     {"rotate", "0.2"},    {"rotate", "90"},   {"rotate", "180"},
      {"rotate", "-90"},     {"rotate", "45"},
  };
  for (const Source& source : sources) {
    const Raster raster = photograph({64, 48}, source.kind, source.bits);
    for (const Case& c : cases) expect_parity(c, source, raster);
  }
}

TEST_F(Parity, OfWhatSevenDoesAsSixWithoutAlpha) {
  constexpr Case cases[] = {
      {"unsharp", "0x2"},
      {"unsharp", "5x1.5+1.7+0.02"},
      {"unsharp", "0x1+0.5+0"},
      {"auto-level", ""},
      {"depth", "8"},
      {"colorspace", "Gray", "-colorspace gray"},
      {"colorspace", "CMYK", "-colorspace cmyk"},
      {"colorspace", "RGB", "-colorspace RGB -set colorspace sRGB"},
      {"depth", "5"},
      {"depth", "12"},
      {"depth", "1"},
  };
  for (const Source& source : sources) {
    if (source.kind == Kind::rgba || source.kind == Kind::graya) continue;
    const Raster raster = photograph({61, 43}, source.kind, source.bits);
    for (const Case& c : cases) expect_parity(c, source, raster);
  }
}

// Larger than libvips' strips and tiles, so that seams would show.
TEST_F(Parity, OfPicturesOfManyTiles) {
  constexpr Case cases[] = {{"sharpen", "5x2"}, {"blur", "0x5"},   {"gaussian-blur", "0x3"}, {"blur", "0x1"},
                            {"resize", "71%"},  {"resize", "11%"}, {"rotate", "33"}};
  constexpr Source few[] = {{Kind::rgb, 8}, {Kind::rgba, 16}};
  for (const Source& source : few) {
    const Raster raster = photograph({700, 301}, source.kind, source.bits);
    for (const Case& c : cases) expect_parity(c, source, raster);
  }
}

TEST_F(Parity, OfPicturesSmallerThanTheKernel) {
  constexpr Case cases[] = {{"sharpen", "0x3"}, {"blur", "0x4"}, {"resize", "300%"}, {"rotate", "20"}};
  constexpr Source few[] = {{Kind::gray, 8}, {Kind::rgba, 16}};
  for (const Source& source : few)
    for (const Extent size : {Extent{5, 3}, Extent{1, 1}})
      for (const char* method : {"edge", "mirror", "tile", "black"})  // gray stays gray on all of these
        for (const Case& c : cases)
          expect_parity(c, source, photograph(size, source.kind, source.bits), method);
}

// As "width height page".
std::string geometry_of(const PictureState& state) {
  const Extent size{static_cast<std::uint32_t>(state.image->Xsize),
                    static_cast<std::uint32_t>(state.image->Ysize)};
  const Extent page = state.page.size.empty() ? size : state.page.size;
  const auto offset = [](std::int64_t v) { return (v < 0 ? "" : "+") + std::to_string(v); };
  return std::to_string(size.w) + ' ' + std::to_string(size.h) + ' ' + std::to_string(page.w) + 'x' +
         std::to_string(page.h) + offset(state.page.x) + offset(state.page.y);
}

struct Step {
  const char* name;
  const char* argument;
};

TEST_F(Parity, OfGeometryAndPage) {
  const Raster raster = photograph({80, 60}, Kind::gray, 8);
  const std::vector<std::vector<Step>> chains = {
      {{"resize", "40x40"}},
      {{"resize", "40x40!"}},
      {{"resize", "40x40^"}},
      {{"resize", "200x40>"}},
      {{"resize", "200x200>"}},
      {{"resize", "200x200<"}},
      {{"resize", "40x40<"}},
      {{"resize", "100x50<"}},
      {{"resize", "40"}},
      {{"resize", "x40"}},
      {{"resize", "1200@"}},
      {{"resize", "8000@"}},
      {{"resize", "8000@>"}},
      {{"resize", "8000@<"}},
      {{"resize", "8000@<"}},
      {{"resize", "33.3%"}},
      {{"resize", "50x25%"}},
      {{"resize", "50%x25%"}},
      {{"resize", "1x1000"}},

      {{"resize", "120x!"}},
      {{"resize", "x120!"}},
      {{"resize", "37x1000"}},
      {{"resize", "133x133>"}},
      {{"crop", "40x30+10+20"}},
      {{"crop", "40x30-10-20"}},
      {{"crop", "400x300+10+20"}},
      {{"crop", "40x30+60+50"}},
      {{"crop", "0x0+10+20"}},
      {{"crop", "40x+10+20"}},
      {{"crop", "x40+10+20"}},
      {{"crop", "50%x50%+10+5"}},

      {{"crop", "+10+5"}},
      {{"crop", "-10-5"}},

      {{"crop", "40x30+10+20!"}},
      {{"crop", "40x30!-10-20"}},
      {{"crop", "40x30+10+20"}, {"flip", ""}},
      {{"crop", "40x30+10+20"}, {"flop", ""}},
      {{"crop", "40x30+10+20"}, {"rotate", "90"}},
      {{"crop", "40x30+10+20"}, {"rotate", "180"}},
      {{"crop", "40x30+10+20"}, {"rotate", "270"}},
      {{"crop", "40x30+10+20"}, {"rotate", "30"}},
      {{"crop", "40x30+10+20"}, {"resize", "50%"}},
      {{"crop", "40x30+10+20"}, {"crop", "40x30+20+25"}},
      {{"crop", "40x30+10+20"}, {"+repage", ""}, {"crop", "10x10+5+5"}},
      {{"repage", "200x100+30+40"}, {"crop", "60x50+20+30"}},
      {{"repage", "200x100-30-40"}, {"crop", "60x50+0+0"}},
      {{"repage", "200x100+30+40"}, {"rotate", "30"}},
      {{"repage", "200x100+30+40"}, {"resize", "30%"}},
      {{"repage", "+5+6"}, {"flip", ""}},
      {{"repage", "200x100"}, {"flop", ""}},
      {{"rotate", "37"}},
      {{"rotate", "-37"}},
      {{"rotate", "1"}},
      {{"rotate", "90>"}},
      {{"rotate", "90<"}},
      {{"rotate", "450"}},
      {{"rotate", "100"}},
      {{"rotate", "359"}},
  };
  for (const auto& chain : chains) {
    PictureState state = picture_of(raster);
    std::string options;
    for (const Step& step : chain) {
      options += (*step.name == '+' ? std::string() : "-") + step.name + (*step.argument != 0 ? " '" : "") +
                 step.argument + (*step.argument != 0 ? "' " : " ");
      auto next = operate(state, step.name, step.argument);
      ASSERT_TRUE(next) << options << next.error().what;
      state = std::move(*next);
    }
    const Magick theirs = magick(raster, options, 1);
    EXPECT_EQ(geometry_of(state), std::to_string(theirs.raster.size.w) + ' ' +
                                      std::to_string(theirs.raster.size.h) + ' ' + theirs.page)
        << options;
  }
}

TEST_F(Parity, OfCropsByGravity) {
  const Raster raster = photograph({80, 60}, Kind::gray, 8);
  for (const char* gravity :
       {"NorthWest", "North", "NorthEast", "West", "Center", "East", "SouthWest", "South", "SouthEast"})
    for (const char* argument : {"31x17+4+5", "30x20+0+0", "50%x50%-3+2"}) {
      auto ours = operate(picture_of(raster), "crop", argument, {{"gravity", gravity}});
      ASSERT_TRUE(ours) << ours.error().what;
      const Magick theirs = magick(raster, std::string("-gravity ") + gravity + " -crop " + argument, 1);
      EXPECT_EQ(geometry_of(*ours), std::to_string(theirs.raster.size.w) + ' ' +
                                        std::to_string(theirs.raster.size.h) + ' ' + theirs.page)
          << gravity << ' ' << argument;
      EXPECT_EQ(peak_error(raster_of(*ours), theirs.raster), 0) << gravity << ' ' << argument;
    }
}

}  // namespace
}  // namespace smalti::ops::testing
