// ReadOrder: guesses from the reads so far which tiles are wanted next.
#pragma once

#include <mutex>

#include "cache/window.h"
#include "smalti/tile/grid.h"

namespace smalti::cache {

// Readers go over an image in rows downward, in rows upward (-flip), or in columns (-rotate 90, 270), in
// strips or in small squares, from several threads that overtake each other by a little. All of these make
// one box of tiles that grows at one side, its front: when the front moves, what lies before it is wanted
// next. Thread-safe.
class ReadOrder {
 public:
  explicit ReadOrder(const Grid& grid) noexcept : cols_(grid.cols()), rows_(grid.rows()) {}

  // Takes note of a read; returns the tiles to fetch ahead, or none. Names each row (column) of tiles once a
  // pass.
  Grid::Span note(const Grid::Span& read);
  Front front();
  // True when this pass has reached that tile already: too late to read it ahead.
  bool reached(std::uint32_t col, std::uint32_t row);

 private:
  enum class Way : std::uint8_t { unknown, down, up, right, left };

  Grid::Span start(const Grid::Span&);
  Way first_guess(const Grid::Span&) const noexcept;
  bool strays(const Grid::Span&) const noexcept;
  Grid::Span beyond(const Grid::Span& read) const noexcept;

  const std::uint32_t cols_;
  const std::uint32_t rows_;
  std::mutex mutex_;
  Way way_ = Way::unknown;  // guarded by mutex_
  Grid::Span box_;          // guarded by mutex_
  Grid::Span stray_;        // guarded by mutex_; the last read, where it was far from the front
};

}  // namespace smalti::cache
