#include "smalti/tile/grid.h"

#include <fmt/format.h>

#include <limits>

#include "smalti/base/checked.h"

namespace smalti {

namespace {
constexpr std::uint64_t most_stored = std::numeric_limits<std::int64_t>::max();

std::uint32_t parts(std::uint32_t whole_length, std::uint32_t part) noexcept {
  return part == 0 ? 0 : whole_length / part + (whole_length % part != 0);
}
}  // namespace

Result<void> ImageSpec::check() const {
  if (size.empty()) return fail(Errc::invalid, fmt::format("an image of {}x{} pixels has no pixels", size.w, size.h));
  if (tile.empty()) return fail(Errc::invalid, fmt::format("tiles of {}x{} pixels are empty", tile.w, tile.h));
  if (static_cast<unsigned>(format.sample) >= sample_kinds) return fail(Errc::invalid, "unknown sample type");
  if (format.pixel_bytes() == 0) return fail(Errc::invalid, "pixels without channels");
  const auto bytes = checked_mul<std::uint64_t>(size.area(), format.pixel_bytes());
  const auto tile_bytes = checked_mul<std::uint64_t>(tile.area(), format.pixel_bytes());
  if (!bytes || *bytes > most_stored || !tile_bytes || *tile_bytes > std::numeric_limits<std::uint32_t>::max())
    return fail(Errc::invalid, fmt::format("an image of {}x{} pixels of {} bytes is beyond what can be addressed",
                                           size.w, size.h, format.pixel_bytes()));
  return {};
}

Extent tile_extent_for(Extent image, PixelFormat format, std::uint64_t row_of_tiles_bytes) noexcept {
  Extent tile{default_tile_side, default_tile_side};
  const std::uint64_t row_bytes = std::uint64_t{image.w} * format.pixel_bytes();
  while (tile.h > 1 && row_bytes * tile.h > row_of_tiles_bytes) tile.h /= 2;
  return tile;
}

std::uint32_t Grid::cols() const noexcept { return parts(spec_.size.w, spec_.tile.w); }
std::uint32_t Grid::rows() const noexcept { return parts(spec_.size.h, spec_.tile.h); }

bool Grid::has(const TileKey& key) const noexcept { return key.level == 0 && key.col < cols() && key.row < rows(); }

Rect Grid::rect(std::uint32_t col, std::uint32_t row) const noexcept {
  const Rect full{std::int64_t{col} * spec_.tile.w, std::int64_t{row} * spec_.tile.h, spec_.tile};
  return full.meet(whole(spec_.size));
}

Grid::Span Grid::span(Rect rect) const noexcept {
  const Rect in = rect.meet(whole(spec_.size));
  if (in.empty()) return {};
  return {static_cast<std::uint32_t>(in.x / spec_.tile.w), static_cast<std::uint32_t>(in.y / spec_.tile.h),
          static_cast<std::uint32_t>((in.right() - 1) / spec_.tile.w) + 1,
          static_cast<std::uint32_t>((in.bottom() - 1) / spec_.tile.h) + 1};
}

std::vector<TileKey> Grid::cover(const ImageId& image, Rect rect) const {
  const Span area = span(rect);
  std::vector<TileKey> keys;
  if (area.empty()) return keys;
  keys.reserve(std::size_t{area.col1 - area.col0} * (area.row1 - area.row0));
  for (std::uint32_t row = area.row0; row < area.row1; ++row)
    for (std::uint32_t col = area.col0; col < area.col1; ++col) keys.push_back({image, 0, col, row});
  return keys;
}

}  // namespace smalti
