#include "cache/read_order.h"

#include <algorithm>

namespace smalti::cache {

namespace {

// Saturating, for coordinates of tiles.
std::uint32_t less(std::uint32_t a, std::uint32_t b) noexcept { return a > b ? a - b : 0; }
std::uint32_t rows_of(const Grid::Span& s) noexcept { return s.row1 - s.row0; }
std::uint32_t cols_of(const Grid::Span& s) noexcept { return s.col1 - s.col0; }

bool adjoins(const Grid::Span& a, const Grid::Span& b) noexcept {
  return b.row0 <= a.row1 && b.row1 >= a.row0 && b.col0 <= a.col1 && b.col1 >= a.col0;
}

}  // namespace

// The very first strip tells where a full-width (full-height) reader will go: away from the border it starts
// at.
ReadOrder::Way ReadOrder::first_guess(const Grid::Span& read) const noexcept {
  const bool full_width = read.col0 == 0 && read.col1 == cols_;
  const bool full_height = read.row0 == 0 && read.row1 == rows_;
  if (full_width && full_height) return Way::unknown;
  if (full_width && read.row0 == 0) return Way::down;
  if (full_width && read.row1 == rows_) return Way::up;
  if (full_height && read.col0 == 0) return Way::right;
  if (full_height && read.col1 == cols_) return Way::left;
  return Way::unknown;
}

Grid::Span ReadOrder::start(const Grid::Span& read) {
  box_ = read;
  stray_ = {};
  way_ = first_guess(read);
  return beyond(read);
}

// A read far from the front starts a new pass. Threads overtake each other by a few strips: those do not.
bool ReadOrder::strays(const Grid::Span& read) const noexcept {
  const std::uint32_t high = 2 + 2 * rows_of(read);
  const std::uint32_t wide = 2 + 2 * cols_of(read);
  switch (way_) {
    case Way::down:
      return read.row1 + high < box_.row1 || read.row0 > box_.row1 + high;
    case Way::up:
      return read.row0 > box_.row0 + high || read.row1 < less(box_.row0, high);
    case Way::right:
      return read.col1 + wide < box_.col1 || read.col0 > box_.col1 + wide;
    case Way::left:
      return read.col0 > box_.col0 + wide || read.col1 < less(box_.col0, wide);
    case Way::unknown:
      break;
  }
  return !adjoins(box_, read);
}

Grid::Span ReadOrder::beyond(const Grid::Span& read) const noexcept {
  Grid::Span next = box_;
  // As much as a read needs anew, since strips straddle two rows. Or enough to be worth a trip, where the box
  // is but a few tiles wide (high).
  const auto depth = [](std::uint32_t of_read, std::uint32_t across) {
    return std::max({1u, less(of_read, 1), (4 + across - 1) / across});
  };
  switch (way_) {
    case Way::down:
      next.row0 = box_.row1;
      next.row1 = std::min(rows_, box_.row1 + depth(rows_of(read), cols_of(box_)));
      break;
    case Way::up:
      next.row1 = box_.row0;
      next.row0 = less(box_.row0, depth(rows_of(read), cols_of(box_)));
      break;
    case Way::right:
      next.col0 = box_.col1;
      next.col1 = std::min(cols_, box_.col1 + depth(cols_of(read), rows_of(box_)));
      break;
    case Way::left:
      next.col1 = box_.col0;
      next.col0 = less(box_.col0, depth(cols_of(read), rows_of(box_)));
      break;
    case Way::unknown:
      return {};
  }
  return next;
}

bool ReadOrder::reached(std::uint32_t col, std::uint32_t row) {
  const std::lock_guard lock(mutex_);
  return col >= box_.col0 && col < box_.col1 && row >= box_.row0 && row < box_.row1;
}

Front ReadOrder::front() {
  const std::lock_guard lock(mutex_);
  switch (way_) {
    case Way::down:
      return {Front::Axis::rows, box_.row1, cols_};
    case Way::up:
      return {Front::Axis::rows, box_.row0, cols_};
    case Way::right:
      return {Front::Axis::cols, box_.col1, cols_};
    case Way::left:
      return {Front::Axis::cols, box_.col0, cols_};
    case Way::unknown:
      break;
  }
  return {};
}

Grid::Span ReadOrder::note(const Grid::Span& read) {
  if (read.empty()) return {};
  const std::lock_guard lock(mutex_);
  if (box_.empty()) return start(read);
  if (strays(read)) {
    // A thread that was left far behind strays once; a new pass goes on from there.
    const bool goes_on = !stray_.empty() && adjoins(stray_, read);
    stray_ = read;
    return goes_on ? start(read) : Grid::Span{};
  }
  stray_ = {};
  const Grid::Span before = box_;
  box_ = {std::min(box_.col0, read.col0), std::min(box_.row0, read.row0), std::max(box_.col1, read.col1),
          std::max(box_.row1, read.row1)};
  if (box_.row1 > before.row1)
    way_ = Way::down;
  else if (box_.row0 < before.row0)
    way_ = Way::up;
  else if (box_.col1 > before.col1)
    way_ = Way::right;
  else if (box_.col0 < before.col0)
    way_ = Way::left;
  else
    return {};
  return beyond(read);
}

}  // namespace smalti::cache
