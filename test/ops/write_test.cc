// What is written is read again, in every format; and what cannot be written leaves nothing.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>

#include "ops/state.h"
#include "test/ops/file_stage.h"

namespace smalti::ops::testing {
namespace {

// A PAM of `channels` 8- or 16-bit channels: ramps with noise, every value in both bytes.
std::string pam(Extent size, int channels, int bits, std::string_view tuple) {
  std::string out = fmt::format("P7\nWIDTH {}\nHEIGHT {}\nDEPTH {}\nMAXVAL {}\nTUPLTYPE {}\nENDHDR\n", size.w,
                                size.h, channels, bits == 16 ? 65535 : 255, tuple);
  const auto pixel = static_cast<std::uint64_t>(channels * bits / 8);
  const bool alpha = tuple.ends_with("_ALPHA");
  std::uint32_t noise = 1;
  for (std::uint64_t i = 0; i < size.area() * pixel; ++i) {
    noise = noise * 1664525u + 1013904223u;
    // Never quite clear: WebP does not keep the colour of what cannot be seen.
    const unsigned seen = alpha && i % pixel == pixel - 1 ? 1 : 0;
    out.push_back(static_cast<char>(((i / 7 + (noise >> 28)) & 255u) | seen));
  }
  return out;
}

struct Shape {
  const char* tuple;
  int channels;
  bool alpha;
  const char* colorspace;
};
constexpr Shape gray{"GRAYSCALE", 1, false, "Gray"}, gray_alpha{"GRAYSCALE_ALPHA", 2, true, "Gray"},
    rgb{"RGB", 3, false, "sRGB"}, rgb_alpha{"RGB_ALPHA", 4, true, "sRGB"}, cmyk{"CMYK", 4, false, "CMYK"},
    cmyk_alpha{"CMYK_ALPHA", 5, true, "CMYK"};

struct Trip {
  const char* name;
  Shape shape;
  int bits;
  Settings settings;
};

void PrintTo(const Trip& trip, std::ostream* out) {
  *out << trip.name << " " << trip.shape.tuple << " " << trip.bits;
}

class RoundTrip : public ::testing::TestWithParam<Trip> {};

TEST_P(RoundTrip, KeepsEverySample) {
  const Trip& trip = GetParam();
  FileStage stage;
  const Extent size{301, 77};
  spit(stage.path("in.pam"), pam(size, trip.shape.channels, trip.bits, trip.shape.tuple));
  const auto in = stage.read(stage.path("in.pam"));
  ASSERT_TRUE(in) << in.error().what;
  const auto written = stage.write(in->front(), stage.path(trip.name), trip.settings);
  ASSERT_TRUE(written) << written.error().what;
  const auto back = stage.read(stage.path(trip.name));
  ASSERT_TRUE(back) << back.error().what;
  const Facts facts = facts_of(back->front());
  EXPECT_EQ(facts.size, size);
  EXPECT_EQ(facts.depth, static_cast<std::uint32_t>(trip.bits));
  EXPECT_EQ(facts.colorspace, trip.shape.colorspace);
  EXPECT_EQ(facts.channels, static_cast<std::uint32_t>(trip.shape.channels));
  EXPECT_EQ(facts.alpha, trip.shape.alpha);
  EXPECT_TRUE(samples_of(in->front()) == samples_of(back->front()));
  EXPECT_EQ(stage.files(), (std::vector<std::string>{"in.pam", trip.name}));
}

const Settings lossless{{"webp:lossless", "true"}};
const Settings lzw{{"compress", "LZW"}}, zip{{"compress", "zip"}};

INSTANTIATE_TEST_SUITE_P(Lossless, RoundTrip,
                         ::testing::Values(Trip{"o.png", gray, 8, {}}, Trip{"o.png", gray, 16, {}},
                                           Trip{"o.png", gray_alpha, 8, {}},
                                           Trip{"o.png", gray_alpha, 16, {}}, Trip{"o.png", rgb, 8, {}},
                                           Trip{"o.png", rgb, 16, {}}, Trip{"o.png", rgb_alpha, 8, {}},
                                           Trip{"o.png", rgb_alpha, 16, {}}, Trip{"o.tif", gray, 8, {}},
                                           Trip{"o.tif", gray, 16, {}}, Trip{"o.tif", gray_alpha, 16, {}},
                                           Trip{"o.tif", rgb, 8, lzw}, Trip{"o.tif", rgb, 16, zip},
                                           Trip{"o.tif", rgb_alpha, 8, {}}, Trip{"o.tif", rgb_alpha, 16, {}},
                                           Trip{"o.tif", cmyk, 8, {}}, Trip{"o.tif", cmyk, 16, {}},
                                           Trip{"o.tif", cmyk_alpha, 8, {}}, Trip{"o.pam", gray, 8, {}},
                                           Trip{"o.pam", rgb, 16, {}}, Trip{"o.pam", rgb_alpha, 16, {}},
                                           Trip{"o.pam", cmyk, 8, {}}, Trip{"o.pgm", gray, 8, {}},
                                           Trip{"o.pgm", gray, 16, {}}, Trip{"o.ppm", rgb, 8, {}},
                                           Trip{"o.ppm", rgb, 16, {}}, Trip{"o.webp", rgb, 8, lossless},
                                           Trip{"o.webp", rgb_alpha, 8, lossless}));

// Mean square error turned to decibels.
double psnr8(const std::string& a, const std::string& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = double(static_cast<unsigned char>(a[i])) - double(static_cast<unsigned char>(b[i]));
    sum += d * d;
  }
  return 10 * std::log10(255.0 * 255.0 * double(a.size()) / (sum + 1e-9));
}

// A smooth picture, such as lossy encoders are made for.
std::string smooth(Extent size, int channels, std::string_view tuple) {
  std::string out = fmt::format("P7\nWIDTH {}\nHEIGHT {}\nDEPTH {}\nMAXVAL 255\nTUPLTYPE {}\nENDHDR\n",
                                size.w, size.h, channels, tuple);
  for (std::uint32_t y = 0; y < size.h; ++y)
    for (std::uint32_t x = 0; x < size.w; ++x)
      for (int c = 0; c < channels; ++c)
        out.push_back(static_cast<char>(127 + 100 * std::sin(x / 40.0 + c) * std::cos(y / 30.0 + c)));
  return out;
}

TEST(Jpeg, KeepsGrayRgbAndCmyk) {
  FileStage stage;
  for (const Shape& shape : {gray, rgb, cmyk}) {
    spit(stage.path("in.pam"), smooth({320, 200}, shape.channels, shape.tuple));
    const auto in = stage.read(stage.path("in.pam"));
    ASSERT_TRUE(in) << in.error().what;
    ASSERT_TRUE(stage.write(in->front(), stage.path("o.jpg"), {{"quality", "95"}}));
    const auto back = stage.read(stage.path("o.jpg"));
    ASSERT_TRUE(back) << back.error().what;
    EXPECT_EQ(facts_of(back->front()).colorspace, shape.colorspace);
    EXPECT_GT(psnr8(samples_of(in->front()), samples_of(back->front())), 40) << shape.tuple;
  }
}

TEST(Write, LeavesOutWhatTheFormatCannotHold) {
  FileStage stage;
  spit(stage.path("in.pam"), pam({40, 30}, 4, 16, "RGB_ALPHA"));
  const auto in = stage.read(stage.path("in.pam"));
  ASSERT_TRUE(in);
  struct Row {
    const char* name;
    std::uint32_t channels, depth;
  };
  for (const Row& row : {Row{"o.jpg", 3, 8}, Row{"o.ppm", 3, 16}, Row{"o.pgm", 1, 16}, Row{"o.webp", 4, 8}}) {
    ASSERT_TRUE(stage.write(in->front(), stage.path(row.name))) << row.name;
    const auto back = stage.read(stage.path(row.name));
    ASSERT_TRUE(back) << back.error().what;
    EXPECT_EQ(facts_of(back->front()).channels, row.channels) << row.name;
    EXPECT_EQ(facts_of(back->front()).depth, row.depth) << row.name;
  }
  spit(stage.path("cmyk.pam"), smooth({40, 30}, 4, "CMYK"));
  const auto inks = stage.read(stage.path("cmyk.pam"));
  ASSERT_TRUE(inks);
  ASSERT_TRUE(stage.write(inks->front(), stage.path("o.png")));
  EXPECT_EQ(facts_of(stage.read(stage.path("o.png"))->front()).colorspace, "sRGB");
}

TEST(Write, RoundsSixteenBitsToEight) {
  FileStage stage;
  // 0x80FF rounds to 0x80 (0x8080 is its middle), 0x8100 to 0x80, 0x8101 to 0x81.
  spit(stage.path("in.pgm"),
       std::string("P5 4 1 65535\n") + std::string("\x80\xFF\x81\x00\x81\x01\xFF\xFF", 8));
  const auto in = stage.read(stage.path("in.pgm"));
  ASSERT_TRUE(in);
  ASSERT_TRUE(stage.write(in->front(), stage.path("o.webp"), lossless));
  const auto back = stage.read(stage.path("o.webp"));
  ASSERT_TRUE(back);
  const std::string samples = samples_of(back->front());
  EXPECT_EQ(samples[0], '\x80');
  EXPECT_EQ(samples.back(), '\xFF');
}

class Pictures : public ::testing::Test {
 protected:
  void SetUp() override {
    spit(stage.path("in.pam"), pam({200, 150}, 3, 8, "RGB"));
    auto read = stage.read(stage.path("in.pam"));
    ASSERT_TRUE(read) << read.error().what;
    picture = read->front();
    std::filesystem::remove(stage.path("in.pam"));
  }
  FileStage stage;
  Picture picture;
};

TEST_F(Pictures, TheFormatFollowsPrefixThenSuffixThenSource) {
  ASSERT_TRUE(stage.write(picture, "png:" + stage.path("a.jpg")));
  EXPECT_EQ(slurp(stage.path("a.jpg")).substr(1, 3), "PNG");
  ASSERT_TRUE(stage.write(picture, stage.path("b.TIFF")));
  EXPECT_EQ(slurp(stage.path("b.TIFF")).substr(0, 2), "II");
  ASSERT_TRUE(stage.write(picture, stage.path("c")));
  EXPECT_EQ(slurp(stage.path("c")).substr(0, 2), "P7");
  const auto unknown = stage.write(picture, stage.path("d.docx"));
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, Errc::unsupported);
  EXPECT_NE(unknown.error().what.find("docx"), std::string::npos);
  EXPECT_NE(unknown.error().what.find("PNG"), std::string::npos);
}

