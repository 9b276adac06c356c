#include "cli/progress.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>

namespace smalti::cli {
namespace {

using ::testing::HasSubstr;

// What a bar wrote, through a pipe.
class ProgressTest : public ::testing::Test {
 protected:
  ProgressTest() { EXPECT_EQ(::pipe2(ends.data(), O_NONBLOCK), 0); }
  ~ProgressTest() override {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  std::string said() {
    std::string text(65536, '\0');
    const ssize_t got = ::read(ends[0], text.data(), text.size());
    text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
    return text;
  }
  std::array<int, 2> ends{};
};

TEST(BarText, FitsItsLine) {
  EXPECT_EQ(bar_text("negate", 50, 100, 80), "negate  [############            ]  50%");
  EXPECT_EQ(bar_text("negate", 100, 100, 80), "negate  [########################] 100%");
  EXPECT_EQ(bar_text("negate", 500, 100, 80), "negate  [########################] 100%");
  EXPECT_EQ(bar_text("negate", 0, 0, 80), "negate  [                        ]   0%");
  EXPECT_LE(bar_text(std::string(500, 'x'), 1, 2, 80).size(), 80u);
  EXPECT_LE(bar_text("negate", 1, 2, 10).size(), 40u);
}

TEST(StyleFor, IsSilentWhenPiped) {
  EXPECT_EQ(style_for(false, false), ProgressStyle::none);
  EXPECT_EQ(style_for(false, true), ProgressStyle::lines);
  EXPECT_EQ(style_for(true, false), ProgressStyle::bar);
  EXPECT_EQ(style_for(true, true), ProgressStyle::bar);
}

TEST_F(ProgressTest, SaysNothingBeforeItsTimeOrWithoutAStyle) {
  ProgressBar early(ends[1], ProgressStyle::bar, std::chrono::hours(1));
  early.report("x", 1, 2);
  early.clear();
  ProgressBar none(ends[1], ProgressStyle::none, {});
  none.report("x", 1, 2);
  none.clear();
  EXPECT_EQ(said(), "");
}

TEST_F(ProgressTest, DrawsOneLineAndWipesIt) {
  ProgressBar bar(ends[1], ProgressStyle::bar, {});
  bar.report("negate", 1, 2);
  EXPECT_THAT(said(), HasSubstr("\r\x1b[Knegate"));
  bar.clear();
  EXPECT_EQ(said(), "\r\x1b[K");
  bar.clear();
  EXPECT_EQ(said(), "");
}

TEST_F(ProgressTest, TellsTenthsLineByLine) {
  ProgressBar lines(ends[1], ProgressStyle::lines, {});
  for (std::uint64_t i = 0; i <= 1000; ++i) lines.report("negate", i, 1000);
  const std::string text = said();
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 11);
  EXPECT_THAT(text, HasSubstr("negate: 1000 of 1000, 100% complete\n"));
}

}  // namespace
}  // namespace smalti::cli
