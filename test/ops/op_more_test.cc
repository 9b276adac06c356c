// Tiles, filters, alpha, types, orientation and what -strip takes: beside the system's ImageMagick where it
// does the same, else by rule.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ops/op_geometry.h"
#include "ops/op_tiles.h"
#include "test/ops/file_stage.h"
#include "test/ops/op_stage.h"

namespace smalti::ops::testing {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr std::uint64_t plenty = 1000;

// Size and place of every tile, as they are after the cut.
std::string cut_into(std::string_view argument, Extent image, const Rect& page = {}) {
  const auto crops = tile_crops(argument, image, page, plenty);
  if (!crops) return crops.error().what;
  std::string text;
  for (const std::string& each : *crops) {
    const auto crop = cropped(*parse_geometry("-crop", each), image, page, "");
    if (!crop) return crop.error().what;
    text += fmt::format("{}{}x{}{:+}{:+}", text.empty() ? "" : " ", crop->cut.size.w, crop->cut.size.h,
                        crop->page.x, crop->page.y);
  }
  return text;
}

TEST(Tiles, AreThoseThatImageMagickCuts) {
  const Extent image{100, 70};
  EXPECT_EQ(cut_into("40x30", image),
            "40x30+0+0 40x30+40+0 20x30+80+0 40x30+0+30 40x30+40+30 20x30+80+30 40x10+0+60 40x10+40+60 "
            "20x10+80+60");
  EXPECT_EQ(cut_into("40x", image), "40x70+0+0 40x70+40+0 20x70+80+0");
  EXPECT_EQ(cut_into("40", image), "40x70+0+0 40x70+40+0 20x70+80+0");
  EXPECT_EQ(cut_into("x30", image), "100x30+0+0 100x30+0+30 100x10+0+60");
  EXPECT_EQ(cut_into("50%x50%", image), "50x35+0+0 50x35+50+0 50x35+0+35 50x35+50+35");
  EXPECT_EQ(cut_into("50%", image), "50x35+0+0 50x35+50+0 50x35+0+35 50x35+50+35");
  EXPECT_EQ(cut_into("3x2@", image), "33x35+0+0 34x35+33+0 33x35+67+0 33x35+0+35 34x35+33+35 33x35+67+35");
  EXPECT_EQ(cut_into("3x2@+10+8", image),
            "40x39+0+0 40x39+30+0 40x39+60+0 40x39+0+31 40x39+30+31 40x39+60+31");
  EXPECT_EQ(cut_into("3x2@-4-4", image),
            "28x29+4+4 28x29+36+4 28x29+68+4 28x29+4+37 28x29+36+37 28x29+68+37");
  EXPECT_EQ(cut_into("200x200", image), "100x70+0+0");
  EXPECT_EQ(cut_into("200x30", image), "100x30+0+0 100x30+0+30 100x10+0+60");
  const Rect page{10, 15, {120, 90}};
  EXPECT_EQ(cut_into("40x30", image, page),
            "30x15+10+15 40x15+40+15 30x15+80+15 30x30+10+30 40x30+40+30 30x30+80+30 30x25+10+60 40x25+40+60 "
            "30x25+80+60");
  EXPECT_EQ(cut_into("3x2@", image, page),
            "33x35+10+15 34x35+43+15 33x35+77+15 33x35+10+50 34x35+43+50 33x35+77+50");
}

TEST(Tiles, AnOffsetOrNoSizeAsksForOneRectangle) {
  for (const char* one : {"40x30+0+0", "+10+5", "-3-4", "0x0"})
    EXPECT_THAT(*tile_crops(one, {100, 70}, {}, plenty), IsEmpty()) << one;
}

TEST(Tiles, AreBoundedByTheListsLength) {
  const auto many = tile_crops("1x1", {100, 70}, {}, 10);
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, Errc::limit);
  EXPECT_THAT(many.error().what, HasSubstr("list-length"));
  EXPECT_FALSE(tile_crops("1x1", {2000000000, 1}, {}, ~std::uint64_t{0}));
  EXPECT_FALSE(tile_crops("2000000000x1@", {2000000000, 1}, {}, ~std::uint64_t{0}));
}

TEST(Tiles, HoldTheirPixels) {
  FileStage stage;
  const auto in = stage.read("gradient:red-blue", {{"size", "50x40"}});
  ASSERT_TRUE(in) << in.error().what;
  const auto tiles =
      apply_each(stage.workshop(), Call(), in->front(), {"crop", "30x40", {{"gravity", "Center"}}});
  ASSERT_TRUE(tiles) << tiles.error().what;
  ASSERT_EQ(tiles->size(), 2u);
  for (const Picture& tile : *tiles) {
    const Rect at = facts_of(tile).page;
    const auto one =
        apply(stage.workshop(), Call(), in->front(), {"crop", fmt::format("30x40{:+}{:+}", at.x, at.y), {}});
    ASSERT_TRUE(one) << one.error().what;
    EXPECT_EQ(at.size, (Extent{50, 40}));
    EXPECT_TRUE(samples_of(tile) == samples_of(*one));
  }
  const auto single = apply_each(stage.workshop(), Call(), in->front(), {"negate", "", {}});
  ASSERT_TRUE(single);
  EXPECT_EQ(single->size(), 1u);
}