TEST_F(Pictures, OddNamesAreNames) {
  for (const char* name : {"with space.png", "a:b.png", "-dash.png", "quote'\".png", "br[ack]et.png",
                           "per%cent.png", "ü.png", "new\nline.png"}) {
    const auto written = stage.write(picture, stage.path(name));
    ASSERT_TRUE(written) << written.error().what;
    EXPECT_TRUE(std::filesystem::exists(stage.path(name))) << name;
    EXPECT_TRUE(stage.read(stage.path(name))) << name;
  }
}

TEST_F(Pictures, ScenesAndSequencesHaveNamesOfTheirOwn) {
  ASSERT_TRUE(stage.write(picture, stage.path("s-%03d.png")));
  EXPECT_EQ(stage.files(), (std::vector<std::string>{"s-000.png"}));
  const std::vector<Picture> two{picture, picture};
  ASSERT_TRUE(write_pictures(stage.workshop(), Call(), two, stage.path("t.png"), {}));
  EXPECT_EQ(stage.files(), (std::vector<std::string>{"s-000.png", "t-0.png", "t-1.png"}));
  ASSERT_TRUE(write_pictures(stage.workshop(), Call(), two, stage.path("u-%d.png"), {}));
  EXPECT_TRUE(std::filesystem::exists(stage.path("u-0.png")));
  EXPECT_TRUE(std::filesystem::exists(stage.path("u-1.png"))) << "two first scenes are not one file";
}

