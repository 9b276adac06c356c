// Extent and Rect: whole pixels, half-open, values.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>

namespace smalti {

// Width and height in pixels.
struct Extent {
  std::uint32_t w = 0;
  std::uint32_t h = 0;

  constexpr std::uint64_t area() const noexcept { return std::uint64_t{w} * h; }
  constexpr bool empty() const noexcept { return w == 0 || h == 0; }
  auto operator<=>(const Extent&) const = default;
};

// Covers x .. x+w-1, y .. y+h-1. The origin may be negative, since virtual pixels live outside the image.
struct Rect {
  std::int64_t x = 0;
  std::int64_t y = 0;
  Extent size;

  constexpr std::int64_t right() const noexcept { return x + size.w; }    // one past the last column
  constexpr std::int64_t bottom() const noexcept { return y + size.h; }   // one past the last row
  constexpr bool empty() const noexcept { return size.empty(); }
  constexpr bool inside(Extent image) const noexcept {
    return x >= 0 && y >= 0 && right() <= image.w && bottom() <= image.h;
  }
  constexpr bool holds(const Rect& other) const noexcept {
    return x <= other.x && y <= other.y && right() >= other.right() && bottom() >= other.bottom();
  }
  // What both cover; empty where they do not meet.
  constexpr Rect meet(const Rect& other) const noexcept {
    const std::int64_t left = std::max(x, other.x);
    const std::int64_t top = std::max(y, other.y);
    const std::int64_t wide = std::min(right(), other.right()) - left;
    const std::int64_t high = std::min(bottom(), other.bottom()) - top;
    if (wide <= 0 || high <= 0) return {left, top, {}};
    return {left, top, {static_cast<std::uint32_t>(wide), static_cast<std::uint32_t>(high)}};
  }
  auto operator<=>(const Rect&) const = default;
};

constexpr Rect whole(Extent image) noexcept { return {0, 0, image}; }

}  // namespace smalti
