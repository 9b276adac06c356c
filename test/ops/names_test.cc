#include "ops/names.h"

#include <gtest/gtest.h>

namespace smalti::ops {
namespace {

TEST(Names, KnownWordsArePrefixes) {
  EXPECT_EQ(parse_name("png:photo", false).prefix, "png");
  EXPECT_EQ(parse_name("PNG:photo", false).prefix, "png");
  EXPECT_EQ(parse_name("png:photo", false).path, "photo");
  EXPECT_EQ(parse_name("odd:name.png", false).prefix, "");
  EXPECT_EQ(parse_name("odd:name.png", false).path, "odd:name.png");
  EXPECT_EQ(parse_name("info:", false).prefix, "info");
  EXPECT_EQ(parse_name("canvas:#ff0000", false).path, "#ff0000");
  EXPECT_EQ(parse_name("png:-", false).path, "-");
  EXPECT_EQ(parse_name("-odd.png", false).path, "-odd.png");
}

TEST(Names, BracketsSelectUnlessAFileIsCalledSo) {
  EXPECT_EQ(parse_name("in.tif[2]", false).select, "2");
  EXPECT_EQ(parse_name("in.tif[2]", false).path, "in.tif");
  EXPECT_EQ(parse_name("in.tif[2]", true).path, "in.tif[2]");
  EXPECT_EQ(parse_name("png:in[1-3]", false).select, "1-3");
  EXPECT_EQ(parse_name("[2]", false).path, "[2]");
  EXPECT_EQ(parse_name("in.tif[]", false).path, "in.tif[]");
}

using Scenes = std::vector<std::uint32_t>;

TEST(Names, ScenesAreNumbersRangesAndListsOfThem) {
  EXPECT_EQ(*select_scenes("", 3, "x"), (Scenes{0, 1, 2}));
  EXPECT_EQ(*select_scenes("2", 3, "x"), (Scenes{2}));
  EXPECT_EQ(*select_scenes("1-2", 3, "x"), (Scenes{1, 2}));
  EXPECT_EQ(*select_scenes("2-0", 3, "x"), (Scenes{2, 1, 0}));
  EXPECT_EQ(*select_scenes("0,2", 3, "x"), (Scenes{0, 2}));
  EXPECT_EQ(*select_scenes("-1", 3, "x"), (Scenes{2}));
  EXPECT_EQ(*select_scenes("0--1", 3, "x"), (Scenes{0, 1, 2}));
  for (const char* bad :
       {"3", "-4", "0-3", "x", "1x", "100x100+10+10", "-", ",", "1,,2", "99999999999999999999"})
    EXPECT_FALSE(select_scenes(bad, 3, "x")) << bad;
}

TEST(Names, AScenesNumberTakesItsPlace) {
  EXPECT_EQ(with_scene("out-%d.png", 7), "out-7.png");
  EXPECT_EQ(with_scene("out-%03d.png", 7), "out-007.png");
  EXPECT_EQ(with_scene("100%.png", 7), "100%.png");
  EXPECT_FALSE(has_scene("100%.png"));
  EXPECT_FALSE(has_scene("%s%n%x"));
  EXPECT_TRUE(has_scene("a%%d"));
  EXPECT_EQ(with_scene("%99999d", 1), "%99999d");
  EXPECT_EQ(numbered("a.b/out.png", 3), "a.b/out-3.png");
  EXPECT_EQ(numbered("a.b/out", 3), "a.b/out-3");
  EXPECT_EQ(numbered(".hidden", 3), ".hidden-3");
}

TEST(Names, TheSuffixIsTheLastNamesOwn) {
  EXPECT_EQ(suffix_of("a/b.PNG"), "png");
  EXPECT_EQ(suffix_of("a.b/c"), "");
  EXPECT_EQ(suffix_of("c"), "");
}

}  // namespace
}  // namespace smalti::ops
