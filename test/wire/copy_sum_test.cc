#include "wire/copy_sum.h"

#include <gtest/gtest.h>

#include <vector>

#include "smalti/tile/tile.h"

namespace smalti::wire {
namespace {

TEST(CopyAndSum, CopiesAndSumsAsTilesDo) {
  for (const std::uint32_t size : {0u, 1u, 100u, 16384u, 16385u, 40000u, 262144u}) {
    std::vector<std::byte> from(size), into(size);
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<std::byte>(i * 7 + i / 256);
    const Pixels pixels{from.data(), {size, 1}, static_cast<std::ptrdiff_t>(size), {Sample::u8, 1, 0}};
    EXPECT_EQ(copy_and_sum(into, from), Tile(pixels, nullptr).computed_checksum()) << size;
    EXPECT_EQ(into, from);
  }
}

}  // namespace
}  // namespace smalti::wire