TEST_F(Pictures, OfOneSizeArePagesOfATiff) {
  const auto second = apply(stage.workshop(), Call(), picture, {"negate", "", {}});
  ASSERT_TRUE(second);
  const std::vector<Picture> two{picture, *second, picture};
  ASSERT_TRUE(write_pictures(stage.workshop(), Call(), two, stage.path("t.tif"), {{"compress", "zip"}}));
  EXPECT_EQ(stage.files(), (std::vector<std::string>{"t.tif"}));
  const auto back = stage.read(stage.path("t.tif"));
  ASSERT_TRUE(back) << back.error().what;
  ASSERT_EQ(back->size(), 3u);
  for (std::size_t i = 0; i < two.size(); ++i) EXPECT_TRUE(samples_of((*back)[i]) == samples_of(two[i])) << i;
  ASSERT_TRUE(write_pictures(stage.workshop(), Call(), two, stage.path("u.tif"), {{"adjoin", "false"}}));
  EXPECT_EQ(stage.files(), (std::vector<std::string>{"t.tif", "u-0.tif", "u-1.tif", "u-2.tif"}));
}

TEST_F(Pictures, OfSeveralSizesAreFilesAndTheLogSaysSo) {
  const auto small = apply(stage.workshop(), Call(), picture, {"crop", "20x20+0+0", {}});
  ASSERT_TRUE(small);
  const std::vector<Picture> two{picture, *small};
  ASSERT_TRUE(write_pictures(stage.workshop(), Call(), two, stage.path("t.tif"), {}));
  EXPECT_EQ(stage.files(), (std::vector<std::string>{"t-0.tif", "t-1.tif"}));
  ASSERT_FALSE(stage.log().empty());
  EXPECT_NE(stage.log().back().find("t-0.tif"), std::string::npos);
}

