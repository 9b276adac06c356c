// Tile: an immutable rectangle of pixels. Copying shares its owner, so a memory hit is zero-copy and an evicted
// tile stays valid for whoever still reads it.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "smalti/base/result.h"
#include "smalti/geom/pixels.h"
#include "smalti/tile/tile_heap.h"

namespace smalti {

struct ImageId {
  std::array<std::byte, 16> raw{};

  static ImageId fresh();  // random, from the operating system
  std::string text() const;  // 32 hex digits
  auto operator<=>(const ImageId&) const = default;
};

// col and row count tiles, not pixels. level: 0 is full size (a pyramid's smaller levels count up).
struct TileKey {
  ImageId image;
  std::uint32_t level = 0;
  std::uint32_t col = 0;
  std::uint32_t row = 0;
  auto operator<=>(const TileKey&) const = default;
};

// Grows with every put of a key; comparable only within that key.
enum class Generation : std::uint64_t { none = 0 };

// A value. Safe from many threads. Its rows are contiguous.
class Tile {
 public:
  Tile() = default;  // no pixels
  // The owner keeps `pixels` alive: a heap buffer, a mapping, or a socket's buffer. REQUIRES: contiguous.
  Tile(Pixels pixels, std::shared_ptr<const void> owner) : pixels_(pixels), owner_(std::move(owner)) {}

  Pixels pixels() const noexcept { return pixels_; }
  std::span<const std::byte> bytes() const noexcept {
    return {pixels_.data, pixels_.size.area() * pixels_.format.pixel_bytes()};
  }
  std::uint64_t charge() const noexcept { return bytes().size(); }  // bytes billed to a Ledger
  explicit operator bool() const noexcept { return pixels_.data != nullptr; }
  // XXH3-64 of bytes(): the one the tile was marked with, else computed. A mark travels with the tile from the writer
  // to the last reader, so that whoever verifies (computed_checksum() == checksum()) verifies the whole way.
  std::uint64_t checksum() const noexcept { return marked_ ? *marked_ : computed_checksum(); }
  std::uint64_t computed_checksum() const noexcept;
  bool marked() const noexcept { return marked_.has_value(); }
  // The same tile, marked with what somebody computed earlier over these pixels.
  Tile marked_with(std::uint64_t checksum) const {
    Tile marked = *this;
    marked.marked_ = checksum;
    return marked;
  }

 private:
  Pixels pixels_;
  std::optional<std::uint64_t> marked_;
  std::shared_ptr<const void> owner_;
};

// The only mutable tile: move-only, one writer, then freeze(). Not zeroed: see make_zeroed.
class TileDraft {
 public:
  static Result<TileDraft> make(Extent, PixelFormat, TileHeap&);
  static Result<TileDraft> make_zeroed(Extent, PixelFormat, TileHeap&);

  MutablePixels pixels() noexcept { return pixels_; }
  std::span<std::byte> bytes() noexcept { return {pixels_.data, pixels_.size.area() * pixels_.format.pixel_bytes()}; }
  Tile freeze() &&;

 private:
  MutablePixels pixels_;
  std::shared_ptr<std::byte> owner_;
};

}  // namespace smalti

template <>
struct std::hash<smalti::ImageId> {
  std::size_t operator()(const smalti::ImageId&) const noexcept;
};
template <>
struct std::hash<smalti::TileKey> {
  std::size_t operator()(const smalti::TileKey&) const noexcept;
};
