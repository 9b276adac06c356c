// ImageMagick's requests as they stand on the wire: a letter, the key, and raw fields of the client's memory. No
// bounds are applied here beyond those of the message itself; see magick_shape.h.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <variant>
#include <vector>

#include "wire/magick_key.h"

namespace smalti::wire::magick {

enum class Command : char {
  open = 'o',
  read = 'r',
  write = 'w',
  read_meta = 'R',   // 7: metacontent; 6: the index (or black) of each pixel
  write_meta = 'W',
  destroy = 'd',
};

// Storage classes and channel masks, as the client's memory has them.
inline constexpr std::uint32_t class_pseudo = 2;
inline constexpr std::uint32_t colorspace_cmyk_im6 = 12;
inline constexpr std::size_t most_channels = 64;

// Two tables laid over each other: entry[slot].channel is the channel in that slot of a pixel; entry[channel].traits
// and .offset describe the channel.
struct ChannelEntry {
  std::uint32_t channel = 0;
  std::uint32_t traits = 0;
  std::int64_t offset = 0;
  auto operator<=>(const ChannelEntry&) const = default;
};

struct Open {
  Family family = Family::im7;
  bool wide_masks = false;
  std::uint32_t storage_class = 0;
  std::uint32_t colorspace = 0;
  std::uint32_t alpha = 0;      // 7 only
  std::uint64_t masks = 0;      // 7: 0x40 read, 0x80 write, 0x200 composite mask; 6: always 0
  std::uint64_t columns = 0;
  std::uint64_t rows = 0;
  std::uint64_t channels = 4;   // 7: transmitted; 6: blue, green, red, opacity
  std::uint64_t meta_bytes = 0; // 7: metacontent bytes a pixel
  std::array<ChannelEntry, most_channels> map{};  // 7 only; kept, never believed
  bool operator==(const Open&) const = default;
};

// `length` bytes travel: after a write's header, or as the answer to a read.
struct Region {
  Command command = Command::read;
  std::uint64_t width = 0, height = 0;
  std::int64_t x = 0, y = 0;
  std::uint64_t length = 0;
  bool operator==(const Region&) const = default;
};

struct Destroy {
  bool operator==(const Destroy&) const = default;
};

using Request = std::variant<Region, Open, Destroy>;

struct Frame {
  Key key{};
  Request request;
  std::size_t bytes = 0;  // of the header; a write's payload follows it
};

inline constexpr std::size_t prefix_bytes = 9;  // letter and key
inline constexpr std::size_t region_bytes = 49;
inline constexpr std::size_t destroy_bytes = 9;
inline constexpr std::size_t open_bytes_im6 = 41;
inline constexpr std::size_t open_bytes_im7 = 1081;
inline constexpr std::size_t open_bytes_im7_wide = 1085;
inline constexpr std::size_t most_header_bytes = open_bytes_im7_wide;

// nullopt: the header is not whole yet. Errc::unsupported: no command begins with this letter.
// A client with wide channel masks is recognised by its open request.
Result<std::optional<Frame>> parse_frame(Family, Bytes);

std::vector<std::byte> encode(const Request&, const Key&);

// The answer to `o` and `d`, and the announcement of a failure.
inline constexpr std::size_t status_bytes = 4;
std::array<std::byte, status_bytes> encode_status(bool ok) noexcept;

}  // namespace smalti::wire::magick
