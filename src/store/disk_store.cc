// Tiles in plain files, one an image.
#include <fmt/format.h>

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
    return file_.write(offset, bytes);
  }

  Result<Tile> read(const TileKey& key, const Slotted& stored) override {
    SMALTI_TRY(TileDraft draft, TileDraft::make(stored.size, stored.format, heap_));
    auto got = file_.read(stored.slot->offset(), draft.bytes());
    if (!got) return pass(std::move(got.error()), text(key));
    if (*got < draft.bytes().size()) return damaged(key, "the file ends before it");
    const Tile tile = std::move(draft).freeze();
    if (tile.computed_checksum() != stored.checksum) return damaged(key, "its bytes are not those that were written");
    return tile.marked_with(*stored.checksum);
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
