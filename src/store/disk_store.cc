// Tiles in plain files, one an image.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "store/slot_store.h"
#include "store/temp_file.h"

namespace smalti {

namespace {

constexpr std::uint64_t disk_alignment = 4096;  // bytes: no two tiles share a page

class FileMedium final : public Medium {
 public:
  FileMedium(TempFile file, Hold hold, TileHeap& heap) : hold_(std::move(hold)), file_(std::move(file)), heap_(heap) {}

  Result<void> extend(std::uint64_t bytes) override {
    SMALTI_CHECK(file_.reserve(end_, bytes));
    end_ += bytes;
    return {};
  }

  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(file_.fd(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return pass(tile_file_error(file_.folder(), "cannot be written", n < 0 ? errno : EIO));
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return {};
  }

  Result<Tile> read(const TileKey& key, const Slotted& stored) override {
    SMALTI_TRY(TileDraft draft, TileDraft::make(stored.size, stored.format, heap_));
    std::span<std::byte> into = draft.bytes();
    std::uint64_t offset = stored.slot->offset();
    while (!into.empty()) {
      const ssize_t n = ::pread(file_.fd(), into.data(), into.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return pass(tile_file_error(file_.folder(), "cannot be read", errno), text(key));
      if (n == 0) return damaged(key, "the file ends before it");
      into = into.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    Tile tile = std::move(draft).freeze();
    if (tile.checksum() != stored.checksum) return damaged(key, "its bytes are not those that were written");
    return tile;
  }

 private:
  tl::unexpected<Error> damaged(const TileKey& key, std::string_view how) const {
    return fail(Errc::corrupt, fmt::format("{}: the tile file in {} is damaged: {}; check this disk", text(key),
                                           file_.folder().string(), how));
  }

  const Hold hold_;  // of Resource::file
  TempFile file_;
  TileHeap& heap_;
  std::uint64_t end_ = 0;
};

}  // namespace

Result<StorePtr> disk_store(Ledger& ledger, TileHeap& heap, std::filesystem::path folder) {
  SMALTI_CHECK(TempFile::make(folder));
  SlotStoreOptions options{
      .tier = "Disk", .count = "disk", .folder = folder, .resource = Resource::disk, .align = disk_alignment};
  options.make_medium = [&ledger, &heap, folder]() -> Result<std::unique_ptr<Medium>> {
    SMALTI_TRY(Hold hold, ledger.take(Resource::file, 1));
    SMALTI_TRY(TempFile file, TempFile::make(folder));
    return std::unique_ptr<Medium>(std::make_unique<FileMedium>(std::move(file), std::move(hold), heap));
  };
  return slot_store(ledger, std::move(options));
}

}  // namespace smalti
