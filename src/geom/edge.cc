#include "smalti/geom/edge.h"

#include <algorithm>

namespace smalti {

namespace {

struct Split {
  std::int64_t quotient = 0;
  std::int64_t remainder = 0;  // 0 .. size-1, also for negative coordinates
};

Split split(std::int64_t at, std::int64_t size) noexcept {
  Split out{at / size, at % size};
  if (out.remainder < 0) {
    out.remainder += size;
    out.quotient -= 1;
  }
  return out;
}

bool odd(std::int64_t n) noexcept { return (n & 1) != 0; }
bool outside(std::int64_t at, std::int64_t size) noexcept { return at < 0 || at >= size; }
std::int64_t clamp(std::int64_t at, std::int64_t size) noexcept {
  return std::clamp<std::int64_t>(at, 0, size - 1);
}
std::int64_t repeat(std::int64_t at, std::int64_t size) noexcept { return split(at, size).remainder; }

std::int64_t reflect(std::int64_t at, std::int64_t size) noexcept {
  const Split s = split(at, size);
  return odd(s.quotient) ? size - 1 - s.remainder : s.remainder;
}

// Up to 32 pixels before and 31 behind, by the first row of the 8x8 ordered-dither table.
std::int64_t dither(std::int64_t at, std::int64_t size) noexcept {
  static constexpr std::int64_t table[8] = {0, 48, 12, 60, 3, 51, 15, 63};
  const std::int64_t near = std::clamp<std::int64_t>(at, -64, size + 64);  // so that nothing overflows
  return clamp(near + table[at & 7] - 32, size);
}

std::uint64_t scramble(std::uint64_t n) noexcept {
  n += 0x9e3779b97f4a7c15;
  n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9;
  n = (n ^ (n >> 27)) * 0x94d049bb133111eb;
  return n ^ (n >> 31);
}

From any_pixel(std::int64_t x, std::int64_t y, Extent image, std::uint64_t seed) noexcept {
  const std::uint64_t dice =
      scramble(scramble(scramble(seed) ^ static_cast<std::uint64_t>(x)) ^ static_cast<std::uint64_t>(y));
  const std::uint64_t pick = dice % image.area();
  return {static_cast<std::int64_t>(pick % image.w), static_cast<std::int64_t>(pick / image.w)};
}

constexpr From fill_colour{0, 0, true};

}  // namespace

From resolve(Edge edge, std::int64_t x, std::int64_t y, Extent image, std::uint64_t seed) noexcept {
  const std::int64_t w = image.w;
  const std::int64_t h = image.h;
  const bool beside = outside(x, w);
  const bool above = outside(y, h);
  if (!beside && !above) return {x, y};
  switch (edge) {
    case Edge::edge:
      return {clamp(x, w), clamp(y, h)};
    case Edge::mirror:
      return {reflect(x, w), reflect(y, h)};
    case Edge::tile:
      return {repeat(x, w), repeat(y, h)};
    case Edge::fill:
      return fill_colour;
    case Edge::checker_tile:
      if (odd(split(x, w).quotient) != odd(split(y, h).quotient)) return fill_colour;
      return {repeat(x, w), repeat(y, h)};
    case Edge::dither:
      return {dither(x, w), dither(y, h)};
    case Edge::random:
      return any_pixel(x, y, image, seed);
    case Edge::horizontal_tile:
      return above ? fill_colour : From{repeat(x, w), y};
    case Edge::vertical_tile:
      return beside ? fill_colour : From{x, repeat(y, h)};
    case Edge::horizontal_tile_edge:
      return {repeat(x, w), clamp(y, h)};
    case Edge::vertical_tile_edge:
      return {clamp(x, w), repeat(y, h)};
  }
  return fill_colour;
}

EdgeRuns::Rule EdgeRuns::rule_of(Edge edge, Axis axis) noexcept {
  const bool x = axis == Axis::x;
  switch (edge) {
    case Edge::edge:
      return Rule::clamp;
    case Edge::mirror:
      return Rule::reflect;
    case Edge::tile:
    case Edge::checker_tile:
      return Rule::repeat;
    case Edge::fill:
    case Edge::dither:
    case Edge::random:
      return Rule::plain;
    case Edge::horizontal_tile:
      return x ? Rule::repeat : Rule::plain;
    case Edge::vertical_tile:
      return x ? Rule::plain : Rule::repeat;
    case Edge::horizontal_tile_edge:
      return x ? Rule::repeat : Rule::clamp;
    case Edge::vertical_tile_edge:
      return x ? Rule::clamp : Rule::repeat;
  }
  return Rule::plain;
}

EdgeRuns::EdgeRuns(Edge edge, Axis axis, std::int64_t at, std::uint32_t length, std::uint32_t size) noexcept
    : rule_(rule_of(edge, axis)),
      says_fill_(rule_ == Rule::plain && edge != Edge::dither && edge != Edge::random),
      checkered_(edge == Edge::checker_tile),
      at_(at),
      left_(length),
      size_(size) {}

std::optional<EdgeRun> EdgeRuns::next() noexcept {
  if (left_ == 0) return std::nullopt;
  const auto up_to = [this](std::int64_t most) {
    return static_cast<std::uint32_t>(std::min<std::int64_t>(left_, most));
  };
  EdgeRun run{at_, left_, at_, 1, outside(at_, size_), false};
  if (!run.outside) {
    run.length = up_to(size_ - at_);
  } else if (rule_ == Rule::repeat || rule_ == Rule::reflect) {
    const Split s = split(at_, size_);
    const bool back = rule_ == Rule::reflect && odd(s.quotient);
    run.from = back ? size_ - 1 - s.remainder : s.remainder;
    run.step = back ? -1 : 1;
    run.fill = checkered_ && odd(s.quotient);
    run.length = up_to(size_ - s.remainder);
    if (size_ == 1 && !checkered_) {  // one pixel repeated is one run, not one a pixel
      run.step = 0;
      run.length = at_ < 0 ? up_to(-at_) : left_;
    }
  } else {
    run.from = at_ < 0 ? 0 : size_ - 1;
    run.step = 0;
    run.fill = says_fill_;
    run.length = at_ < 0 ? up_to(-at_) : left_;
  }
  at_ += run.length;
  left_ -= run.length;
  return run;
}

EdgeCell cell_of(Edge edge, const EdgeRun& x, const EdgeRun& y) noexcept {
  const auto first = [](const EdgeRun& run) { return run.step < 0 ? run.from - run.length + 1 : run.from; };
  const auto wide = [](const EdgeRun& run) { return run.step == 0 ? 1u : run.length; };
  EdgeCell cell;
  cell.to = {x.at, y.at, {x.length, y.length}};
  cell.from = {first(x), first(y), {wide(x), wide(y)}};
  cell.step_x = x.step;
  cell.step_y = y.step;
  if (!x.outside && !y.outside) return cell;
  if (edge == Edge::dither || edge == Edge::random) {
    cell.kind = EdgeCell::Kind::scattered;
  } else if (edge == Edge::checker_tile ? x.fill != y.fill : x.fill || y.fill) {
    cell.kind = EdgeCell::Kind::fill;
  }
  return cell;
}

}  // namespace smalti
