// Tiles whose every byte follows from key and version, so that a torn, stale or misplaced tile shows.
#pragma once

#include <cstring>
#include <optional>

#include "smalti/tile/grid.h"

namespace smalti::test {

inline std::uint64_t scramble(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// The byte at `at` of a tile. The first eight bytes are the version itself.
inline std::byte pattern_byte(const TileKey& key, std::uint64_t version, std::size_t at) {
  if (at < 8) return static_cast<std::byte>(version >> (8 * at));
  const std::uint64_t word = scramble(std::hash<TileKey>{}(key) ^ scramble(version) ^ (at / 8));
  return static_cast<std::byte>(word >> (8 * (at % 8)));
}

// REQUIRES: tiles of spec have at least 8 bytes.
inline Tile pattern_tile(TileHeap& heap, const ImageSpec& spec, const TileKey& key, std::uint64_t version) {
  auto draft = TileDraft::make(Grid(spec).rect(key).size, spec.format, heap);
  if (!draft) return {};
  const auto bytes = draft->bytes();
  for (std::size_t at = 0; at < bytes.size(); ++at) bytes[at] = pattern_byte(key, version, at);
  return std::move(*draft).freeze();
}

// The version of a tile that is whole and belongs to key; nullopt for any other.
inline std::optional<std::uint64_t> version_of(const Tile& tile, const TileKey& key) {
  if (!tile || tile.bytes().size() < 8) return std::nullopt;
  const auto bytes = tile.bytes();
  std::uint64_t version = 0;
  for (std::size_t at = 0; at < 8; ++at) version |= std::to_integer<std::uint64_t>(bytes[at]) << (8 * at);
  for (std::size_t at = 8; at < bytes.size(); ++at)
    if (bytes[at] != pattern_byte(key, version, at)) return std::nullopt;
  return version;
}

}  // namespace smalti::test
