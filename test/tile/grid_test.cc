#include "smalti/tile/grid.h"

#include <gtest/gtest.h>

namespace smalti {
namespace {

const ImageSpec photo{{3840, 2400}, {Sample::u8, 3, 0}, {256, 256}};

TEST(Grid, CutsTheBorderTiles) {
  const Grid grid(photo);
  EXPECT_EQ(grid.cols(), 15u);
  EXPECT_EQ(grid.rows(), 10u);
  EXPECT_EQ(grid.rect(14, 9), (Rect{3584, 2304, {256, 96}}));
}

TEST(Grid, CoversARectangleRowByRow) {
  const Grid grid(photo);
  const ImageId id = ImageId::fresh();
  const auto keys = grid.cover(id, {-10, 250, {300, 10}});
  ASSERT_EQ(keys.size(), 4u);
  EXPECT_EQ(keys[1], (TileKey{id, 0, 1, 0}));
  EXPECT_EQ(keys[2], (TileKey{id, 0, 0, 1}));
  EXPECT_TRUE(grid.cover(id, {3840, 0, {10, 10}}).empty());
}

TEST(ImageSpec, RefusesWhatCannotBeAddressed) {
  ImageSpec spec = photo;
  EXPECT_TRUE(spec.check());
  spec.size = {0, 5};
  EXPECT_FALSE(spec.check());
  spec.size = {~0u, ~0u};
  spec.format = {Sample::f64, 255, 65535};
  EXPECT_FALSE(spec.check());
  spec = photo;
  spec.format.sample = static_cast<Sample>(17);
  EXPECT_FALSE(spec.check());
}

TEST(TileExtent, HeightFollowsTheWidth) {
  const PixelFormat rgb{Sample::u8, 3, 0};
  EXPECT_EQ(tile_extent_for({1000, 1000}, rgb, 1u << 20), (Extent{256, 256}));
  EXPECT_EQ(tile_extent_for({100000, 1000}, rgb, 32u << 20), (Extent{256, 64}));
  EXPECT_EQ(tile_extent_for({100000, 1000}, rgb, 0), (Extent{256, 1}));
}

}  // namespace
}  // namespace smalti
