// Little-endian fields, appended and taken, and the numbers that messages have on the wire. For the native
// codec, and for what clients write into the records of names.
#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "smalti/base/result.h"

namespace smalti::wire::native {

inline constexpr std::uint16_t frame_mark = 0x4d53;  // "SM"
inline constexpr std::uint8_t frame_version = 1;
inline constexpr std::size_t check_offset = 36;  // of the check in the header
inline constexpr std::size_t attribute_bytes = 12;

// 0x80 and above: replies. Gaps are reserved: see the specification.
enum class Kind : std::uint8_t {
  hello = 1,
  open = 2,
  put = 3,
  get = 4,
  drop = 5,
  sync = 6,
  ping = 7,
  use = 8,
  goodbye = 9,
  look = 0x10,
  list_names = 0x11,
  lock = 0x20,
  unlock = 0x21,
  pin = 0x22,
  enter = 0x23,
  settle = 0x24,
  share = 0x30,
  shared_get = 0x31,
  shared_put = 0x32,
  welcome = 0x81,
  refused = 0x82,
  done = 0x83,
  failed = 0x84,
  put_done = 0x85,
  tiles = 0x86,
  use_report = 0x87,
  register_ = 0x90,
  names_page = 0x91,
  shared_tiles = 0xb1,
};

// A code's number on the wire is its place in this table, counted from 1, and never changes.
inline constexpr std::array<Errc, 13> codes{
    Errc::invalid,   Errc::limit,       Errc::unauthorized, Errc::incompatible, Errc::timeout,
    Errc::cancelled, Errc::unavailable, Errc::would_wait,   Errc::conflict,     Errc::io,
    Errc::corrupt,   Errc::unsupported, Errc::internal};

inline std::uint8_t number_of(Errc code) noexcept {
  return static_cast<std::uint8_t>(std::find(codes.begin(), codes.end(), code) - codes.begin() + 1);
}
inline Errc code_of(std::uint8_t number) noexcept {
  return number == 0 || number > codes.size() ? Errc::internal : codes[number - 1u];
}

// The low half of XXH3-64 of the head, seeded with XXH3-64 of the header before the check.
std::uint32_t head_check(std::span<const std::byte> header_and_head) noexcept;

class Writer {
 public:
  explicit Writer(std::size_t expected) { out_.reserve(expected); }

  template <std::unsigned_integral T>
  void num(T value) {
    for (std::size_t i = 0; i < sizeof(T); ++i)
      out_.push_back(static_cast<std::byte>(std::uint64_t{value} >> (8 * i)));
  }
  void u8(std::uint8_t v) { num(v); }
  void u16(std::uint16_t v) { num(v); }
  void u32(std::uint32_t v) { num(v); }
  void u64(std::uint64_t v) { num(v); }
  void raw(std::span<const std::byte> bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }
  void chars(std::string_view text) { raw(std::as_bytes(std::span(text))); }
  // A length of two bytes, then the text, cut to `most`.
  void text(std::string_view text, std::size_t most) {
    text = text.substr(0, most);
    u16(static_cast<std::uint16_t>(text.size()));
    chars(text);
  }
  void patch(std::size_t at, std::uint32_t value) {
    for (std::size_t i = 0; i < 4; ++i) out_[at + i] = static_cast<std::byte>(value >> (8 * i));
  }
  std::size_t size() const noexcept { return out_.size(); }
  std::vector<std::byte>& bytes() noexcept { return out_; }

 private:
  std::vector<std::byte> out_;
};

// Taking beyond the end yields zeros and leaves the reader broken for good, so that a parser checks once, at
// its end.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> in) noexcept : in_(in) {}

  template <std::unsigned_integral T>
  T num() noexcept {
    const auto from = raw(sizeof(T));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < from.size(); ++i) value |= std::to_integer<std::uint64_t>(from[i]) << (8 * i);
    return static_cast<T>(value);
  }
  std::uint8_t u8() noexcept { return num<std::uint8_t>(); }
  std::uint16_t u16() noexcept { return num<std::uint16_t>(); }
  std::uint32_t u32() noexcept { return num<std::uint32_t>(); }
  std::uint64_t u64() noexcept { return num<std::uint64_t>(); }
  std::span<const std::byte> raw(std::size_t n) noexcept {
    if (n > in_.size()) {
      broken_ = true;
      in_ = {};
      return {};
    }
    const auto taken = in_.first(n);
    in_ = in_.subspan(n);
    return taken;
  }
  template <std::size_t N>
  std::array<std::byte, N> array() noexcept {
    std::array<std::byte, N> out{};
    const auto from = raw(N);
    std::copy(from.begin(), from.end(), out.begin());
    return out;
  }
  // Control characters become '?': texts of a peer go to logs and terminals.
  std::string chars(std::size_t n) {
    const auto from = raw(n);
    std::string out(from.size(), '?');
    for (std::size_t i = 0; i < from.size(); ++i)
      if (const auto c = std::to_integer<unsigned char>(from[i]); c >= 0x20 && c != 0x7f)
        out[i] = static_cast<char>(c);
    return out;
  }
  std::string text(std::size_t most) {
    const std::size_t n = u16();
    if (n > most) broken_ = true;
    return broken_ ? std::string() : chars(n);
  }
  std::size_t left() const noexcept { return in_.size(); }
  bool broken() const noexcept { return broken_; }

 private:
  std::span<const std::byte> in_;
  bool broken_ = false;
};

}  // namespace smalti::wire::native
