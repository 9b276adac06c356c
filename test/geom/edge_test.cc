// The tables hold what ImageMagick 6.9.11 answers (-virtual-pixel METHOD with a -distort SRT 0 viewport, and
// -fx p{x,y}).
#include "smalti/geom/edge.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace smalti {
namespace {

// An image of 5x3 pixels, a to o, and what surrounds it: x from -8 to 12, y from -5 to 7; '.' is the
// background.
constexpr Extent small{5, 3};
constexpr std::int64_t left = -8, top = -5;

struct Surroundings {
  Edge edge;
  std::vector<std::string> rows;
};

const std::vector<Surroundings> measured = {
    {Edge::edge,
     {"aaaaaaaaabcdeeeeeeeee", "aaaaaaaaabcdeeeeeeeee", "aaaaaaaaabcdeeeeeeeee", "aaaaaaaaabcdeeeeeeeee",
      "aaaaaaaaabcdeeeeeeeee", "aaaaaaaaabcdeeeeeeeee", "fffffffffghijjjjjjjjj", "kkkkkkkkklmnooooooooo",
      "kkkkkkkkklmnooooooooo", "kkkkkkkkklmnooooooooo", "kkkkkkkkklmnooooooooo", "kkkkkkkkklmnooooooooo",
      "kkkkkkkkklmnooooooooo"}},
    {Edge::mirror,
     {"hijjihgffghijjihgffgh", "mnoonmlkklmnoonmlkklm", "mnoonmlkklmnoonmlkklm", "hijjihgffghijjihgffgh",
      "cdeedcbaabcdeedcbaabc", "cdeedcbaabcdeedcbaabc", "hijjihgffghijjihgffgh", "mnoonmlkklmnoonmlkklm",
      "mnoonmlkklmnoonmlkklm", "hijjihgffghijjihgffgh", "cdeedcbaabcdeedcbaabc", "cdeedcbaabcdeedcbaabc",
      "hijjihgffghijjihgffgh"}},
    {Edge::tile,
     {"hijfghijfghijfghijfgh", "mnoklmnoklmnoklmnoklm", "cdeabcdeabcdeabcdeabc", "hijfghijfghijfghijfgh",
      "mnoklmnoklmnoklmnoklm", "cdeabcdeabcdeabcdeabc", "hijfghijfghijfghijfgh", "mnoklmnoklmnoklmnoklm",
      "cdeabcdeabcdeabcdeabc", "hijfghijfghijfghijfgh", "mnoklmnoklmnoklmnoklm", "cdeabcdeabcdeabcdeabc",
      "hijfghijfghijfghijfgh"}},
    {Edge::fill,
     {".....................", ".....................", ".....................", ".....................",
      ".....................", "........abcde........", "........fghij........", "........klmno........",
      ".....................", ".....................", ".....................", ".....................",
      "....................."}},
    {Edge::checker_tile,
     {"hij.....fghij.....fgh", "mno.....klmno.....klm", "...abcde.....abcde...", "...fghij.....fghij...",
      "...klmno.....klmno...", "cde.....abcde.....abc", "hij.....fghij.....fgh", "mno.....klmno.....klm",
      "...abcde.....abcde...", "...fghij.....fghij...", "...klmno.....klmno...", "cde.....abcde.....abc",
      "hij.....fghij.....fgh"}},
    {Edge::horizontal_tile,
     {".....................", ".....................", ".....................", ".....................",
      ".....................", "cdeabcdeabcdeabcdeabc", "hijfghijfghijfghijfgh", "mnoklmnoklmnoklmnoklm",
      ".....................", ".....................", ".....................", ".....................",
      "....................."}},
    {Edge::vertical_tile,
     {"........fghij........", "........klmno........", "........abcde........", "........fghij........",
      "........klmno........", "........abcde........", "........fghij........", "........klmno........",
      "........abcde........", "........fghij........", "........klmno........", "........abcde........",
      "........fghij........"}},
    {Edge::horizontal_tile_edge,
     {"cdeabcdeabcdeabcdeabc", "cdeabcdeabcdeabcdeabc", "cdeabcdeabcdeabcdeabc", "cdeabcdeabcdeabcdeabc",
      "cdeabcdeabcdeabcdeabc", "cdeabcdeabcdeabcdeabc", "hijfghijfghijfghijfgh", "mnoklmnoklmnoklmnoklm",
      "mnoklmnoklmnoklmnoklm", "mnoklmnoklmnoklmnoklm", "mnoklmnoklmnoklmnoklm", "mnoklmnoklmnoklmnoklm",
      "mnoklmnoklmnoklmnoklm"}},
    {Edge::vertical_tile_edge,
     {"fffffffffghijjjjjjjjj", "kkkkkkkkklmnooooooooo", "aaaaaaaaabcdeeeeeeeee", "fffffffffghijjjjjjjjj",
      "kkkkkkkkklmnooooooooo", "aaaaaaaaabcdeeeeeeeee", "fffffffffghijjjjjjjjj", "kkkkkkkkklmnooooooooo",
      "aaaaaaaaabcdeeeeeeeee", "fffffffffghijjjjjjjjj", "kkkkkkkkklmnooooooooo", "aaaaaaaaabcdeeeeeeeee",
      "fffffffffghijjjjjjjjj"}},
};

char letter(const From& from) {
  if (from.fill) return '.';
  return static_cast<char>('a' + from.y * small.w + from.x);
}

TEST(Resolve, AnswersAsImageMagickDoes) {
  for (const Surroundings& around : measured) {
    for (std::size_t j = 0; j < around.rows.size(); ++j) {
      std::string row;
      for (std::size_t i = 0; i < around.rows[j].size(); ++i)
        row += letter(resolve(around.edge, left + static_cast<std::int64_t>(i),
                              top + static_cast<std::int64_t>(j), small, 0));
      EXPECT_EQ(row, around.rows[j]) << "method " << static_cast<int>(around.edge) << ", y "
                                     << top + static_cast<int>(j);
    }
  }
}

// The source column (row) of a 60x50 image for coordinates from `first` on, measured beside the image.
TEST(Resolve, DithersAsImageMagickDoes) {
  constexpr Extent image{60, 50};
  const auto columns = [&](std::int64_t first, std::size_t n) {
    std::vector<std::int64_t> got;
    for (std::size_t i = 0; i < n; ++i)
      got.push_back(resolve(Edge::dither, first + static_cast<std::int64_t>(i), -1, image, 0).x);
    return got;
  };
  const auto rows = [&](std::int64_t first, std::size_t n) {
    std::vector<std::int64_t> got;
    for (std::size_t i = 0; i < n; ++i)
      got.push_back(resolve(Edge::dither, -1, first + static_cast<std::int64_t>(i), image, 0).y);
    return got;
  };
  using Coordinates = std::vector<std::int64_t>;
  EXPECT_EQ(columns(-26, 2), (Coordinates{0, 6}));
  EXPECT_EQ(columns(-8, 16), (Coordinates{0, 9, 0, 23, 0, 16, 0, 30, 0, 17, 0, 31, 0, 24, 0, 38}));
  EXPECT_EQ(columns(24, 16), (Coordinates{0, 41, 6, 55, 0, 48, 13, 59, 0, 49, 14, 59, 7, 56, 21, 59}));
  EXPECT_EQ(columns(56, 16), (Coordinates{24, 59, 38, 59, 31, 59, 45, 59, 32, 59, 46, 59, 39, 59, 53, 59}));
  EXPECT_EQ(rows(-8, 16), (Coordinates{0, 9, 0, 23, 0, 16, 0, 30, 0, 17, 0, 31, 0, 24, 0, 38}));
  EXPECT_EQ(rows(24, 8), (Coordinates{0, 41, 6, 49, 0, 48, 13, 49}));
}

TEST(Resolve, RandomStaysInsideAndRepeatsWithItsSeed) {
  constexpr Extent image{7, 4};
  bool differs = false;
  for (std::int64_t x = -40; x < 0; ++x) {
    const From from = resolve(Edge::random, x, 2, image, 11);
    EXPECT_FALSE(from.fill);
    EXPECT_TRUE((Rect{from.x, from.y, {1, 1}}.inside(image)));
    EXPECT_EQ(from, resolve(Edge::random, x, 2, image, 11));
    differs |= from != resolve(Edge::random, x, 2, image, 12);
  }
  EXPECT_TRUE(differs);
}

TEST(Resolve, HoldsFarAway) {
  constexpr std::int64_t far = std::int64_t{1} << 62;
  for (unsigned kind = 0; kind < edge_kinds; ++kind) {
    for (const std::int64_t at : {far, -far, std::int64_t{-1} - far}) {
      const From from = resolve(static_cast<Edge>(kind), at, at, small, 3);
      EXPECT_TRUE(from.fill || (Rect{from.x, from.y, {1, 1}}.inside(small)));
    }
  }
}

// Runs and cells say the same as resolve() does, pixel by pixel.
void expect_cells_agree(Edge edge, Rect rect, Extent image) {
  std::uint64_t covered = 0;
  EdgeRuns down(edge, EdgeRuns::Axis::y, rect.y, rect.size.h, image.h);
  while (const auto y = down.next()) {
    EdgeRuns along(edge, EdgeRuns::Axis::x, rect.x, rect.size.w, image.w);
    while (const auto x = along.next()) {
      const EdgeCell cell = cell_of(edge, *x, *y);
      covered += cell.to.size.area();
      ASSERT_TRUE(rect.holds(cell.to));
      for (std::uint32_t j = 0; j < cell.to.size.h; ++j) {
        for (std::uint32_t i = 0; i < cell.to.size.w; ++i) {
          const From want = resolve(edge, cell.to.x + i, cell.to.y + j, image, 0);
          if (cell.kind == EdgeCell::Kind::scattered) continue;
          ASSERT_EQ(cell.kind == EdgeCell::Kind::fill, want.fill) << cell.to.x + i << "," << cell.to.y + j;
          if (want.fill) continue;
          const From got{x->from + std::int64_t{i} * x->step, y->from + std::int64_t{j} * y->step};
          ASSERT_EQ(got, want) << cell.to.x + i << "," << cell.to.y + j;
          ASSERT_TRUE(cell.from.holds({got.x, got.y, {1, 1}}));
        }
      }
    }
  }
  EXPECT_EQ(covered, rect.size.area());
}

TEST(EdgeCells, AgreeWithResolve) {
  for (unsigned kind = 0; kind < edge_kinds; ++kind) {
    for (const Extent image : {Extent{5, 3}, Extent{1, 4}, Extent{4, 1}, Extent{1, 1}}) {
      const Edge edge = static_cast<Edge>(kind);
      SCOPED_TRACE(testing::Message() << "method " << kind << " of " << image.w << "x" << image.h);
      expect_cells_agree(edge, {-13, -9, {31, 22}}, image);
      expect_cells_agree(edge, {1, -2, {2, 3}}, image);
      expect_cells_agree(edge, {7, 9, {9, 1}}, image);
      expect_cells_agree(edge, {0, 0, image}, image);
    }
  }
}

TEST(EdgeCells, ARectangleOverACornerIsFourCells) {
  EdgeRuns along(Edge::edge, EdgeRuns::Axis::x, -5, 100, 60);
  ASSERT_TRUE(along.next());
  const auto inside = along.next();
  ASSERT_TRUE(inside);
  EXPECT_EQ(inside->at, 0);
  EXPECT_EQ(inside->length, 60u);
  const auto beyond = along.next();
  ASSERT_TRUE(beyond);
  EXPECT_EQ(beyond->length, 35u);
  EXPECT_EQ(beyond->step, 0);
  EXPECT_FALSE(along.next());
}

}  // namespace
}  // namespace smalti
