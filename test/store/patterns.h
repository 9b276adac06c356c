// Tiles whose every byte follows from key and version, so that a torn, stale or misplaced tile shows.
#pragma once

#include <algorithm>
#include <cstring>
#include <optional>

#include "smalti/policy/limits.h"
#include "smalti/tile/grid.h"

namespace smalti::test {

inline std::uint64_t scramble(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// What follows the first eight bytes, which are the version itself, eight bytes at a time.
inline std::uint64_t pattern_word(std::uint64_t seed, std::size_t at) { return scramble(seed ^ at); }
inline std::uint64_t pattern_seed(const TileKey& key, std::uint64_t version) {
  return scramble(std::hash<TileKey>{}(key) ^ scramble(version));
}

// REQUIRES: tiles of spec have at least 8 bytes.
inline Tile pattern_tile(TileHeap& heap, const ImageSpec& spec, const TileKey& key, std::uint64_t version) {
  auto draft = TileDraft::make(Grid(spec).rect(key).size, spec.format, heap);
  if (!draft) return {};
  const auto bytes = draft->bytes();
  const std::uint64_t seed = pattern_seed(key, version);
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    const std::uint64_t word = at == 0 ? version : pattern_word(seed, at);
    std::memcpy(bytes.data() + at, &word, std::min<std::size_t>(8, bytes.size() - at));
  }
  return std::move(*draft).freeze();
}

// The version of a tile that is whole and belongs to key; nullopt for any other.
inline std::optional<std::uint64_t> version_of(const Tile& tile, const TileKey& key) {
  if (!tile || tile.bytes().size() < 8) return std::nullopt;
  const auto bytes = tile.bytes();
  std::uint64_t version = 0;
  std::memcpy(&version, bytes.data(), 8);
  const std::uint64_t seed = pattern_seed(key, version);
  for (std::size_t at = 8; at < bytes.size(); at += 8) {
    const std::uint64_t word = pattern_word(seed, at);
    if (std::memcmp(bytes.data() + at, &word, std::min<std::size_t>(8, bytes.size() - at)) != 0) return std::nullopt;
  }
  return version;
}

inline Limits all_limits(std::uint64_t most) {
  Limits limits;
  limits.most.fill(most);
  return limits;
}

// Tiles of 16 KiB, those at the right and bottom border smaller.
inline const ImageSpec suite_image{{500, 300}, {Sample::u8, 4, 0}, {64, 64}};

}  // namespace smalti::test
