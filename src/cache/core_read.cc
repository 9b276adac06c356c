#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "cache/core.h"
#include "cache/place.h"

namespace smalti {

using cache::Piece;

namespace {

constexpr std::size_t most_cells = 4096;      // gathered before they are read together
constexpr std::size_t most_spots = 1u << 16;  // scattered pixels sorted together

}  // namespace

// One read under way: cuts the rectangle into cells, and reads as many of them together as the working set
// allows, so that what they lack comes in one batch.
class PixelCache::Core::Reading {
 public:
  Reading(Core& core, const Call& call, Rect rect, MutablePixels into, const Outside& outside)
      : core_(core),
        call_(call),
        rect_(rect),
        into_(into),
        outside_(outside),
        batch_bytes_(std::max<std::uint64_t>(core.set.bound() - core.set.guess_share(), 1)) {}

  Result<void> run();

 private:
  struct Spot {
    std::uint64_t index;  // Grid::index
    std::uint32_t x, y;   // in the tile
    std::byte* to;
  };

  Result<void> add(EdgeCell);
  Result<void> flush();
  std::vector<Piece> pieces_of_cells() const;
  void copy(const EdgeCell&, const std::vector<Piece>&);
  Result<void> scatter(const EdgeCell&);
  Result<void> copy_spots(std::vector<Spot>&);

  Core& core_;
  const Call& call_;
  const Rect rect_;
  const MutablePixels into_;
  const Outside& outside_;
  const std::uint64_t batch_bytes_;
  std::vector<EdgeCell> cells_;
  std::uint64_t cell_bytes_ = 0;  // of the tiles they touch
};

Result<void> PixelCache::Core::Reading::run() {
  const Extent image = core_.spec.size;
  EdgeRuns down(outside_.edge, EdgeRuns::Axis::y, rect_.y, rect_.size.h, image.h);
  while (const auto y = down.next()) {
    EdgeRuns along(outside_.edge, EdgeRuns::Axis::x, rect_.x, rect_.size.w, image.w);
    while (const auto x = along.next()) SMALTI_CHECK(add(cell_of(outside_.edge, *x, *y)));
  }
  return flush();
}

Result<void> PixelCache::Core::Reading::add(EdgeCell cell) {
  if (cell.kind == EdgeCell::Kind::scattered) return scatter(cell);
  if (cell.kind == EdgeCell::Kind::fill) {
    fill_pixels(into_.crop({cell.to.x - rect_.x, cell.to.y - rect_.y, cell.to.size}), outside_.fill);
    return {};
  }
  while (true) {
    const Grid::Span span = core_.grid.span(cell.from);
    const std::uint64_t row_bytes = (span.col1 - span.col0) * core_.full_tile_bytes();
    const std::uint64_t rows = span.row1 - span.row0;
    const std::uint64_t rows_at_once = std::max<std::uint64_t>(1, batch_bytes_ / row_bytes);
    if (rows <= rows_at_once) {
      cells_.push_back(cell);
      cell_bytes_ += rows * row_bytes;
      return cell_bytes_ >= batch_bytes_ || cells_.size() >= most_cells ? flush() : Result<void>();
    }
    const auto cut =
        cache::cut_at_row(cell, static_cast<std::int64_t>((span.row0 + rows_at_once) * core_.spec.tile.h));
    SMALTI_CHECK(add(cut.before));
    cell = cut.after;
  }
}

std::vector<Piece> PixelCache::Core::Reading::pieces_of_cells() const {
  std::vector<Piece> pieces;
  for (const EdgeCell& cell : cells_) {
    const Grid::Span span = core_.grid.span(cell.from);
    pieces.reserve(pieces.size() + std::size_t{span.col1 - span.col0} * (span.row1 - span.row0));
    for (std::uint32_t row = span.row0; row < span.row1; ++row)
      for (std::uint32_t col = span.col0; col < span.col1; ++col)
        pieces.push_back({.index = std::uint64_t{row} * core_.grid.cols() + col,
                          .part = core_.grid.rect(col, row).meet(cell.from)});
  }
  if (cells_.size() == 1) return pieces;  // in order already
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) { return a.index < b.index; });
  std::size_t kept = 0;
  for (std::size_t i = 1; i < pieces.size(); ++i) {
    Piece& last = pieces[kept];
    const Rect& more = pieces[i].part;
    if (last.index != pieces[i].index) {
      pieces[++kept] = pieces[i];
    } else {
      const Rect both{std::min(last.part.x, more.x), std::min(last.part.y, more.y), {}};
      last.part = {both.x,
                   both.y,
                   {static_cast<std::uint32_t>(std::max(last.part.right(), more.right()) - both.x),
                    static_cast<std::uint32_t>(std::max(last.part.bottom(), more.bottom()) - both.y)}};
    }
  }
  pieces.resize(kept + 1);
  return pieces;
}

Result<void> PixelCache::Core::Reading::flush() {
  if (cells_.empty()) return {};
  cache::Pieces pieces{pieces_of_cells(), nullptr};
  SMALTI_CHECK(core_.acquire(call_, pieces, true));
  for (const EdgeCell& cell : cells_) copy(cell, pieces.items);
  cells_.clear();
  cell_bytes_ = 0;
  return {};
}

void PixelCache::Core::Reading::copy(const EdgeCell& cell, const std::vector<Piece>& pieces) {
  const Grid::Span span = core_.grid.span(cell.from);
  for (std::uint32_t row = span.row0; row < span.row1; ++row) {
    const std::uint64_t first = std::uint64_t{row} * core_.grid.cols() + span.col0;
    auto piece = std::lower_bound(pieces.begin(), pieces.end(), first,
                                  [](const Piece& p, std::uint64_t index) { return p.index < index; });
    for (std::uint32_t col = span.col0; col < span.col1; ++col, ++piece) {
      const Rect tile = core_.grid.rect(col, row);
      cache::Source source{tile, tile.meet(cell.from), piece->held().pixels(), core_.blank};
      if (!piece->draft) {
        place(cell, source, rect_, into_);
      } else {
        const std::lock_guard lock(piece->draft->mutex);
        source.source = piece->draft->now();
        place(cell, source, rect_, into_);
      }
    }
  }
}

