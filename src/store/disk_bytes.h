// Numbers in files: little-endian, at fixed places.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

namespace smalti {

inline constexpr std::uint8_t little_endian_pixels = 1;  // what files call the byte order of samples
inline constexpr std::uint8_t big_endian_pixels = 2;

template <std::unsigned_integral T>
void store_at(std::span<std::byte> bytes, std::size_t at, T value) noexcept {
  for (std::size_t i = 0; i < sizeof(T); ++i) bytes[at + i] = static_cast<std::byte>(value >> (8 * i));
}

template <std::unsigned_integral T>
T load_at(std::span<const std::byte> bytes, std::size_t at) noexcept {
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i)
    value = static_cast<T>(value | T{std::to_integer<T>(bytes[at + i])} << (8 * i));
  return value;
}

}  // namespace smalti
