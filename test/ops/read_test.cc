// Reading: real pictures, several pictures in a file, and files that lie, end early or are none.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ops/info.h"
#include "ops/state.h"
#include "test/ops/file_stage.h"

namespace smalti::ops::testing {
namespace {

const std::string baseline = "/usr/share/backgrounds/2004default.jpg";
const std::string progressive = "/usr/share/backgrounds/rhythm.jpg";
const std::string with_alpha = "/usr/share/backgrounds/calla.png";
const std::string convert = "/usr/bin/convert";

#define NEEDS(path) \
  if (!have_file(path)) GTEST_SKIP() << path << " is not installed"

bool have_file(const std::string& path) { return ::access(path.c_str(), R_OK) == 0; }

void put32(std::string& at, std::size_t offset, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) at[offset + i] = static_cast<char>(value >> (24 - 8 * i));
}

TEST(Read, FactsOfRealPictures) {
  NEEDS(baseline);
  NEEDS(with_alpha);
  FileStage stage;
  const auto jpeg = stage.read(baseline, {}, false);
  ASSERT_TRUE(jpeg) << jpeg.error().what;
  EXPECT_EQ(info_line(facts_of(jpeg->front())),
            baseline + " JPEG 3840x2400 3840x2400+0+0 8-bit sRGB 1.79685MiB");
  EXPECT_EQ(stage.ledger().used(Resource::memory), 0u) << "looking opens no cache";
  const auto png = stage.read(with_alpha, {}, false);
  ASSERT_TRUE(png) << png.error().what;
  EXPECT_TRUE(facts_of(png->front()).alpha);
  EXPECT_EQ(facts_of(png->front()).channels, 4u);
}

TEST(Info, PrintsWhatFormatAsksFor) {
  Facts facts;
  facts.file = "some/where/photo.v2.jpg";
  facts.format = "JPEG";
  facts.scene = 3;
  facts.size = {640, 480};
  facts.page = {-5, 7, {800, 600}};
  facts.colorspace = "sRGB";
  facts.file_bytes = 1024;
  EXPECT_EQ(*info_text("%wx%h\\n", facts), "640x480\n");
  EXPECT_EQ(*info_text("%W %H %X %Y|%O|%g", facts), "800 600 -5 +7|-5+7|800x600-5+7");
  EXPECT_EQ(*info_text("%d|%f|%t|%e|%i", facts), "some/where|photo.v2.jpg|photo.v2|jpg|some/where/photo.v2.jpg");
  EXPECT_EQ(*info_text("%m %z %s %[colorspace] %A %b %%", facts), "JPEG 8 3 sRGB False 1024B %");
  EXPECT_EQ(*info_text("100%", facts), "100%");
  const auto unknown = info_text("%[fx:w]", facts);
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().what.find("fx:w"), std::string::npos);
}

TEST(Read, ARealPhotographIsWhatImageMagickReads) {
  NEEDS(baseline);
  NEEDS(convert);
  FileStage stage;
  for (const std::string& photo : {baseline, progressive, with_alpha}) {
    const auto in = stage.read(photo);
    ASSERT_TRUE(in) << in.error().what;
    const auto theirs = stage.path("theirs.pam");
    shell(fmt::format("{} {} -depth 8 pam:{}", convert, photo, theirs));
    const auto other = stage.read(theirs);
    ASSERT_TRUE(other) << other.error().what;
    EXPECT_TRUE(samples_of(in->front()) == samples_of(other->front())) << photo;
  }
}

TEST(Read, TheContentDecidesNotTheName) {
  NEEDS(with_alpha);
  FileStage stage;
  spit(stage.path("photo.jpg"), slurp(with_alpha));
  const auto in = stage.read(stage.path("photo.jpg"), {}, false);
  ASSERT_TRUE(in) << in.error().what;
  EXPECT_EQ(facts_of(in->front()).format, "PNG");
  EXPECT_TRUE(stage.read("png:" + stage.path("photo.jpg"), {}, false));
  const auto forced = stage.read("jpeg:" + stage.path("photo.jpg"), {}, false);
  ASSERT_FALSE(forced);
  EXPECT_EQ(forced.error().code, Errc::invalid);
}

TEST(Read, WhatIsNoPictureIsNamed) {
  FileStage stage;
  spit(stage.path("empty"), "");
  spit(stage.path("words.txt"), "these are words, not a picture");
  struct Row {
    std::string name;
    Errc code;
    std::string_view says;
  };
  for (const Row& row :
       {Row{stage.path("none.png"), Errc::io, "No such file"},
        Row{stage.folder().string(), Errc::io, "folder"}, Row{stage.path("empty"), Errc::io, "empty"},
        Row{stage.path("words.txt"), Errc::unsupported, "JPEG, PNG"}}) {
    const auto in = stage.read(row.name);
    ASSERT_FALSE(in) << row.name;
    EXPECT_EQ(in.error().code, row.code) << in.error().what;
    EXPECT_NE(in.error().what.find(row.name), std::string::npos) << in.error().what;
    EXPECT_NE(in.error().what.find(row.says), std::string::npos) << in.error().what;
  }
}

