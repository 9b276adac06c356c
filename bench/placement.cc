// Where the tiles of a huge image go, by simulation: how even, how near each other, and what moves when a
// server is lost or added. No network, no pixels; everything follows from the seed. usage: placement [SEED]
// [IMAGES]
#include "client/placement.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

namespace {

using smalti::Extent;
using smalti::Grid;
using smalti::ImageId;
using smalti::TileKey;
using smalti::client::Rendezvous;
using Ids = std::vector<smalti::wire::native::Id>;

ImageId some_image(std::mt19937_64& random) {
  ImageId id;
  for (std::byte& b : id.raw) b = static_cast<std::byte>(random());
  return id;
}

Ids some_servers(std::size_t count, std::mt19937_64& random) {
  Ids ids(count);
  for (auto& id : ids)
    for (auto& b : id) b = static_cast<std::byte>(random());
  return ids;
}

Grid grid_of(std::uint32_t cols, std::uint32_t rows) {
  return Grid({{cols * 16, rows * 16}, {smalti::Sample::u8, 3, 0}, {16, 16}});
}

// The home of every tile, by index.
std::vector<std::uint16_t> homes_of(const Rendezvous& placed, const ImageId& image, const Grid& grid) {
  std::vector<std::uint16_t> homes(grid.tiles());
  std::size_t at = 0;
  for (std::uint32_t row = 0; row < grid.rows(); ++row)
    for (std::uint32_t col = 0; col < grid.cols(); ++col)
      homes[at++] = static_cast<std::uint16_t>(placed.home({image, 0, col, row}));
  return homes;
}

struct Figures {
  double fullest = 0;     // of the mean
  double together = 0;    // pairs of neighbours on one server, of all pairs
  double moved_lost = 0;  // tiles of others that moved when a server was lost
  double moved_join = 0;  // tiles that moved when one joined, of 1 / (N + 1) of all
  double seconds = 0;     // to place an image
};

double together(const std::vector<std::uint16_t>& homes, const Grid& grid) {
  std::uint64_t pairs = 0, same = 0;
  for (std::size_t at = 0; at < homes.size(); ++at) {
    if (at % grid.cols() + 1 < grid.cols()) ++pairs, same += homes[at] == homes[at + 1];
    if (at + grid.cols() < homes.size()) ++pairs, same += homes[at] == homes[at + grid.cols()];
  }
  return static_cast<double>(same) / static_cast<double>(pairs);
}

// A tile goes to the first in its order that is not lost. Whoever had another home must stay there.
double moved_by_loss(const Rendezvous& placed, const ImageId& image, const Grid& grid,
                     const std::vector<std::uint16_t>& homes, std::uint32_t lost) {
  std::uint64_t others = 0;
  constexpr std::uint32_t step = 7;  // a sample, since an order sorts all servers
  for (std::uint32_t row = 0; row < grid.rows(); row += step * 5)
    for (std::uint32_t col = 0; col < grid.cols(); col += step) {
      const auto order = placed.order({image, 0, col, row});
      const std::uint32_t now = order[0] == lost ? order[1] : order[0];
      const std::uint16_t before = homes[std::size_t{row} * grid.cols() + col];
      others += before != lost && now != before;
    }
  return static_cast<double>(others);
}

Figures place(const Ids& all, const Grid& grid, const ImageId& image, bool moves) {
  const std::size_t servers = all.size() - 1;  // the last joins later
  Figures out;
  const auto from = std::chrono::steady_clock::now();
  const Rendezvous placed = Rendezvous(std::span(all).first(servers)).evened(image, grid);
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - from).count();
  const auto homes = homes_of(placed, image, grid);
  std::vector<std::uint64_t> loads(servers);
  for (const std::uint16_t home : homes) ++loads[home];
  const double mean = static_cast<double>(homes.size()) / static_cast<double>(servers);
  out.fullest = static_cast<double>(*std::max_element(loads.begin(), loads.end())) / mean;
  out.together = together(homes, grid);
  if (!moves) return out;
  out.moved_lost = moved_by_loss(placed, image, grid, homes, static_cast<std::uint32_t>(servers / 2));
  const auto after = homes_of(Rendezvous(all).evened(image, grid), image, grid);
  std::uint64_t moved = 0;
  for (std::size_t i = 0; i < homes.size(); ++i) moved += homes[i] != after[i];
  out.moved_join =
      static_cast<double>(moved) / static_cast<double>(homes.size()) * static_cast<double>(all.size());
  return out;
}

int huge(std::mt19937_64& random, int images) {
  std::printf("\n10 million tiles (4000x2500), worst of %d images\n", images);
  std::printf("%8s %18s %18s %22s %26s %12s\n", "servers", "fullest over mean", "pairs together",
              "others moved by loss", "moved by joining x (N+1)", "s an image");
  int missed = 0;
  for (const auto& [servers, most] : {std::pair<std::size_t, double>{16, 1.02}, {100, 1.06}, {1000, 1.20}}) {
    Figures worst{0, 1, 0, 0, 0};
    for (int i = 0; i < images; ++i) {
      const Figures f =
          place(some_servers(servers + 1, random), grid_of(4000, 2500), some_image(random), true);
      worst = {std::max(worst.fullest, f.fullest), std::min(worst.together, f.together),
               std::max(worst.moved_lost, f.moved_lost), std::max(worst.moved_join, f.moved_join),
               std::max(worst.seconds, f.seconds)};
    }
    const bool met =
        worst.fullest <= most && worst.together >= 0.8 && worst.moved_lost == 0 && worst.moved_join < 1.25;
    missed += !met;
    std::printf("%8zu %10.1f%% <= %2.0f%% %9.2f%% >= 80%% %22.0f %26.3f %12.2f  %s\n", servers,
                (worst.fullest - 1) * 100, (most - 1) * 100, worst.together * 100, worst.moved_lost,
                worst.moved_join, worst.seconds, met ? "met" : "MISSED");
  }
  return missed;
}

void small(std::mt19937_64& random) {
  std::printf(
      "\nSmaller images: the fullest server over the mean, worst of 50 images; by rank alone in brackets\n");
  std::printf("%12s %18s %18s %18s\n", "tiles", "2 servers", "4 servers", "16 servers");
  for (const auto& [cols, rows] : {std::pair{10u, 15u}, {24u, 32u}, {104u, 141u}, {400u, 400u}}) {
    std::printf("%5ux%-6u", cols, rows);
    for (const std::size_t servers : {2u, 4u, 16u}) {
      double evened = 0, ranked = 0;
      for (int i = 0; i < 50; ++i) {
        const Ids all = some_servers(servers + 1, random);
        const ImageId image = some_image(random);
        const Grid grid = grid_of(cols, rows);
        evened = std::max(evened, place(all, grid, image, false).fullest);
        std::vector<std::uint64_t> loads(servers);
        for (const auto home : homes_of(Rendezvous(std::span(all).first(servers)), image, grid))
          ++loads[home];
        ranked = std::max(ranked, static_cast<double>(*std::max_element(loads.begin(), loads.end())) *
                                      static_cast<double>(servers) / static_cast<double>(grid.tiles()));
      }
      std::printf("  %6.1f%% (%5.1f%%)", (evened - 1) * 100, (ranked - 1) * 100);
    }
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const unsigned long seed = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1;
  const int images = argc > 2 ? std::atoi(argv[2]) : 3;
  std::mt19937_64 random(seed);
  std::printf("seed %lu\n", seed);
  const int missed = huge(random, images);
  small(random);
  return missed == 0 ? 0 : 1;
}