TEST_F(Pictures, AreDescribedInOneFileALineEach) {
  const std::vector<Picture> two{picture, picture};
  ASSERT_TRUE(write_pictures(stage.workshop(), Call(), two, "info:" + stage.path("list"), {{"format", "%w-%h\\n"}}));
  EXPECT_EQ(slurp(stage.path("list")), "200-150\n200-150\n");
}

TEST_F(Pictures, ComeInPassesWhereInterlaceAsksForIt) {
  for (const char* name : {"o.jpg", "o.png"}) {
    ASSERT_TRUE(stage.write(picture, stage.path(name), {{"interlace", "None"}}));
    const auto plain = stage.read(stage.path(name), {}, false);
    ASSERT_TRUE(plain) << plain.error().what;
    EXPECT_EQ(vips_image_get_typeof(plain->front().state().image.get(), "interlaced"), 0u) << name;
    ASSERT_TRUE(stage.write(picture, stage.path(name), {{"interlace", "Plane"}}));
    VipsImage* opened = vips_image_new_from_file(stage.path(name).c_str(), nullptr);
    ASSERT_NE(opened, nullptr) << vips_error_buffer();
    EXPECT_NE(vips_image_get_typeof(opened, "interlaced"), 0u) << name;
    g_object_unref(opened);
    EXPECT_TRUE(stage.read(stage.path(name))) << name;
  }
  stage.workshop().memory_limit = 1000;  // which all passes together exceed
  const auto refused = stage.write(picture, stage.path("o.jpg"), {{"interlace", "Plane"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::limit);
}

TEST_F(Pictures, ColoursOfAJpegCanBeKeptWhole) {
  ASSERT_TRUE(stage.write(picture, stage.path("a.jpg"), {{"sampling-factor", "4:2:0"}, {"quality", "95"}}));
  ASSERT_TRUE(stage.write(picture, stage.path("b.jpg"), {{"sampling-factor", "1x1"}, {"quality", "95"}}));
  EXPECT_LT(std::filesystem::file_size(stage.path("a.jpg")), std::filesystem::file_size(stage.path("b.jpg")));
  EXPECT_FALSE(stage.write(picture, stage.path("c.jpg"), {{"sampling-factor", "4:1:7"}}));
}

TEST_F(Pictures, AReplacedFileKeepsItsPermissionsAndALinkStaysALink) {
  spit(stage.path("old.png"), "old");
  std::filesystem::permissions(stage.path("old.png"), std::filesystem::perms(0640));
  std::filesystem::create_symlink("old.png", stage.path("link.png"));
  ASSERT_TRUE(stage.write(picture, stage.path("link.png")));
  EXPECT_TRUE(std::filesystem::is_symlink(stage.path("link.png")));
  EXPECT_EQ(std::filesystem::status(stage.path("old.png")).permissions(), std::filesystem::perms(0640));
  EXPECT_TRUE(stage.read(stage.path("old.png")));
}

TEST_F(Pictures, AnErrorLeavesTheTargetAsItWas) {
  spit(stage.path("old.png"), "old");
  std::stop_source source;
  source.request_stop();
  Call stopped;
  stopped.stop = source.get_token();
  for (const char* name : {"old.png", "new.png", "new.tif", "new.ppm", "new.jpg", "new.webp"}) {
    const auto written = write_picture(stage.workshop(), stopped, picture, stage.path(name), {});
    ASSERT_FALSE(written) << name;
    EXPECT_EQ(written.error().code, Errc::cancelled) << written.error().what;
  }
  EXPECT_EQ(slurp(stage.path("old.png")), "old");
  EXPECT_EQ(stage.files(), (std::vector<std::string>{"old.png"}));
}

TEST_F(Pictures, AFullDiskIsToldAsSuch) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP();
  for (const char* format : {"png", "tiff", "jpeg", "webp", "ppm", "pam"}) {
    const auto written = stage.write(picture, std::string(format) + ":/dev/full");
    ASSERT_FALSE(written) << format;
    EXPECT_EQ(written.error().code, Errc::io);
    EXPECT_EQ(written.error().sys, ENOSPC) << written.error().what;
    EXPECT_NE(written.error().what.find("/dev/full"), std::string::npos);
  }
}

TEST_F(Pictures, FoldersThatAreNoPlaceToWriteAreNamed) {
  const auto missing = stage.write(picture, stage.path("no/such/folder/o.png"));
  ASSERT_FALSE(missing);
  EXPECT_NE(missing.error().what.find("no/such/folder"), std::string::npos);
  const auto folder = stage.write(picture, "png:" + stage.folder().string());
  ASSERT_FALSE(folder);
  EXPECT_NE(folder.error().what.find("folder"), std::string::npos);
  if (::geteuid() == 0) return;  // for whom nothing is unwritable
  std::filesystem::permissions(stage.folder(), std::filesystem::perms(0555));
  const auto unwritable = stage.write(picture, stage.path("o.png"));
  ASSERT_FALSE(unwritable);
  EXPECT_EQ(unwritable.error().sys, EACCES);
}

TEST_F(Pictures, QualityMustBeANumber) {
  for (const char* bad : {"x", "101", "-1", "9x"}) {
    const auto written = stage.write(picture, stage.path("o.png"), {{"quality", bad}});
    ASSERT_FALSE(written) << bad;
    EXPECT_EQ(written.error().code, Errc::invalid);
  }
  EXPECT_TRUE(stage.files().empty());
}

TEST_F(Pictures, QualityMakesJpegsLarger) {
  ASSERT_TRUE(stage.write(picture, stage.path("a.jpg"), {{"quality", "30"}}));
  ASSERT_TRUE(stage.write(picture, stage.path("b.jpg"), {{"quality", "95"}}));
  EXPECT_LT(std::filesystem::file_size(stage.path("a.jpg")), std::filesystem::file_size(stage.path("b.jpg")));
}

TEST_F(Pictures, WhatIsTooLargeForAFormatIsRefused) {
  const auto made = stage.read("canvas:white", {{"size", "20000x10"}});
  ASSERT_TRUE(made) << made.error().what;
  const auto written = stage.write(made->front(), stage.path("o.webp"));
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::unsupported);
  EXPECT_NE(written.error().what.find("16383"), std::string::npos);
}

