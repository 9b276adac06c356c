#include "house/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace smalti::house {
namespace {

using ::testing::ElementsAre;

constexpr std::uint64_t mib = 1u << 20;

const std::vector<TierUse> spread{{"Memory", "", 64, 12 * mib},
                                  {"Disk", "/var/tmp", 1, 512},
                                  {"Distributed", "192.168.100.50:6668", 80, 15 * mib},
                                  {"Distributed", "192.168.100.51:6668", 81, 15 * mib + mib / 2}};

TEST(Report, SaysWhereAnImageIs) {
  EXPECT_EQ(open_line("photo.jpg", 2, {{3840, 2400}, {Sample::u8, 3, 0}}, spread),
            "open photo.jpg[2] (Memory 12MiB, Disk 512B in /var/tmp, Distributed 30.5MiB on "
            "192.168.100.50:6668 and "
            "192.168.100.51:6668, 3840x2400x3 26.4MiB)");
  EXPECT_EQ(where_text({{"Distributed", "a", 1, 1}, {"Distributed", "b", 1, 1}, {"Distributed", "c", 1, 1}}),
            "Distributed 3B on a, b and c");
  EXPECT_EQ(where_text({}), "nothing stored");
  EXPECT_EQ(destroy_line("photo.jpg", 0), "destroy photo.jpg[0]");
}

TEST(Report, TellsTilesAndBytesATierAndServer) {
  EXPECT_THAT(tier_lines(spread),
              ElementsAre("  Memory 12MiB in 64 tiles", "  Disk 512B in 1 tile in /var/tmp",
                          "  Distributed 15MiB in 80 tiles on 192.168.100.50:6668",
                          "  Distributed 15.5MiB in 81 tiles on 192.168.100.51:6668"));
}

TEST(Report, TellsWaitingForACoreFromWaitingForTiles) {
  using ::testing::HasSubstr;
  ops::Pass pass;
  pass.seconds = 2;
  pass.threads = 2;
  pass.cached = true;
  pass.reading.wait_ns = 1'000'000'000;
  EXPECT_THAT(pass_text(pass, {}, {}), HasSubstr("waited 1.000 s (25.0% of 2 threads' time); 0 tiles"));
  pass.cores_idle = 0.2;
  EXPECT_THAT(pass_text(pass, {}, {}), HasSubstr("waited 1.000 s (25.0% of 2 threads' time; 5.0% with a core idle); "));
  pass.cores_idle = 30;
  EXPECT_THAT(pass_text(pass, {}, {}), HasSubstr("(25.0% of 2 threads' time; 25.0% with a core idle)"));
}

TEST(Report, WritesBytesShort) {
  EXPECT_EQ(short_bytes(0), "0B");
  EXPECT_EQ(short_bytes(1023), "1023B");
  EXPECT_EQ(short_bytes(1023 * 1024), "1023KiB");
  EXPECT_EQ(short_bytes(1536), "1.5KiB");
}

}  // namespace
}  // namespace smalti::house
