// What travels beside the pixels: profile, EXIF, XMP, orientation, resolution.
#include <gtest/gtest.h>

#include <optional>

#include "ops/state.h"
#include "test/ops/file_stage.h"

namespace smalti::ops::testing {
namespace {

std::optional<std::string> blob(const Picture& picture, const char* name) {
  const void* data = nullptr;
  std::size_t size = 0;
  VipsImage* image = picture.state().image.get();
  if (vips_image_get_typeof(image, name) == 0 || vips_image_get_blob(image, name, &data, &size) != 0)
    return std::nullopt;
  return std::string(static_cast<const char*>(data), size);
}

std::optional<std::string> text(const Picture& picture, const char* name) {
  char* value = nullptr;
  VipsImage* image = picture.state().image.get();
  if (vips_image_get_typeof(image, name) == 0 || vips_image_get_as_string(image, name, &value) != 0)
    return std::nullopt;
  std::string out(value);
  g_free(value);
  return out;
}

// A JPEG that carries everything, made by the library alone.
void make_rich_jpeg(const std::string& path) {
  VipsImage* made = nullptr;
  ASSERT_EQ(vips_black(&made, 64, 48, "bands", 3, nullptr), 0);
  const VipsPtr black(made);
  VipsImage* copied = nullptr;
  ASSERT_EQ(vips_copy(black.get(), &copied, "interpretation", VIPS_INTERPRETATION_sRGB, "xres", 11.811,
                      "yres", 5.9055, nullptr),
            0);
  const VipsPtr image(copied);
  vips_image_set_int(image.get(), VIPS_META_ORIENTATION, 6);
  vips_image_set_string(image.get(), VIPS_META_RESOLUTION_UNIT, "in");
  vips_image_set_string(image.get(), "exif-ifd0-Artist",
                        "A. Founder (A. Founder, ASCII, 11 components, 11 bytes)");
  static const std::string xmp = "<x:xmpmeta xmlns:x='adobe:ns:meta/'/>";
  vips_image_set_blob_copy(image.get(), VIPS_META_XMP_NAME, xmp.data(), xmp.size());
  ASSERT_EQ(vips_jpegsave(image.get(), path.c_str(), "profile", "srgb", nullptr), 0) << vips_error_buffer();
}

class Metadata : public ::testing::TestWithParam<const char*> {};

TEST_P(Metadata, TravelsFromInputToOutput) {
  FileStage stage;
  make_rich_jpeg(stage.path("in.jpg"));
  const auto in = stage.read(stage.path("in.jpg"));
  ASSERT_TRUE(in) << in.error().what;
  ASSERT_TRUE(blob(in->front(), VIPS_META_ICC_NAME));
  ASSERT_EQ(text(in->front(), VIPS_META_ORIENTATION), "6");
  const auto written = stage.write(in->front(), stage.path(GetParam()));
  ASSERT_TRUE(written) << written.error().what;
  const auto back = stage.read(stage.path(GetParam()));
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(blob(back->front(), VIPS_META_ICC_NAME), blob(in->front(), VIPS_META_ICC_NAME));
  EXPECT_EQ(blob(back->front(), VIPS_META_XMP_NAME), blob(in->front(), VIPS_META_XMP_NAME));
  EXPECT_EQ(text(back->front(), VIPS_META_ORIENTATION), "6");
  const bool tiff = std::string(GetParam()).ends_with("tif");
  if (!tiff) {  // which has no place of its own for EXIF
    EXPECT_EQ(text(back->front(), "exif-ifd0-Artist"), text(in->front(), "exif-ifd0-Artist"));
  }
  EXPECT_NEAR(back->front().state().image->Xres, 11.811, 0.01);
  EXPECT_NEAR(back->front().state().image->Yres, 5.9055, 0.01);
  EXPECT_EQ(facts_of(back->front()).size, (Extent{64, 48})) << "orientation is told, not applied";
}

INSTANTIATE_TEST_SUITE_P(Formats, Metadata, ::testing::Values("o.jpg", "o.png", "o.tif", "o.webp"));

TEST(Metadata, IsTakenAwayByStripButForTheResolution) {
  FileStage stage;
  make_rich_jpeg(stage.path("in.jpg"));
  const auto in = stage.read(stage.path("in.jpg"));
  ASSERT_TRUE(in) << in.error().what;
  const auto bare = apply(stage.workshop(), Call(), in->front(), {"strip", "", {}});
  ASSERT_TRUE(bare) << bare.error().what;
  for (const char* name : {"o.jpg", "o.png", "o.tif"}) {
    ASSERT_TRUE(stage.write(*bare, stage.path(name)));
    const auto back = stage.read(stage.path(name));
    ASSERT_TRUE(back) << back.error().what;
    EXPECT_FALSE(blob(back->front(), VIPS_META_ICC_NAME)) << name;
    EXPECT_FALSE(blob(back->front(), VIPS_META_XMP_NAME)) << name;
    EXPECT_FALSE(text(back->front(), "exif-ifd0-Artist")) << name;
    EXPECT_NE(text(back->front(), VIPS_META_ORIENTATION), "6") << name;
    EXPECT_NEAR(back->front().state().image->Xres, 11.811, 0.01) << name;
  }
  EXPECT_TRUE(blob(in->front(), VIPS_META_ICC_NAME)) << "the input keeps its own";
}

TEST(Metadata, TheResolutionCanBeSet) {
  FileStage stage;
  make_rich_jpeg(stage.path("in.jpg"));
  const auto in = stage.read(stage.path("in.jpg"));
  ASSERT_TRUE(in) << in.error().what;
  for (const char* name : {"o.jpg", "o.png", "o.tif"}) {
    ASSERT_TRUE(stage.write(in->front(), stage.path(name), {{"density", "254x127"}}));
    const auto inches = stage.read(stage.path(name));
    ASSERT_TRUE(inches) << inches.error().what;
    EXPECT_NEAR(inches->front().state().image->Xres, 10, 0.01) << name;
    EXPECT_NEAR(inches->front().state().image->Yres, 5, 0.01) << name;
    const Settings metric{{"density", "30"}, {"units", "PixelsPerCentimeter"}};
    ASSERT_TRUE(stage.write(in->front(), stage.path(name), metric));
    const auto centimetres = stage.read(stage.path(name));
    ASSERT_TRUE(centimetres) << centimetres.error().what;
    EXPECT_NEAR(centimetres->front().state().image->Xres, 3, 0.01) << name;
  }
  EXPECT_FALSE(stage.write(in->front(), stage.path("o.png"), {{"density", "thick"}}));
  EXPECT_FALSE(stage.write(in->front(), stage.path("o.png"), {{"density", "0"}}));
}

TEST(Metadata, SurvivesAnOperatorAndACache) {
  FileStage stage;
  make_rich_jpeg(stage.path("in.jpg"));
  const auto in = stage.read(stage.path("in.jpg"));
  ASSERT_TRUE(in) << in.error().what;
  const auto negated = apply(stage.workshop(), Call(), in->front(), {"negate", "", {}});
  ASSERT_TRUE(negated) << negated.error().what;
  const auto kept = cached(stage.workshop(), Call(), *negated);
  ASSERT_TRUE(kept) << kept.error().what;
  EXPECT_EQ(blob(*kept, VIPS_META_ICC_NAME), blob(in->front(), VIPS_META_ICC_NAME));
  EXPECT_EQ(text(*kept, VIPS_META_ORIENTATION), "6");
}

}  // namespace
}  // namespace smalti::ops::testing
