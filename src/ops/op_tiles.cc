#include "ops/op_tiles.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ops/op_geometry.h"

namespace smalti::ops {
namespace {

// Where one axis of the canvas is cut: from (inclusive), to (exclusive).
struct Slice {
  std::int64_t from = 0, to = 0;
};

std::int64_t nearest(double value) {
  return static_cast<std::int64_t>(value < 0 ? std::ceil(value - 0.5) : std::floor(value + 0.5));
}

constexpr std::uint64_t most_slices = 1U << 20;  // of one axis: more are no use, and would take memory

Result<std::vector<Slice>> of_length(std::uint32_t length, std::uint32_t canvas) {
  if (canvas / length > most_slices) return fail(Errc::invalid, "-crop: tiles are too small for the picture");
  std::vector<Slice> slices;
  for (std::uint64_t at = 0; at < canvas; at += length)
    slices.push_back({static_cast<std::int64_t>(at), static_cast<std::int64_t>(at + length)});
  return slices;
}

// An overlap makes each tile longer; a negative one leaves gaps.
Result<std::vector<Slice>> of_number(double number, double overlap, std::uint32_t length) {
  if (number > static_cast<double>(most_slices))
    return fail(Errc::invalid, "-crop: too many tiles are asked for");
  const double width = length - std::abs(overlap);
  const double step = std::max(width / std::max(std::floor(number), 1.0), 1.0);
  std::vector<Slice> slices;
  for (double at = 0; at < width;) {
    const std::int64_t from = nearest(at - std::min(overlap, 0.0));
    at += step;
    slices.push_back({from, nearest(at + std::max(overlap, 0.0))});
  }
  return slices;
}

std::uint32_t tile_side(const std::optional<double>& asked, bool percent, std::uint32_t image,
                        std::uint32_t canvas) {
  const double side = percent ? std::floor(asked.value_or(0) * image / 100 + 0.5) : asked.value_or(0);
  return side < 1 ? canvas : static_cast<std::uint32_t>(side);
}

// "WxH+X+Y" of every pair of slices that meets the image. `move`: where the slices count from.
Result<std::vector<std::string>> crops_of(const std::vector<Slice>& across, const std::vector<Slice>& down,
                                          const Rect& lies, std::int64_t move_x, std::int64_t move_y,
                                          std::uint64_t most) {
  std::vector<std::string> crops;
  for (const Slice& y : down)
    for (const Slice& x : across) {
      const Rect tile{x.from + move_x,
                      y.from + move_y,
                      {static_cast<std::uint32_t>(std::max<std::int64_t>(x.to - x.from, 1)),
                       static_cast<std::uint32_t>(std::max<std::int64_t>(y.to - y.from, 1))}};
      if (tile.meet(lies).empty()) continue;
      if (crops.size() == most)
        return fail(
            Errc::limit,
            fmt::format("cache resources exhausted: -crop would cut the picture into more than {} tiles, "
                        "which is the limit list-length (raise it with -limit list-length, or ask for "
                        "larger tiles)",
                        most));
      crops.push_back(fmt::format("{}x{}{:+}{:+}", tile.size.w, tile.size.h, tile.x, tile.y));
    }
  return crops;
}

}  // namespace

Result<std::vector<std::string>> tile_crops(std::string_view argument, Extent image, const Rect& page,
                                            std::uint64_t most) {
  SMALTI_TRY(const Geometry geometry, parse_geometry("-crop", argument));
  const Rect lies{page.x, page.y, image};
  if (geometry.area) {
    SMALTI_TRY(const auto across, of_number(geometry.w.value_or(1), geometry.x.value_or(0), image.w));
    SMALTI_TRY(const auto down,
               of_number(geometry.h.value_or(geometry.w.value_or(1)), geometry.y.value_or(0), image.h));
    return crops_of(across, down, lies, page.x, page.y, most);
  }
  if (geometry.x || (geometry.w.value_or(0) == 0 && geometry.h.value_or(0) == 0))
    return std::vector<std::string>();
  const Extent canvas = page.size.empty() ? image : page.size;
  const bool both = geometry.percent && !geometry.h;  // "50%" is 50% of either side
  const std::uint32_t w = tile_side(geometry.w, geometry.percent, image.w, canvas.w);
  const std::uint32_t h = tile_side(both ? geometry.w : geometry.h, geometry.percent, image.h, canvas.h);
  if (image.w <= w && image.h <= h) return std::vector<std::string>{"0x0+0+0"};
  SMALTI_TRY(const auto across, of_length(w, canvas.w));
  SMALTI_TRY(const auto down, of_length(h, canvas.h));
  return crops_of(across, down, lies, 0, 0, most);
}

}  // namespace smalti::ops
