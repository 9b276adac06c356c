// The bytes of a tile file: its head, its marks, and the records of its tiles. Pure; doc/disk-format.md has
// the tables.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "smalti/tile/grid.h"
#include "store/cell.h"

namespace smalti::tile_file {

inline constexpr std::uint16_t version = 1;
inline constexpr std::size_t head_bytes = 512;
inline constexpr std::size_t mark_bytes = 512;
inline constexpr std::size_t record_bytes = 64;  // before the pixels; records begin at multiples of it
inline constexpr std::uint64_t block =
    4096;  // head and marks have a block each, so that one damage hits one of them
inline constexpr std::uint64_t records_at = 3 * block;

using HeadBytes = std::array<std::byte, head_bytes>;
using MarkBytes = std::array<std::byte, mark_bytes>;
using RecordBytes = std::array<std::byte, record_bytes>;

struct Head {
  ImageId image;
  ImageSpec spec;
  std::uint64_t salt = 0;  // random: seeds the checks below, so that no pixels pass for a mark or a record
};

HeadBytes encode(const Head&);
// incompatible: another version or byte order; corrupt: not a head that was written. Neither names the file.
Result<Head> decode_head(std::span<const std::byte, head_bytes>);

// How far the file is known to be on the disk. The one of the higher serial holds; it is written where the
// lower one is.
struct Mark {
  std::uint64_t serial = 0;
  std::uint64_t end = records_at;  // of the last record
  std::uint64_t clock = 0;         // no generation up to here is given out again
  std::uint64_t records = 0;       // up to `end`
  std::uint64_t replacing = 0;     // of these, those that replace an earlier one or take it away
};

constexpr std::uint64_t mark_at(std::uint64_t serial) noexcept { return block * (1 + serial % 2); }
MarkBytes encode(const Mark&, std::uint64_t salt);
std::optional<Mark> decode_mark(std::span<const std::byte, mark_bytes>, std::uint64_t salt);

// A tile as put, or that it was taken away: then it has no pixels.
struct Record {
  bool taken_away = false;
  bool replaces = false;  // there was a tile
  Cell cell;
  Extent size;
  PixelFormat format{Sample::u8, 0, 0};
  std::uint64_t generation = 0;
  std::uint64_t checksum = 0;  // XXH3-64 of the pixels
  std::uint64_t offset = 0;    // where it stands

  std::uint64_t pixel_bytes() const noexcept { return size.area() * format.pixel_bytes(); }
  std::uint64_t stored_bytes() const noexcept {
    return (record_bytes + pixel_bytes() + record_bytes - 1) / record_bytes * record_bytes;
  }
};

RecordBytes encode(const Record&, std::uint64_t salt);
// Nullopt for anything that was not written at this offset. Pixels are at most 4 GiB.
std::optional<Record> decode_record(std::span<const std::byte, record_bytes>, std::uint64_t salt,
                                    std::uint64_t offset);

}  // namespace smalti::tile_file
