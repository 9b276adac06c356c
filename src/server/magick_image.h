// MagickImage: where the pixels of one client of ImageMagick's are: one PixelCache for the samples, and one
// for what travels beside them (metacontent, indexes).
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "smalti/cache/pixel_cache.h"
#include "wire/magick_talk.h"

namespace smalti {

// Used by one thread. Destroying it drops the image from the store. Bytes are kept as they come: masks and
// maps mean nothing here.
class MagickImage {
 public:
  explicit MagickImage(CacheParts parts) : parts_(std::move(parts)) {}

  // Refuses at once what the limits do not allow, before the samples' size is known. `expected_sample` is a
  // guess at it; `local`: whether everything must fit the tiers of this process.
  static Result<void> fits(const Ledger&, const wire::magick::Shape&, std::uint32_t expected_sample,
                           bool local);

  // Moves the first bytes.size() bytes of a rectangle. Reads may lie outside, where the nearest pixel
  // answers. The last bytes need not be a whole pixel. REQUIRES: bytes.size() <= the rectangle's.
  Result<void> read(const Call&, const wire::magick::Shape&, wire::magick::Plane, Rect,
                    std::span<std::byte> bytes);
  Result<void> write(const Call&, const wire::magick::Shape&, wire::magick::Plane, Rect,
                     std::span<const std::byte> bytes);

 private:
  Result<PixelCache*> plane(const Call&, const wire::magick::Shape&, wire::magick::Plane);

  CacheParts parts_;
  std::array<std::optional<PixelCache>, 2> planes_;
  std::array<bool, 2> blank_{true,
                             true};  // nothing but zeros has been written to the plane, which is zero anyway
};

// The next part of a transfer: whole rows, or some pixels of one row, of at most `most` bytes.
struct Piece {
  Rect rect;
  std::uint64_t bytes = 0;
};

// Cuts the first `length` bytes of a rectangle into pieces, in the order in which they travel.
class Pieces {
 public:
  // REQUIRES: most >= pixel_bytes > 0, length <= rect.size.area() * pixel_bytes.
  Pieces(Rect rect, std::uint32_t pixel_bytes, std::uint64_t length, std::uint64_t most) noexcept;

  bool done() const noexcept { return left_ == 0; }
  // REQUIRES: !done().
  Piece next() noexcept;

 private:
  Rect rect_;
  std::uint64_t pixel_bytes_;
  std::uint64_t left_;
  std::uint64_t most_;
  std::uint64_t column_ = 0, row_ = 0;  // where the next piece begins
};

}  // namespace smalti