TEST_F(Pictures, AnOffsetOnTheCanvasTravelsInPng) {
  PictureState moved = picture.state().with(share(picture.state().image));
  moved.page = {-7, 20, {400, 300}};
  const Picture on_canvas(std::make_shared<const PictureState>(std::move(moved)));
  ASSERT_TRUE(stage.write(on_canvas, stage.path("o.png")));
  const auto back = stage.read(stage.path("o.png"));
  ASSERT_TRUE(back) << back.error().what;
  EXPECT_EQ(facts_of(back->front()).page, (Rect{-7, 20, {400, 300}}));
  EXPECT_TRUE(samples_of(back->front()) == samples_of(picture));
}

TEST_F(Pictures, CachedHoldsTheSameSamplesInADepthOfItsOwn) {
  const auto same = cached(stage.workshop(), Call(), picture);
  ASSERT_TRUE(same) << same.error().what;
  EXPECT_EQ(same->state().cache, picture.state().cache) << "a file's pixels are cached already";
  const auto blurred = apply(stage.workshop(), Call(), picture, {"blur", "0x1", {}});
  ASSERT_TRUE(blurred) << blurred.error().what;
  const auto again = cached(stage.workshop(), Call(), *blurred);
  ASSERT_TRUE(again) << again.error().what;
  EXPECT_TRUE(samples_of(*again) == samples_of(*blurred));
  EXPECT_NE(again->state().cache, picture.state().cache);
}

}  // namespace
}  // namespace smalti::ops::testing
