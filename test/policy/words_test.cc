#include "policy/words.h"

#include <gtest/gtest.h>

#include <array>

namespace smalti {
namespace {

constexpr std::array<std::string_view, 5> known{"sharpen", "resize", "rotate", "negate", "virtual-pixel"};

TEST(NearestWord, FindsTheOneThatWasMeant) {
  EXPECT_EQ(nearest_word("sharpn", known), "sharpen");
  EXPECT_EQ(nearest_word("Shrapen", known), "sharpen");
  EXPECT_EQ(nearest_word("resizee", known), "resize");
  EXPECT_EQ(nearest_word("rotaet", known), "rotate");
  EXPECT_EQ(nearest_word("virtualpixel", known), "virtual-pixel");
}

TEST(NearestWord, SaysNothingWhereNothingIsNear) {
  EXPECT_FALSE(nearest_word("frobnicate", known));
  EXPECT_FALSE(nearest_word("", known));
  EXPECT_FALSE(nearest_word(std::string(100'000, 'a'), known));
  EXPECT_EQ(did_you_mean("xyz", known), "");
  EXPECT_EQ(did_you_mean("sharpn", known, "-"), ": did you mean `-sharpen'?");
}

TEST(ParseFlag, KnowsTheWordsOfPolicies) {
  EXPECT_EQ(parse_flag("True"), true);
  EXPECT_EQ(parse_flag("off"), false);
  EXPECT_FALSE(parse_flag("maybe"));
}

}  // namespace
}  // namespace smalti
