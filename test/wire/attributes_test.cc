#include "wire/attributes.h"

#include <gtest/gtest.h>

namespace smalti::wire {
namespace {

TEST(Attributes, EqualOnesDoNotDiffer) { EXPECT_EQ(differences({}, {}), ""); }

TEST(Attributes, EachDifferenceIsNamedWithBothValues) {
  const Attributes here{1, 16, false, 8, true};
  EXPECT_EQ(differences(here, {2, 16, false, 8, true}), "interface version 1 here, 2 there");
  EXPECT_EQ(differences(here, {1, 8, false, 8, true}), "quantum depth 16 here, 8 there");
  EXPECT_EQ(differences(here, {1, 16, true, 8, true}), "HDRI off here, on there");
  EXPECT_EQ(differences(here, {1, 16, false, 4, true}), "word size 64 here, 32 there");
  EXPECT_EQ(differences(here, {1, 16, false, 8, false}), "endianness little here, big there");
}

TEST(Attributes, SeveralDifferencesAreAllNamed) {
  EXPECT_EQ(differences({1, 16, false, 8, true}, {1, 8, true, 8, true}),
            "quantum depth 16 here, 8 there; HDRI off here, on there");
}

}  // namespace
}  // namespace smalti::wire
