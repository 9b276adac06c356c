#include "smalti/tile/tile.h"

#include <fmt/format.h>
#include <sys/random.h>
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // its XXH3 uses what this very processor has
#else
#include <xxhash.h>
#endif

#include <cstring>

#include "smalti/base/checked.h"

namespace smalti {

ImageId ImageId::fresh() {
  ImageId id;
  std::size_t got = 0;
  while (got < id.raw.size()) {
    const ssize_t n = ::getrandom(id.raw.data() + got, id.raw.size() - got, 0);
    if (n > 0) got += static_cast<std::size_t>(n);
  }
  return id;
}

std::string ImageId::text() const {
  std::string out;
  out.reserve(raw.size() * 2);
  for (const std::byte b : raw) fmt::format_to(std::back_inserter(out), "{:02x}", std::to_integer<unsigned>(b));
  return out;
}

std::uint64_t Tile::computed_checksum() const noexcept { return XXH3_64bits(bytes().data(), bytes().size()); }

Result<TileDraft> TileDraft::make(Extent size, PixelFormat format, TileHeap& heap) {
  const auto bytes = checked_mul<std::uint64_t>(size.area(), format.pixel_bytes());
  if (!bytes || *bytes == 0)
    return fail(Errc::invalid, fmt::format("a tile of {}x{} pixels of {} bytes cannot be made", size.w, size.h,
                                           format.pixel_bytes()));
  TileDraft draft;
  draft.owner_ = heap.take(*bytes);
  if (!draft.owner_) return fail(Errc::limit, fmt::format("no memory for a tile of {} bytes", *bytes));
  draft.pixels_ = {draft.owner_.get(), size, static_cast<std::ptrdiff_t>(std::uint64_t{size.w} * format.pixel_bytes()),
                   format};
  return draft;
}

Result<TileDraft> TileDraft::make_zeroed(Extent size, PixelFormat format, TileHeap& heap) {
  SMALTI_TRY(TileDraft draft, make(size, format, heap));
  std::memset(draft.bytes().data(), 0, draft.bytes().size());
  return draft;
}

Tile TileDraft::freeze() && {
  const Pixels pixels = pixels_;
  pixels_ = {};
  return Tile(pixels, std::move(owner_));
}

}  // namespace smalti

std::size_t std::hash<smalti::ImageId>::operator()(const smalti::ImageId& id) const noexcept {
  return XXH3_64bits(id.raw.data(), id.raw.size());
}

std::size_t std::hash<smalti::TileKey>::operator()(const smalti::TileKey& key) const noexcept {
  static_assert(sizeof(smalti::TileKey) == 28, "hashed as bytes: it must have no padding");
  return XXH3_64bits(&key, sizeof key);
}