// A real file cut at several places is an error that names it, and with salvage what there is.
TEST(Read, ATruncatedPictureIsAnErrorUnlessSalvaged) {
  NEEDS(baseline);
  NEEDS(with_alpha);
  FileStage stage;
  const auto photo = stage.read(baseline);
  ASSERT_TRUE(photo) << photo.error().what;
  ASSERT_TRUE(stage.write(photo->front(), stage.path("w.tif"), {{"compress", "LZW"}}));
  ASSERT_TRUE(stage.write(photo->front(), stage.path("w.ppm")));
  for (const std::string& whole : {baseline, with_alpha, stage.path("w.ppm"), stage.path("w.tif")}) {
    const std::string bytes = slurp(whole);
    for (const std::size_t keep : {bytes.size() / 3, bytes.size() * 2 / 3, bytes.size() - 4000}) {
      const std::string cut = stage.path("cut" + std::filesystem::path(whole).extension().string());
      spit(cut, bytes.substr(0, keep));
      const auto strict = stage.read(cut);
      ASSERT_FALSE(strict) << cut << " " << keep;
      EXPECT_EQ(strict.error().code, Errc::corrupt);
      EXPECT_NE(strict.error().what.find(cut), std::string::npos) << strict.error().what;
      if (cut.ends_with(".tif"))
        continue;  // its directory stands at its end: nothing says what the bytes mean
      stage.workshop().salvage = true;
      const auto lenient = stage.read(cut);
      stage.workshop().salvage = false;
      ASSERT_TRUE(lenient) << lenient.error().what;
      const Facts facts = facts_of(lenient->front());
      EXPECT_EQ(samples_of(lenient->front()).size(), facts.size.area() * facts.channels);
    }
  }
  EXPECT_FALSE(stage.log().empty());
}

TEST(Read, HeadersCutAnywhereAreErrors) {
  NEEDS(baseline);
  FileStage stage;
  const auto canvas = stage.read("gradient:red-blue", {{"size", "30x20"}});
  ASSERT_TRUE(canvas);
  for (const char* name : {"w.png", "w.tif", "w.jpg", "w.webp", "w.ppm", "w.pam"}) {
    ASSERT_TRUE(stage.write(canvas->front(), stage.path(name))) << name;
    const std::string bytes = slurp(stage.path(name));
    for (std::size_t keep = 1; keep < std::min<std::size_t>(bytes.size(), 60); ++keep) {
      spit(stage.path("cut"), bytes.substr(0, keep));
      EXPECT_FALSE(stage.read(stage.path("cut"))) << name << " " << keep;
    }
  }
}

TEST(Read, FlippedBytesNeverCrash) {
  FileStage stage;
  const auto canvas = stage.read("gradient:red-blue", {{"size", "64x48"}});
  ASSERT_TRUE(canvas);
  std::uint32_t noise = 7;
  const auto next = [&] { return noise = noise * 1664525u + 1013904223u; };
  for (const char* name : {"w.png", "w.tif", "w.jpg", "w.webp", "w.pam"}) {
    ASSERT_TRUE(stage.write(canvas->front(), stage.path(name))) << name;
    const std::string bytes = slurp(stage.path(name));
    for (int round = 0; round < 60; ++round) {
      std::string bad = bytes;
      for (int flips = 0; flips < 3; ++flips)
        bad[next() % std::min<std::size_t>(bad.size(), 300)] ^= static_cast<char>(next() >> 24);
      spit(stage.path("bad"), bad);
      const auto read = stage.read(stage.path("bad"));
      if (!read) {
        EXPECT_FALSE(read.error().what.empty());
      }
    }
  }
}

// A PNG's header that claims w x h, with a right checksum, and no more.
std::string png_claiming(std::uint32_t w, std::uint32_t h, char interlace) {
  std::string png("\x89PNG\r\n\x1A\n\0\0\0\x0DIHDR", 16);
  png.resize(33);
  put32(png, 16, w);
  put32(png, 20, h);
  png[24] = 8;
  png[25] = 2;
  png[28] = interlace;
  std::uint32_t crc = ~0u;
  for (std::size_t i = 12; i < 29; ++i) {
    crc ^= static_cast<unsigned char>(png[i]);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xEDB88320u & (0u - (crc & 1)));
  }
  put32(png, 29, ~crc);
  return png + std::string("\0\0\0\x10IDAT\x78\x9C", 10) + std::string(20, '\0');
}

