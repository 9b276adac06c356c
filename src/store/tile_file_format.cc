#include "store/tile_file_format.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <string_view>

#include "smalti/base/checked.h"
#include "store/disk_bytes.h"

namespace smalti::tile_file {

namespace {

constexpr std::string_view head_magic = "SMALTI-T";
constexpr std::string_view mark_magic = "MARK";
constexpr std::string_view record_magic = "TILE";
constexpr std::uint8_t our_order =
    std::endian::native == std::endian::little ? little_endian_pixels : big_endian_pixels;
constexpr std::uint8_t kind_tile = 1, kind_taken_away = 2;
constexpr std::uint8_t flag_replaces = 1;

void put_text(std::span<std::byte> bytes, std::string_view text) {
  std::memcpy(bytes.data(), text.data(), text.size());
}
bool begins(std::span<const std::byte> bytes, std::string_view text) {
  return std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

// The last eight bytes are the check of all before.
void seal(std::span<std::byte> bytes, std::uint64_t salt) {
  const std::size_t at = bytes.size() - 8;
  store_at<std::uint64_t>(bytes, at, XXH3_64bits_withSeed(bytes.data(), at, salt));
}
bool sealed(std::span<const std::byte> bytes, std::uint64_t salt) {
  const std::size_t at = bytes.size() - 8;
  return load_at<std::uint64_t>(bytes, at) == XXH3_64bits_withSeed(bytes.data(), at, salt);
}

}  // namespace

HeadBytes encode(const Head& head) {
  HeadBytes out{};
  put_text(out, head_magic);
  store_at<std::uint16_t>(out, 8, version);
  store_at<std::uint8_t>(out, 10, our_order);
  std::copy(head.image.raw.begin(), head.image.raw.end(), out.begin() + 16);
  store_at<std::uint32_t>(out, 32, head.spec.size.w);
  store_at<std::uint32_t>(out, 36, head.spec.size.h);
  store_at<std::uint32_t>(out, 40, head.spec.tile.w);
  store_at<std::uint32_t>(out, 44, head.spec.tile.h);
  store_at<std::uint8_t>(out, 48, static_cast<std::uint8_t>(head.spec.format.sample));
  store_at<std::uint8_t>(out, 49, head.spec.format.channels);
  store_at<std::uint16_t>(out, 50, head.spec.format.meta_bytes);
  store_at<std::uint64_t>(out, 56, head.salt);
  seal(out, 0);
  return out;
}

Result<Head> decode_head(std::span<const std::byte, head_bytes> in) {
  if (!begins(in, head_magic))
    return fail(Errc::corrupt, "this is no tile file of Smalti, or its head is damaged");
  const auto found = load_at<std::uint16_t>(in, 8);
  if (found != version)
    return fail(Errc::incompatible,
                fmt::format("its format is {}, this program knows format {}; use the program that wrote it",
                            found, version));
  if (const auto order = load_at<std::uint8_t>(in, 10); order != our_order)
    return fail(
        Errc::incompatible,
        fmt::format("its pixels are {}-endian, this machine is {}-endian; use it where it was written",
                    order == big_endian_pixels      ? "big"
                    : order == little_endian_pixels ? "little"
                                                    : "oddly",
                    our_order == big_endian_pixels ? "big" : "little"));
  if (!sealed(in, 0)) return fail(Errc::corrupt, "its head is damaged");
  Head head;
  std::copy_n(in.begin() + 16, head.image.raw.size(), head.image.raw.begin());
  head.spec.size = {load_at<std::uint32_t>(in, 32), load_at<std::uint32_t>(in, 36)};
  head.spec.tile = {load_at<std::uint32_t>(in, 40), load_at<std::uint32_t>(in, 44)};
  head.spec.format = {static_cast<Sample>(load_at<std::uint8_t>(in, 48)), load_at<std::uint8_t>(in, 49),
                      load_at<std::uint16_t>(in, 50)};
  head.salt = load_at<std::uint64_t>(in, 56);
  if (auto sound = head.spec.check(); !sound)
    return fail(Errc::corrupt, "its head is wrong: " + sound.error().what);
  return head;
}

MarkBytes encode(const Mark& mark, std::uint64_t salt) {
  MarkBytes out{};
  put_text(out, mark_magic);
  store_at(out, 8, mark.serial);
  store_at(out, 16, mark.end);
  store_at(out, 24, mark.clock);
  store_at(out, 32, mark.records);
  store_at(out, 40, mark.replacing);
  seal(out, salt);
  return out;
}

std::optional<Mark> decode_mark(std::span<const std::byte, mark_bytes> in, std::uint64_t salt) {
  if (!begins(in, mark_magic) || !sealed(in, salt)) return std::nullopt;
  const Mark mark{load_at<std::uint64_t>(in, 8), load_at<std::uint64_t>(in, 16),
                  load_at<std::uint64_t>(in, 24), load_at<std::uint64_t>(in, 32),
                  load_at<std::uint64_t>(in, 40)};
  if (mark.end < records_at || mark.end % record_bytes != 0) return std::nullopt;
  return mark;
}

RecordBytes encode(const Record& record, std::uint64_t salt) {
  RecordBytes out{};
  put_text(out, record_magic);
  store_at<std::uint8_t>(out, 4, record.taken_away ? kind_taken_away : kind_tile);
  store_at<std::uint8_t>(out, 5, record.replaces ? flag_replaces : 0);
  store_at<std::uint8_t>(out, 6, static_cast<std::uint8_t>(record.format.sample));
  store_at<std::uint8_t>(out, 7, record.format.channels);
  store_at<std::uint16_t>(out, 8, record.format.meta_bytes);
  store_at(out, 12, record.cell.level);
  store_at(out, 16, record.cell.col);
  store_at(out, 20, record.cell.row);
  store_at(out, 24, record.size.w);
  store_at(out, 28, record.size.h);
  store_at(out, 32, record.generation);
  store_at(out, 40, record.checksum);
  store_at(out, 48, record.offset);
  seal(out, salt);
  return out;
}

std::optional<Record> decode_record(std::span<const std::byte, record_bytes> in, std::uint64_t salt,
                                    std::uint64_t offset) {
  if (!begins(in, record_magic) || !sealed(in, salt)) return std::nullopt;
  const auto kind = load_at<std::uint8_t>(in, 4), flags = load_at<std::uint8_t>(in, 5),
             sample = load_at<std::uint8_t>(in, 6);
  Record record;
  record.taken_away = kind == kind_taken_away;
  record.replaces = (flags & flag_replaces) != 0;
  record.format = {static_cast<Sample>(sample), load_at<std::uint8_t>(in, 7), load_at<std::uint16_t>(in, 8)};
  record.cell = {load_at<std::uint32_t>(in, 12), load_at<std::uint32_t>(in, 16),
                 load_at<std::uint32_t>(in, 20)};
  record.size = {load_at<std::uint32_t>(in, 24), load_at<std::uint32_t>(in, 28)};
  record.generation = load_at<std::uint64_t>(in, 32);
  record.checksum = load_at<std::uint64_t>(in, 40);
  record.offset = load_at<std::uint64_t>(in, 48);
  if ((kind != kind_tile && kind != kind_taken_away) || sample >= sample_kinds || record.offset != offset)
    return std::nullopt;
  const auto bytes = checked_mul<std::uint64_t>(record.size.area(), record.format.pixel_bytes());
  if (!bytes || *bytes > std::numeric_limits<std::uint32_t>::max() || (*bytes == 0) != record.taken_away)
    return std::nullopt;
  return record;
}

}  // namespace smalti::tile_file
