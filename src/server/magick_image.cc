#include "server/magick_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "smalti/base/checked.h"

namespace smalti {

using wire::magick::Plane;
using wire::magick::Shape;

namespace {

Result<void> within(const Ledger& ledger, Resource resource, std::uint64_t amount) {
  if (amount <= ledger.limit(resource)) return {};
  return fail(Errc::limit, fmt::format("{} {} exceeds the limit of {}; raise it with -limit {}",
                                       name_of(resource), amount, ledger.limit(resource), name_of(resource)));
}

// Each byte equals the one before it, and the first is zero. REQUIRES: not empty.
bool all_zero(std::span<const std::byte> bytes) noexcept {
  return bytes[0] == std::byte{0} && std::memcmp(bytes.data(), bytes.data() + 1, bytes.size() - 1) == 0;
}

template <class B>
PixelSpan<B> span_over(std::span<B> bytes, Extent size, PixelFormat format) noexcept {
  return {bytes.data(), size, static_cast<std::ptrdiff_t>(std::uint64_t{size.w} * format.pixel_bytes()),
          format};
}

}  // namespace

Result<void> MagickImage::fits(const Ledger& ledger, const Shape& shape, std::uint32_t expected_sample,
                               bool local) {
  SMALTI_CHECK(within(ledger, Resource::width, shape.size().w));
  SMALTI_CHECK(within(ledger, Resource::height, shape.size().h));
  const std::uint64_t samples = shape.size().area() * shape.channels();  // at most 62 + 6 bits: see below
  const auto bytes = checked_mul<std::uint64_t>(
      samples / shape.channels() == shape.size().area() ? samples : ~0ull, expected_sample);
  if (!bytes) return fail(Errc::limit, "the image is beyond what can be addressed");
  if (!local) return {};
  std::uint64_t room = 0;
  for (const Resource tier : {Resource::memory, Resource::map, Resource::disk})
    room = checked_add(room, ledger.room(tier)).value_or(unlimited);
  if (*bytes <= room) return {};
  return fail(Errc::limit,
              fmt::format("cache resources exhausted: the image needs {} bytes, and memory, map and disk "
                          "have {} left; raise -limit memory, map or disk",
                          *bytes, room));
}

Result<PixelCache*> MagickImage::plane(const Call& call, const Shape& shape, Plane which) {
  auto& cache = planes_[static_cast<std::size_t>(which)];
  if (!cache) {
    const ImageSpec spec = spec_for(shape.size(), shape.format(which), parts_.ledger);
    SMALTI_TRY(cache, PixelCache::create(parts_, call, spec));
  }
  return &*cache;
}

Result<void> MagickImage::read(const Call& call, const Shape& shape, Plane which, Rect rect,
                               std::span<std::byte> bytes) {
  if (bytes.empty()) return {};
  SMALTI_TRY(const PixelCache* cache, plane(call, shape, which));
  const PixelFormat format = shape.format(which);
  if (bytes.size() == rect.size.area() * format.pixel_bytes())
    return cache->read(call, rect, span_over(bytes, rect.size, format));
  std::vector<std::byte> whole(rect.size.area() * format.pixel_bytes());
  SMALTI_CHECK(cache->read(call, rect, span_over(std::span(whole), rect.size, format)));
  std::memcpy(bytes.data(), whole.data(), bytes.size());
  return {};
}

Result<void> MagickImage::write(const Call& call, const Shape& shape, Plane which, Rect rect,
                                std::span<const std::byte> bytes) {
  if (bytes.empty()) return {};
  // A client clears a new image before it writes to it. Storing that would move every tile twice more.
  bool& blank = blank_[static_cast<std::size_t>(which)];
  if (blank && all_zero(bytes)) return {};
  blank = false;
  SMALTI_TRY(PixelCache * cache, plane(call, shape, which));
  const PixelFormat format = shape.format(which);
  if (bytes.size() == rect.size.area() * format.pixel_bytes())
    return cache->write(call, rect, span_over(bytes, rect.size, format));
  std::vector<std::byte> whole(rect.size.area() * format.pixel_bytes());  // what is not overwritten stays
  SMALTI_CHECK(cache->read(call, rect, span_over(std::span(whole), rect.size, format)));
  std::memcpy(whole.data(), bytes.data(), bytes.size());
  return cache->write(call, rect, span_over(std::span<const std::byte>(whole), rect.size, format));
}

Pieces::Pieces(Rect rect, std::uint32_t pixel_bytes, std::uint64_t length, std::uint64_t most) noexcept
    : rect_(rect), pixel_bytes_(pixel_bytes), left_(length), most_(most) {}

Piece Pieces::next() noexcept {
  const std::uint64_t row_bytes = rect_.size.w * pixel_bytes_;
  Piece piece{{rect_.x + static_cast<std::int64_t>(column_), rect_.y + static_cast<std::int64_t>(row_), {}},
              0};
  if (column_ == 0 && row_bytes <= most_ && row_bytes <= left_) {
    const std::uint64_t rows = std::min(most_, left_) / row_bytes;
    piece.rect.size = {rect_.size.w, static_cast<std::uint32_t>(rows)};
    piece.bytes = rows * row_bytes;
    row_ += rows;
  } else {
    const std::uint64_t bytes =
        std::min({left_, most_ / pixel_bytes_ * pixel_bytes_, row_bytes - column_ * pixel_bytes_});
    const std::uint64_t pixels = (bytes + pixel_bytes_ - 1) / pixel_bytes_;
    piece.rect.size = {static_cast<std::uint32_t>(pixels), 1};
    piece.bytes = bytes;
    column_ += pixels;
    if (column_ == rect_.size.w) {
      column_ = 0;
      ++row_;
    }
  }
  left_ -= piece.bytes;
  return piece;
}

}  // namespace smalti