Result<void> PixelCache::Core::Reading::scatter(const EdgeCell& cell) {
  std::vector<Spot> spots;
  const Extent tile = core_.spec.tile;
  for (std::uint32_t j = 0; j < cell.to.size.h; ++j) {
    for (std::uint32_t i = 0; i < cell.to.size.w; ++i) {
      const std::int64_t x = cell.to.x + i;
      const std::int64_t y = cell.to.y + j;
      const From from = resolve(outside_.edge, x, y, core_.spec.size, outside_.seed);
      const auto col = static_cast<std::uint32_t>(from.x / tile.w);
      const auto row = static_cast<std::uint32_t>(from.y / tile.h);
      spots.push_back(
          {std::uint64_t{row} * core_.grid.cols() + col, static_cast<std::uint32_t>(from.x % tile.w),
           static_cast<std::uint32_t>(from.y % tile.h),
           into_.at(static_cast<std::uint32_t>(x - rect_.x), static_cast<std::uint32_t>(y - rect_.y))});
      if (spots.size() == most_spots) SMALTI_CHECK(copy_spots(spots));
    }
  }
  return copy_spots(spots);
}

Result<void> PixelCache::Core::Reading::copy_spots(std::vector<Spot>& spots) {
  std::sort(spots.begin(), spots.end(), [](const Spot& a, const Spot& b) { return a.index < b.index; });
  const std::size_t tiles_at_once = std::max<std::uint64_t>(1, batch_bytes_ / core_.full_tile_bytes());
  const std::size_t bytes = core_.spec.format.pixel_bytes();
  for (auto spot = spots.begin(); spot != spots.end();) {
    cache::Pieces wanted;
    std::vector<Piece>& pieces = wanted.items;
    for (auto next = spot; next != spots.end(); ++next) {
      if (!pieces.empty() && pieces.back().index == next->index) continue;
      if (pieces.size() == tiles_at_once) break;
      pieces.push_back({.index = next->index, .part = core_.tile_rect(next->index)});
    }
    SMALTI_CHECK(core_.acquire(call_, wanted, false));
    for (const Piece& piece : pieces) {
      std::unique_lock<std::mutex> lock;
      if (piece.draft) lock = std::unique_lock(piece.draft->mutex);
      const Pixels from = piece.draft ? piece.draft->now() : piece.held().pixels();
      for (; spot != spots.end() && spot->index == piece.index; ++spot) {
        if (from.data)
          std::memcpy(spot->to, from.at(spot->x, spot->y), bytes);
        else if (core_.blank.empty())
          std::memset(spot->to, 0, bytes);
        else
          std::memcpy(spot->to, core_.blank.data(), bytes);
      }
    }
  }
  spots.clear();
  return {};
}

Result<void> PixelCache::Core::read(const Call& call, Rect rect, MutablePixels into, const Outside& outside) {
  if (into.size != rect.size || into.format != spec.format)
    return fail(Errc::invalid,
                fmt::format("image {}: a read of {}x{} pixels into a buffer of {}x{} pixels, or of another "
                            "format",
                            id.text(), rect.size.w, rect.size.h, into.size.w, into.size.h));
  if (!outside.fill.empty() && outside.fill.size() != spec.format.pixel_bytes())
    return fail(Errc::invalid, fmt::format("image {}: a fill colour of {} bytes where a pixel has {}",
                                           id.text(), outside.fill.size(), spec.format.pixel_bytes()));
  ++counts.reads;
  if (rect.empty()) return {};
  if (const Grid::Span span = grid.span(rect); !span.empty()) set.need(worth_keeping(rect, span));
  return Reading(*this, call, rect, into, outside).run();
}

// Strips share tiles with the strips beside them, and some three of them are being read at once: their rows
// (columns) of tiles, and those read ahead for the next. More than four tiles high, strips are hardly strips
// any more.
std::uint64_t PixelCache::Core::worth_keeping(Rect rect, const Grid::Span& span) const noexcept {
  const std::uint64_t wide = span.col1 - span.col0, high = span.row1 - span.row0;
  const bool rows = high <= wide;
  const std::uint64_t side = rows ? spec.tile.h : spec.tile.w;
  const std::uint64_t pixels = std::min<std::uint64_t>(rows ? rect.size.h : rect.size.w, 4 * side);
  const std::uint64_t in_use = (3 * pixels + side - 1) / side + 1;
  const std::uint64_t ahead = std::clamp<std::uint64_t>(std::min(wide, high) - 1, 1, 4);
  return (in_use + ahead) * std::max(wide, high) * full_tile_bytes();
}

Result<std::optional<Tile>> PixelCache::Core::view(const Call& call, Rect rect) {
  const Grid::Span span = grid.span(rect);
  if (span.empty() || !rect.inside(spec.size) || span.col1 - span.col0 != 1 || span.row1 - span.row0 != 1)
    return std::optional<Tile>();
  cache::Pieces pieces{{{.index = std::uint64_t{span.row0} * grid.cols() + span.col0, .part = rect}},
                       nullptr};
  ++counts.reads;
  SMALTI_CHECK(acquire(call, pieces, true));
  const Piece& piece = pieces.items.front();
  if (piece.draft || !piece.held()) return std::optional<Tile>();
  return std::optional<Tile>(piece.held());
}

}  // namespace smalti
