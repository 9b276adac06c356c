#include "smalti/geom/pixels.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace smalti {
namespace {

std::vector<std::byte> counted(std::size_t n) {
  std::vector<std::byte> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i] = static_cast<std::byte>(i + 1);
  return out;
}

TEST(CopyRun, StepsOverPixelsOfAnySize) {
  for (const std::size_t bytes : {1u, 2u, 3u, 4u, 5u, 6u, 8u, 12u, 16u, 17u}) {
    const auto from = counted(bytes * 4);
    for (const int step : {1, -1, 0}) {
      std::vector<std::byte> to(bytes * 4 + 1, std::byte{0xee});
      const std::size_t start = step < 0 ? 3 : step == 0 ? 2 : 0;
      copy_run(from.data() + start * bytes, step, to.data(), 4, bytes);
      for (std::size_t i = 0; i < 4; ++i)
        for (std::size_t b = 0; b < bytes; ++b)
          EXPECT_EQ(to[i * bytes + b], from[(start + static_cast<std::size_t>(static_cast<int>(i) * step)) * bytes + b]);
      EXPECT_EQ(to.back(), std::byte{0xee});
    }
  }
}

TEST(FillPixels, KeepsToItsRectangle) {
  const PixelFormat rgb{Sample::u8, 3, 0};
  std::vector<std::byte> canvas(10 * 3 * 4, std::byte{9});
  MutablePixels all{canvas.data(), {10, 4}, 30, rgb};
  EXPECT_TRUE(all_same(all));
  fill_pixels(all.crop({2, 1, {5, 2}}), counted(3));
  EXPECT_TRUE(all_same(all.crop({2, 1, {5, 2}})));
  EXPECT_TRUE(all_same(all.crop({0, 0, {1, 1}})));
  EXPECT_FALSE(all_same(all.crop({2, 0, {5, 2}})));
  for (std::uint32_t y = 0; y < 4; ++y) {
    for (std::uint32_t x = 0; x < 10; ++x) {
      const bool in = x >= 2 && x < 7 && (y == 1 || y == 2);
      EXPECT_EQ(*all.at(x, y), in ? std::byte{1} : std::byte{9}) << x << "," << y;
      EXPECT_EQ(all.at(x, y)[2], in ? std::byte{3} : std::byte{9}) << x << "," << y;
    }
  }
  fill_pixels(all.crop({2, 1, {5, 2}}), {});
  EXPECT_EQ(*all.at(6, 2), std::byte{0});
  EXPECT_EQ(*all.at(7, 2), std::byte{9});
}

}  // namespace
}  // namespace smalti