TEST(Read, AbsurdSizesAreRefusedBeforeAnythingIsAllocated) {
  FileStage stage;
  spit(stage.path("a.png"), png_claiming(0x7FFFFFFF, 0x7FFFFFFF, 0));
  spit(stage.path("b.png"), png_claiming(0xFFFFFFFF, 1, 0));
  spit(stage.path("c.pam"), "P7\nWIDTH 4294967295\nHEIGHT 4294967295\nDEPTH 4\nMAXVAL 255\nENDHDR\n");
  spit(stage.path("d.ppm"), "P6 99999999999999999999 1 255\n");
  for (const char* name : {"a.png", "b.png", "c.pam", "d.ppm"}) {
    const auto in = stage.read(stage.path(name));
    ASSERT_FALSE(in) << name;
    EXPECT_NE(in.error().what.find(stage.path(name)), std::string::npos) << in.error().what;
  }
  EXPECT_LT(stage.ledger().peak(Resource::memory), 1u << 20);
}

TEST(Read, WidthAndHeightLimitsAreNamed) {
  NEEDS(baseline);
  for (const Resource side : {Resource::width, Resource::height}) {
    FileStage stage(FileStage::with(side, 2000));
    const auto in = stage.read(baseline);
    ASSERT_FALSE(in);
    EXPECT_EQ(in.error().code, Errc::limit);
    for (const std::string& word : {std::string("cache resources exhausted"), baseline,
                                    std::string(name_of(side)), std::string("2000")})
      EXPECT_NE(in.error().what.find(word), std::string::npos) << in.error().what;
  }
}

TEST(Read, DecodersThatHoldTheImageAreChargedAndRefused) {
  NEEDS(progressive);
  FileStage roomy;
  ASSERT_TRUE(roomy.read(progressive));
  EXPECT_GT(roomy.ledger().peak(Resource::memory), 3840u * 2400 * 6)
      << "two bytes a coefficient were charged";
  const auto photo = roomy.read(progressive);
  ASSERT_TRUE(photo);
  ASSERT_TRUE(roomy.write(photo->front(), roomy.path("w.webp")));
  spit(roomy.path("i.png"), png_claiming(4000, 3000, 1));
  FileStage tight(FileStage::with(Resource::memory, 16u << 20));
  for (const std::string& name : {progressive, roomy.path("w.webp"), roomy.path("i.png")}) {
    const auto in = tight.read(name);
    ASSERT_FALSE(in) << name;
    EXPECT_EQ(in.error().code, Errc::limit);
    for (const std::string& word : {std::string("cache resources exhausted"), name,
                                    std::string("-limit memory"), std::string("save it")})
      EXPECT_NE(in.error().what.find(word), std::string::npos) << in.error().what;
    EXPECT_TRUE(tight.read(name, {}, false)) << "looking needs no memory";
  }
}

TEST(Read, EveryPageOfATiffIsAPicture) {
  NEEDS(convert);
  FileStage stage;
  const std::string tiff = stage.path("pages.tif");
  shell(fmt::format("{} -size 30x20 xc:red -size 40x10 xc:lime -size 7x7 xc:blue {}", convert, tiff));
  const auto all = stage.read(tiff);
  ASSERT_TRUE(all) << all.error().what;
  ASSERT_EQ(all->size(), 3u);
  EXPECT_EQ(facts_of((*all)[1]).size, (Extent{40, 10}));
  EXPECT_EQ(facts_of((*all)[1]).scene, 1u);
  EXPECT_EQ(facts_of((*all)[1]).file, tiff + "[1]");
  const auto some = stage.read(tiff + "[2,0]");
  ASSERT_TRUE(some) << some.error().what;
  ASSERT_EQ(some->size(), 2u);
  EXPECT_EQ(facts_of(some->front()).size, (Extent{7, 7}));
  const auto beyond = stage.read(tiff + "[3]");
  ASSERT_FALSE(beyond);
  EXPECT_EQ(beyond.error().code, Errc::invalid);
  FileStage few(FileStage::with(Resource::list_length, 2));
  const auto many = few.read(tiff);
  ASSERT_FALSE(many);
  EXPECT_EQ(many.error().code, Errc::limit);
  EXPECT_NE(many.error().what.find("list-length"), std::string::npos);
}

