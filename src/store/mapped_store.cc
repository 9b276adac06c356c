// Tiles in mapped files. Each piece that an image's room grows by is a file and a mapping of its own: the descriptor is
// closed at once, and the mapping goes when its image has been dropped and nobody reads a tile in it any more.
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <shared_mutex>

#include "store/slot_store.h"
#include "store/temp_file.h"

namespace smalti {

namespace {

constexpr std::uint64_t tile_alignment = 64;  // bytes: a cache line

class Mapping {
 public:
  Mapping(std::byte* data, std::uint64_t bytes) : data_(data), bytes_(bytes) {}
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping() { ::munmap(data_, bytes_); }
  std::byte* data() const noexcept { return data_; }

 private:
  std::byte* const data_;
  const std::uint64_t bytes_;
};

class MappedMedium final : public Medium {
 public:
  explicit MappedMedium(std::filesystem::path folder) : folder_(std::move(folder)) {}

  // Reserved before it is mapped: a full disk is an error here, and never a SIGBUS later.
  Result<void> extend(std::uint64_t bytes) override {
    SMALTI_TRY(TempFile file, TempFile::make(folder_));
    SMALTI_CHECK(file.reserve(0, bytes));
    void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file.fd(), 0);
    if (data == MAP_FAILED) {
      Error error = tile_file_error(folder_, "cannot be mapped", errno);
      if (error.sys == ENOMEM) error.code = Errc::limit;
      return pass(std::move(error));
    }
    const std::unique_lock lock(mutex_);
    pieces_.try_emplace(end_, static_cast<std::byte*>(data), bytes);
    end_ += bytes;
    return {};
  }

  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    std::memcpy(at(offset), bytes.data(), bytes.size());
    return {};
  }

  // The slot, and with it the mapping, lives as long as the tile.
  Result<Tile> read(const TileKey&, const Slotted& tile) override {
    const auto row = static_cast<std::ptrdiff_t>(std::uint64_t{tile.size.w} * tile.format.pixel_bytes());
    return Tile({at(tile.slot->offset()), tile.size, row, tile.format}, tile.slot);
  }

 private:
  std::byte* at(std::uint64_t offset) const {
    const std::shared_lock lock(mutex_);
    const auto piece = std::prev(pieces_.upper_bound(offset));
    return piece->second.data() + (offset - piece->first);
  }

  const std::filesystem::path folder_;
  mutable std::shared_mutex mutex_;
  std::map<std::uint64_t, Mapping> pieces_;  // by the offset of their first byte; guarded by mutex_, as end_
  std::uint64_t end_ = 0;
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
  options.make_medium = [folder]() -> Result<std::unique_ptr<Medium>> {
    return std::unique_ptr<Medium>(std::make_unique<MappedMedium>(folder));
  };
  return slot_store(ledger, std::move(options));
}

}  // namespace smalti