TEST(Filters, GiveWhatImageMagickGives) {
  if (!have_magick()) GTEST_SKIP() << "no ImageMagick here";
  for (const char* filter : {"Point", "Box", "Triangle", "Hermite", "Catrom", "Mitchell", "Lanczos",
                             "Lanczos2", "Spline", "Gaussian", "Quadratic"})
    for (const char* size : {"50%", "150%", "37x29!", "23%x210%"})
      for (const Kind kind : {Kind::rgb, Kind::rgba}) {
        SCOPED_TRACE(fmt::format("-filter {} -resize {}", filter, size));
        const Raster raster = photograph({64, 48}, kind, 16);
        const auto ours = operate(picture_of(raster), "resize", size, {{"filter", filter}});
        ASSERT_TRUE(ours) << ours.error().what;
        const auto theirs = magick(raster, fmt::format("-filter {} -resize '{}'", filter, size));
        EXPECT_LE(peak_error(raster_of(*ours), theirs.raster), 2);
      }
  EXPECT_FALSE(operate(picture_of(photograph({8, 8}, Kind::rgb, 8)), "resize", "50%", {{"filter", "Sinc9"}}));
}

TEST(AlphaChannel, IsLaidOnTheBackground) {
  if (!have_magick()) GTEST_SKIP() << "no ImageMagick here";
  for (const int bits : {8, 16})
    for (const Kind kind : {Kind::rgba, Kind::graya}) {
      const Raster raster = photograph({61, 43}, kind, bits);
      const auto ours = operate(picture_of(raster), "alpha", "remove", {{"background", "gray60"}});
      ASSERT_TRUE(ours) << ours.error().what;
      EXPECT_FALSE(ours->alpha);
      const auto theirs = magick(raster, "-background gray60 -alpha remove", raster.bands - 1);
      EXPECT_LE(peak_error(raster_of(*ours), theirs.raster), 1);
    }
}

TEST(AlphaChannel, ComesAndGoes) {
  const PictureState clear = picture_of(photograph({20, 10}, Kind::rgba, 8));
  const PictureState plain = picture_of(photograph({20, 10}, Kind::rgb, 8));
  const auto off = operate(clear, "alpha", "off");
  ASSERT_TRUE(off);
  EXPECT_EQ(raster_of(*off).bands, 3);
  const auto on = operate(plain, "alpha", "On");
  ASSERT_TRUE(on);
  EXPECT_TRUE(on->alpha);
  EXPECT_EQ(raster_of(*on).at(3, 3, 3), 255);
  const auto opaque = operate(clear, "alpha", "opaque");
  ASSERT_TRUE(opaque);
  EXPECT_EQ(raster_of(*opaque).at(0, 0, 3), 255);
  const auto kept = operate(clear, "alpha", "set");
  ASSERT_TRUE(kept);
  EXPECT_EQ(peak_error(raster_of(*kept), raster_of(clear)), 0);
  EXPECT_THAT(operate(clear, "alpha", "shape").error().what, HasSubstr("remove"));
}

TEST(Types, AreColourSpaceAndAlphaTogether) {
  const PictureState in = picture_of(photograph({20, 10}, Kind::rgba, 8));
  struct Row {
    const char* type;
    int bands;
    bool alpha;
  };
  for (const Row& row :
       {Row{"Grayscale", 1, false}, Row{"GrayscaleAlpha", 2, true}, Row{"TrueColor", 3, false},
        Row{"truecoloralpha", 4, true}, Row{"ColorSeparation", 4, false}}) {
    const auto out = operate(in, "type", row.type);
    ASSERT_TRUE(out) << out.error().what;
    EXPECT_EQ(raster_of(*out).bands, row.bands) << row.type;
    EXPECT_EQ(out->alpha, row.alpha) << row.type;
  }
  EXPECT_THAT(operate(in, "type", "Palette").error().what, HasSubstr("TrueColor"));
}

TEST(AutoOrient, TurnsEachOfTheEightUpright) {
  const Raster raster = photograph({31, 17}, Kind::rgb, 8);
  for (int orientation = 1; orientation <= 8; ++orientation) {
    PictureState in = picture_of(raster);
    VipsImage* made = nullptr;
    ASSERT_EQ(vips_copy(in.image.get(), &made, nullptr), 0);
    in.image = VipsPtr(made);
    vips_image_set_int(in.image.get(), VIPS_META_ORIENTATION, orientation);
    const auto out = operate(in, "auto-orient", "");
    ASSERT_TRUE(out) << out.error().what;
    VipsImage* wanted = nullptr;
    ASSERT_EQ(vips_autorot(in.image.get(), &wanted, nullptr), 0);
    PictureState theirs = in.with(VipsPtr(wanted));
    EXPECT_EQ(peak_error(raster_of(*out), raster_of(theirs)), 0) << orientation;
    EXPECT_EQ(vips_image_get_orientation(out->image.get()), 1);
    EXPECT_EQ(vips_image_get_orientation(in.image.get()), orientation) << "the input stays as it was";
  }
}

}  // namespace
}  // namespace smalti::ops::testing
