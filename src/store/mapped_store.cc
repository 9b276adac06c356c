// Tiles in mapped files, one an image. They are written through the descriptor and read through the mapping: a write to
// fresh pages of a mapping costs a fault a page, four times what pwrite takes, and pages mapped for reading only cannot be
// changed by anybody's mistake. A mapping lives until its image has been dropped and nobody reads a tile in it any more.
#include <sys/mman.h>

#include <cerrno>
#include <map>
#include <shared_mutex>

#include "store/slot_store.h"
#include "store/temp_file.h"

namespace smalti {

namespace {

constexpr std::uint64_t tile_alignment = 64;  // bytes: a cache line
constexpr std::uint64_t page_bytes = 64u << 10;  // on every machine a multiple of what mmap asks for

class Mapping {
 public:
  Mapping(const std::byte* data, std::uint64_t bytes) : data_(data), bytes_(bytes) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { ::munmap(const_cast<std::byte*>(data_), bytes_); }
  const std::byte* data() const noexcept { return data_; }

 private:
  const std::byte* const data_;
  const std::uint64_t bytes_;
};

class MappedMedium final : public Medium {
 public:
  MappedMedium(TempFile file, Hold hold) : hold_(std::move(hold)), file_(std::move(file)) {}

  // Reserved before it is mapped: a full disk is an error here, and never a SIGBUS later. Called by one at a time.
  Result<void> extend(std::uint64_t bytes) override {
    const std::uint64_t whole = (bytes + page_bytes - 1) / page_bytes * page_bytes;
    SMALTI_CHECK(file_.reserve(file_end_, whole));
    void* data = ::mmap(nullptr, whole, PROT_READ, MAP_SHARED, file_.fd(), static_cast<off_t>(file_end_));
    if (data == MAP_FAILED) {
      Error error = tile_file_error(file_.folder(), "cannot be mapped", errno);
      if (error.sys == ENOMEM) error.code = Errc::limit;
      return pass(std::move(error));
    }
    const std::unique_lock lock(mutex_);
    pieces_.try_emplace(end_, file_end_, static_cast<const std::byte*>(data), whole);
    file_end_ += whole;
    end_ += bytes;
    return {};
  }

  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    std::uint64_t at = 0;
    find(offset, [&](std::uint64_t within, const Piece& piece) { at = piece.file_offset + within; });
    return file_.write(at, bytes);
  }

  // The slot, and with it the mapping, lives as long as the tile.
  Result<Tile> read(const TileKey&, const Slotted& tile) override {
    const std::byte* data = nullptr;
    find(tile.slot->offset(), [&](std::uint64_t within, const Piece& piece) { data = piece.mapping.data() + within; });
    const auto row = static_cast<std::ptrdiff_t>(std::uint64_t{tile.size.w} * tile.format.pixel_bytes());
    Tile mapped({data, tile.size, row, tile.format}, tile.slot);
    if (tile.checksum) return mapped.marked_with(*tile.checksum);
    return mapped;
  }

 private:
  struct Piece {
    Piece(std::uint64_t offset, const std::byte* data, std::uint64_t bytes) : file_offset(offset), mapping(data, bytes) {}
    const std::uint64_t file_offset;
    const Mapping mapping;
  };

  template <class F>
  void find(std::uint64_t offset, F&& f) const {
    const std::shared_lock lock(mutex_);
    const auto piece = std::prev(pieces_.upper_bound(offset));
    f(offset - piece->first, piece->second);
  }

  const Hold hold_;  // of Resource::file
  TempFile file_;
  mutable std::shared_mutex mutex_;
  std::map<std::uint64_t, Piece> pieces_;  // by the offset of their first byte; guarded by mutex_, as all below
  std::uint64_t end_ = 0;
  std::uint64_t file_end_ = 0;  // whole pages
};

}  // namespace

Result<StorePtr> mapped_store(Ledger& ledger, std::filesystem::path folder) {
  SMALTI_CHECK(TempFile::make(folder));
  SlotStoreOptions options{.tier = "Map",
                           .count = "map",
                           .folder = folder,
                           .resource = Resource::map,
                           .align = tile_alignment,
                           .waits = false,
                           .sheds = true,
                           .checksums = false};
  options.make_medium = [&ledger, folder]() -> Result<std::unique_ptr<Medium>> {
    SMALTI_TRY(Hold hold, ledger.take(Resource::file, 1));
    SMALTI_TRY(TempFile file, TempFile::make(folder));
    return std::unique_ptr<Medium>(std::make_unique<MappedMedium>(std::move(file), std::move(hold)));
  };
  return slot_store(ledger, std::move(options));
}

}  // namespace smalti
