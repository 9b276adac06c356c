// Slots: where in an image's tile file a tile stands. A slot is free again when the last one who reads it is done.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "smalti/policy/limits.h"
#include "smalti/tile/tile.h"

namespace smalti {

class Slot;
using SlotPtr = std::shared_ptr<const Slot>;

// What a store remembers of a tile in a slot.
struct Slotted {
  SlotPtr slot;
  Extent size;
  PixelFormat format;
  std::optional<std::uint64_t> checksum;
};

// Where an image's slots are: a mapping, or a file. Offsets count over all that was ever reserved.
class Medium {
 public:
  virtual ~Medium() = default;
  // Makes room for `bytes` more at the end. Errc::limit when there is none; nothing has changed then.
  virtual Result<void> extend(std::uint64_t bytes) = 0;
  // REQUIRES (these two): within what was reserved by one extend.
  virtual Result<void> write(std::uint64_t offset, std::span<const std::byte>) = 0;
  virtual Result<Tile> read(const TileKey&, const Slotted&) = 0;
};

// The room of one image. Thread-safe; lives as long as any of its slots.
class SlotFile : public std::enable_shared_from_this<SlotFile> {
 public:
  // All slots begin at a multiple of `align`; `expected` bytes are likely to be wanted in all.
  SlotFile(std::unique_ptr<Medium> medium, std::uint64_t align, std::uint64_t expected)
      : medium_(std::move(medium)), align_(align), expected_(expected) {}

  // `hold` pays for the slot; `room` is what the ledger has beyond it, to reserve ahead in larger pieces.
  Result<std::shared_ptr<const Slot>> take(std::uint64_t bytes, Hold hold, std::uint64_t room);
  Medium& medium() const noexcept { return *medium_; }

 private:
  friend class Slot;
  void give_back(std::uint64_t offset, std::uint64_t bytes) noexcept;
  Result<void> grow(std::uint64_t size, std::uint64_t room);

  const std::unique_ptr<Medium> medium_;
  const std::uint64_t align_;
  const std::uint64_t expected_;
  std::mutex mutex_;
  // All below is guarded by mutex_.
  std::unordered_map<std::uint64_t, std::vector<std::uint64_t>> free_;  // by size; an image has four sizes at most
  std::uint64_t next_ = 0;                                              // never used from here ...
  std::uint64_t end_ = 0;                                               // ... to here
};

class Slot {
 public:
  Slot(std::shared_ptr<SlotFile> file, std::uint64_t offset, std::uint64_t bytes, Hold hold)
      : file_(std::move(file)), offset_(offset), bytes_(bytes), hold_(std::move(hold)) {}
  Slot(const Slot&) = delete;
  Slot& operator=(const Slot&) = delete;
  ~Slot() { file_->give_back(offset_, bytes_); }

  std::uint64_t offset() const noexcept { return offset_; }
  std::uint64_t charge() const noexcept { return hold_.amount(); }
  Medium& medium() const noexcept { return file_->medium(); }

 private:
  const std::shared_ptr<SlotFile> file_;
  const std::uint64_t offset_;
  const std::uint64_t bytes_;  // as the file counts: rounded up
  Hold hold_;
};

}  // namespace smalti
