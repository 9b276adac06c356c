#include "cache/place.h"

namespace smalti::cache {

namespace {

// A stretch of an axis: where it goes, and the source coordinate of its first place.
struct Stretch {
  std::int64_t to = 0;
  std::uint32_t length = 0;
  std::int64_t from = 0;
};

// The places of an axis whose source lies in part .. part + part_length.
Stretch stretch_of(std::int64_t to, std::uint32_t to_length, std::int64_t from, std::uint32_t from_length,
                   int step, std::int64_t part, std::uint32_t part_length) noexcept {
  if (step == 0) return {to, to_length, from};
  if (step > 0) return {to + (part - from), part_length, part};
  const std::int64_t last = from + from_length - 1;  // the source of the first place
  const std::int64_t part_last = part + part_length - 1;
  return {to + (last - part_last), part_length, part_last};
}

}  // namespace

void place(const EdgeCell& cell, const Source& s, const Rect& rect, MutablePixels into) noexcept {
  const Stretch x = stretch_of(cell.to.x, cell.to.size.w, cell.from.x, cell.from.size.w, cell.step_x,
                               s.part.x, s.part.size.w);
  const Stretch y = stretch_of(cell.to.y, cell.to.size.h, cell.from.y, cell.from.size.h, cell.step_y,
                               s.part.y, s.part.size.h);
  const MutablePixels target = into.crop({x.to - rect.x, y.to - rect.y, {x.length, y.length}});
  if (!s.source.data) return fill_pixels(target, s.blank);
  if (cell.step_x == 1 && cell.step_y == 1)
    return copy_pixels(s.source.crop({s.part.x - s.tile.x, s.part.y - s.tile.y, s.part.size}), target);
  const std::size_t bytes = into.format.pixel_bytes();
  const auto column = static_cast<std::uint32_t>(x.from - s.tile.x);
  for (std::uint32_t j = 0; j < y.length; ++j) {
    const auto row = static_cast<std::uint32_t>(y.from + std::int64_t{j} * cell.step_y - s.tile.y);
    copy_run(s.source.at(column, row), cell.step_x, target.at(0, j), x.length, bytes);
  }
}

CutCell cut_at_row(const EdgeCell& cell, std::int64_t row) noexcept {
  CutCell cut{cell, cell};
  const auto high = static_cast<std::uint32_t>(row - cell.from.y);
  const std::uint32_t rest = cell.from.size.h - high;
  cut.before.from.size.h = cut.before.to.size.h = high;
  cut.after.from.size.h = cut.after.to.size.h = rest;
  cut.after.from.y = row;
  if (cell.step_y > 0)
    cut.after.to.y = cell.to.y + high;
  else
    cut.before.to.y = cell.to.y + rest;
  return cut;
}

}  // namespace smalti::cache