// A file of pictures in a circle must not be read for ever.
TEST(Read, ATiffInACircleIsCorrupt) {
  FileStage stage;
  const auto canvas = stage.read("canvas:white", {{"size", "3x3"}});
  ASSERT_TRUE(canvas);
  ASSERT_TRUE(stage.write(canvas->front(), stage.path("w.tif")));
  std::string bytes = slurp(stage.path("w.tif"));
  std::uint32_t at = 0;
  for (int i = 3; i >= 0; --i)
    at = at << 8 | static_cast<unsigned char>(bytes[4 + static_cast<std::size_t>(i)]);
  const std::size_t entries = static_cast<unsigned char>(bytes[at]);
  for (std::size_t i = 0; i < 4; ++i) bytes[at + 2 + 12 * entries + i] = static_cast<char>(at >> (8 * i));
  spit(stage.path("w.tif"), bytes);
  const auto in = stage.read(stage.path("w.tif"));
  ASSERT_FALSE(in);
  EXPECT_EQ(in.error().code, Errc::corrupt);
}

TEST(Read, SeveralPnmsInOneFile) {
  FileStage stage;
  spit(stage.path("two.pgm"), std::string("P5 2 1 255\nab") + "P5\n# a comment\n1 2\n255\ncd");
  const auto in = stage.read(stage.path("two.pgm"));
  ASSERT_TRUE(in) << in.error().what;
  ASSERT_EQ(in->size(), 2u);
  EXPECT_EQ(samples_of((*in)[0]), "ab");
  EXPECT_EQ(samples_of((*in)[1]), "cd");
}

TEST(Read, PnmSamplesAreScaledToTheirFullRange) {
  FileStage stage;
  spit(stage.path("a.pgm"), "P5 3 1 15\n" + std::string("\0\x05\x0F", 3));
  spit(stage.path("b.pbm"), "P4 10 2\n" + std::string("\xAA\x80\x00\x40", 4));
  spit(stage.path("c.ppm"), "P3\n2 1\n255\n1 2 3 253 254 255\n");
  EXPECT_EQ(samples_of(stage.read(stage.path("a.pgm"))->front()), std::string("\0\x55\xFF", 3));
  const std::string bits = samples_of(stage.read(stage.path("b.pbm"))->front());
  EXPECT_EQ(bits, std::string("\0\xFF\0\xFF\0\xFF\0\xFF\0\xFF", 10) + std::string(9, '\xFF') +
                      std::string(1, '\0'));
  EXPECT_EQ(samples_of(stage.read(stage.path("c.ppm"))->front()), std::string("\1\2\3\xFD\xFE\xFF"));
}

TEST(Read, PalettesBecomeRgbAndTransparencyAlpha) {
  NEEDS(convert);
  FileStage stage;
  shell(fmt::format("{} -size 16x16 gradient:red-blue -colors 8 png8:{}", convert, stage.path("p.png")));
  const auto palette = stage.read(stage.path("p.png"));
  ASSERT_TRUE(palette) << palette.error().what;
  EXPECT_EQ(facts_of(palette->front()).channels, 3u);
  shell(fmt::format("{} -size 16x16 xc:red -alpha set -fill none -draw 'color 0,0 point' png8:{}", convert,
                    stage.path("t.png")));
  const auto clear = stage.read(stage.path("t.png"));
  ASSERT_TRUE(clear) << clear.error().what;
  EXPECT_TRUE(facts_of(clear->front()).alpha);
}

TEST(Read, APipeIsRead) {
  FileStage stage;
  const std::string fifo = stage.path("fifo");
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  const std::string picture = std::string("P5 300 200 255\n") + std::string(60000, 'x');
  std::thread writer([&] { spit(fifo, picture); });
  const auto in = stage.read(fifo);
  writer.join();
  ASSERT_TRUE(in) << in.error().what;
  EXPECT_EQ(samples_of(in->front()), std::string(60000, 'x'));
}

TEST(Canvas, IsOfOneColourOrAGradient) {
  FileStage stage;
  const auto red = stage.read("canvas:#ff0000", {{"size", "5x4"}});
  ASSERT_TRUE(red) << red.error().what;
  EXPECT_EQ(samples_of(red->front()).substr(0, 6), std::string("\xFF\0\0\xFF\0\0", 6));
  const auto ramp = stage.read("gradient:", {{"size", "1x3"}});
  ASSERT_TRUE(ramp) << ramp.error().what;
  const std::string samples = samples_of(ramp->front());
  EXPECT_EQ(samples[0], '\xFF');
  EXPECT_EQ(samples.back(), '\0');
  EXPECT_FALSE(stage.read("canvas:white"));
  EXPECT_FALSE(stage.read("canvas:nosuchcolour", {{"size", "5x4"}}));
  EXPECT_FALSE(stage.read("canvas:white", {{"size", "5"}}));
}

}  // namespace
}  // namespace smalti::ops::testing
