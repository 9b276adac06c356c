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
  EXPECT_LE(peak_error(made, theirs.raster), c.most);
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

}  // namespace
}  // namespace smalti::ops::testing
