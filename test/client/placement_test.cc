#include "client/placement.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <set>

namespace smalti::client {
namespace {

std::vector<wire::native::Id> some_servers(std::size_t n) {
  std::vector<wire::native::Id> out(n);
  for (std::size_t i = 0; i < n; ++i) {
    out[i][0] = static_cast<std::byte>(i);
    out[i][1] = static_cast<std::byte>(i >> 8);
    out[i][15] = std::byte{42};
  }
  return out;
}

ImageId image(std::uint8_t n) {
  ImageId id;
  id.raw[3] = std::byte{n};
  return id;
}

TEST(Rendezvous, KeepsNeighboursTogether) {
  const Rendezvous all(some_servers(7));
  for (std::uint32_t row = 0; row < 16; ++row)
    for (std::uint32_t col = 0; col < 16; ++col)
      EXPECT_EQ(all.home({image(1), 0, col, row}), all.home({image(1), 0, col / 5 * 5, row / 5 * 5}));
}

TEST(Rendezvous, SpreadsEvenly) {
  constexpr std::uint32_t side = 400;  // tiles: 10,000 super-tiles
  for (const std::size_t n : {2u, 3u, 10u}) {
    const Rendezvous all(some_servers(n));
    std::vector<double> load(n);
    for (std::uint32_t row = 0; row < side; ++row)
      for (std::uint32_t col = 0; col < side; ++col) ++load[all.home({image(2), 0, col, row})];
    const double mean = double(side) * side / static_cast<double>(n);
    for (const double one : load) EXPECT_NEAR(one, mean, mean * 0.15) << n << " servers";
  }
}

TEST(Rendezvous, ImagesDoNotLeanTheSameWay) {
  const Rendezvous all(some_servers(4));
  std::set<std::uint32_t> homes;
  for (std::uint8_t n = 0; n < 64; ++n) homes.insert(all.home({image(n), 0, 0, 0}));
  EXPECT_EQ(homes.size(), 4u);
}

TEST(Rendezvous, AServerThatJoinsMovesOnlyWhatItGets) {
  const auto ids = some_servers(9);
  const Rendezvous before(std::span<const wire::native::Id>(ids).first(8));
  const Rendezvous after(ids);
  std::size_t moved = 0, all = 0;
  for (std::uint32_t row = 0; row < 400; row += 5)
    for (std::uint32_t col = 0; col < 400; col += 5, ++all) {
      const TileKey key{image(3), 0, col, row};
      if (before.home(key) == after.home(key)) continue;
      ++moved;
      EXPECT_EQ(after.home(key), 8u);
    }
  EXPECT_NEAR(static_cast<double>(moved), static_cast<double>(all) / 9, static_cast<double>(all) * 0.03);
}

TEST(Rendezvous, TheOrderOfListingDoesNotMatter) {
  auto ids = some_servers(5);
  auto turned = ids;
  std::reverse(turned.begin(), turned.end());
  const Rendezvous one(ids), other(turned);
  for (std::uint32_t col = 0; col < 400; ++col) {
    const TileKey key{image(4), 0, col, 9};
    EXPECT_EQ(ids[one.home(key)], turned[other.home(key)]);
  }
}

TEST(Rendezvous, TheOrderBeginsAtHomeAndNamesEachOnce) {
  const Rendezvous all(some_servers(6));
  std::set<std::uint32_t> seconds;
  for (std::uint32_t col = 0; col < 400; col += 5) {
    const TileKey key{image(5), 0, col, 3};
    auto order = all.order(key);
    EXPECT_EQ(order.front(), all.home(key));
    seconds.insert(order[1]);
    std::sort(order.begin(), order.end());
    EXPECT_THAT(order, testing::ElementsAre(0, 1, 2, 3, 4, 5));
  }
  EXPECT_EQ(seconds.size(), 6u) << "the load of a full server goes to all others";
}

Grid grid_of(std::uint32_t cols, std::uint32_t rows) {
  return Grid({{cols * 256, rows * 256}, {Sample::u8, 3, 0}, {256, 256}});
}

std::vector<std::uint64_t> loads_of(const Rendezvous& placed, const ImageId& id, const Grid& grid,
                                    std::size_t servers) {
  std::vector<std::uint64_t> loads(servers);
  for (std::uint32_t row = 0; row < grid.rows(); ++row)
    for (std::uint32_t col = 0; col < grid.cols(); ++col) ++loads[placed.home({id, 0, col, row})];
  return loads;
}

TEST(EvenedRendezvous, NoServerGetsMuchMoreThanItsShare) {
  for (const auto& [cols, rows] : {std::pair{10u, 15u}, {32u, 24u}, {141u, 104u}, {1000u, 3u}}) {
    const Grid grid = grid_of(cols, rows);
    for (const std::size_t n : {2u, 3u, 16u}) {
      for (std::uint8_t id = 0; id < 8; ++id) {
        const Rendezvous placed = Rendezvous(some_servers(n)).evened(image(id), grid);
        const auto loads = loads_of(placed, image(id), grid, n);
        const double share = static_cast<double>(grid.tiles()) / static_cast<double>(n);
        const double super = grid.tiles() > 3600 ? 25 : grid.tiles() > 1296 ? 16 : grid.tiles() > 576 ? 4 : 1;
        EXPECT_LE(static_cast<double>(*std::max_element(loads.begin(), loads.end())), share * 1.02 + super)
            << cols << "x" << rows << " tiles, " << n << " servers";
      }
    }
  }
}

TEST(EvenedRendezvous, WhoeverListsTheSameServersFindsTheSameHomes) {
  auto ids = some_servers(5);
  auto turned = ids;
  std::reverse(turned.begin(), turned.end());
  const Grid grid = grid_of(40, 30);
  const Rendezvous one = Rendezvous(ids).evened(image(4), grid),
                   other = Rendezvous(turned).evened(image(4), grid);
  for (std::uint32_t row = 0; row < 30; ++row)
    for (std::uint32_t col = 0; col < 40; ++col)
      EXPECT_EQ(ids[one.home({image(4), 0, col, row})], turned[other.home({image(4), 0, col, row})]);
}

TEST(EvenedRendezvous, TheOrderBeginsAtHomeAndNamesEachOnce) {
  const Grid grid = grid_of(13, 7);
  const Rendezvous placed = Rendezvous(some_servers(6)).evened(image(5), grid);
  for (std::uint32_t row = 0; row < 7; ++row) {
    for (std::uint32_t col = 0; col < 13; ++col) {
      const TileKey key{image(5), 0, col, row};
      auto order = placed.order(key);
      EXPECT_EQ(order.front(), placed.home(key));
      std::sort(order.begin(), order.end());
      EXPECT_THAT(order, testing::ElementsAre(0, 1, 2, 3, 4, 5));
    }
  }
}

TEST(EvenedRendezvous, AServerThatJoinsALargeImageMovesLittleElse) {
  const auto ids = some_servers(9);
  const Grid grid = grid_of(400, 400);
  const Rendezvous before =
      Rendezvous(std::span<const wire::native::Id>(ids).first(8)).evened(image(3), grid);
  const Rendezvous after = Rendezvous(ids).evened(image(3), grid);
  std::size_t moved = 0, all = 0;
  for (std::uint32_t row = 0; row < 400; row += 5)
    for (std::uint32_t col = 0; col < 400; col += 5, ++all)
      moved += before.home({image(3), 0, col, row}) != after.home({image(3), 0, col, row});
  EXPECT_NEAR(static_cast<double>(moved), static_cast<double>(all) / 9, static_cast<double>(all) * 0.06);
}

TEST(RingOrder, BeginsAtTheFirst) { EXPECT_THAT(ring_order(2, 4), testing::ElementsAre(2, 3, 0, 1)); }

}  // namespace
}  // namespace smalti::client
