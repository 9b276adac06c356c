#include "wire/tile_coding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace smalti::wire::native {
namespace {

struct Case {
  std::string name;
  Extent size;
  PixelFormat format;
};

// Slopes with a little noise, in whatever the samples are: what pictures are like.
Tile slope(const Case& of, TileHeap& heap, unsigned seed = 1) {
  auto draft = TileDraft::make(of.size, of.format, heap).value();
  std::mt19937 random(seed);
  const std::size_t row = of.size.w * of.format.pixel_bytes();
  const bool words = of.format.sample == Sample::u16;
  for (std::size_t i = 0; i < draft.bytes().size(); ++i) {
    const std::size_t value = i % row / 7 + i / row + random() % 3;
    draft.bytes()[i] = static_cast<std::byte>(words && i % 2 != 0 ? value / 16 : value);
  }
  return std::move(draft).freeze();
}

const std::vector<Case> cases{
    {"gray", {64, 64}, {Sample::u8, 1, 0}},       {"rgb", {256, 256}, {Sample::u8, 3, 0}},
    {"five", {31, 17}, {Sample::u8, 5, 0}},       {"rgba16", {100, 60}, {Sample::u16, 4, 0}},
    {"rgb16", {256, 256}, {Sample::u16, 3, 0}},   {"gray16", {1, 300}, {Sample::u16, 1, 0}},
    {"meta", {64, 64}, {Sample::u8, 3, 2}},       {"float", {40, 40}, {Sample::f32, 3, 0}},
    {"one column", {1, 500}, {Sample::u8, 3, 0}}, {"one row", {500, 1}, {Sample::u16, 2, 0}}};

TEST(TileCoding, WhatComesBackIsWhatWasCoded) {
  TileHeap heap;
  for (const Case& one : cases)
    for (const Coder coder : {Coder::lz4, Coder::zstd}) {
      const Tile tile = slope(one, heap);
      const auto coded = encode_tile(tile, coder, heap);
      ASSERT_TRUE(coded) << one.name;
      if (!*coded) continue;
      EXPECT_LT(coded->charge(), tile.charge()) << one.name;
      const auto back = decode_tile(coded->bytes(), one.size, one.format, heap);
      ASSERT_TRUE(back) << one.name << ": " << back.error().what;
      EXPECT_EQ(back->computed_checksum(), tile.computed_checksum()) << one.name;
    }
}

TEST(TileCoding, PicturesGetShorterAndNoiseStaysAsItIs) {
  TileHeap heap;
  for (const Coder coder : {Coder::lz4, Coder::zstd}) {
    const Tile picture = slope(cases[1], heap);
    const auto coded = encode_tile(picture, coder, heap);
    ASSERT_TRUE(coded && *coded);
    EXPECT_LT(coded->charge() * (coder == Coder::zstd ? 2 : 1), picture.charge());

    auto draft = TileDraft::make({256, 256}, {Sample::u16, 3, 0}, heap).value();
    std::mt19937 random(1);
    std::generate(draft.bytes().begin(), draft.bytes().end(), [&] { return static_cast<std::byte>(random()); });
    const auto none = encode_tile(std::move(draft).freeze(), coder, heap);
    ASSERT_TRUE(none);
    EXPECT_FALSE(*none);
  }
  EXPECT_FALSE(*encode_tile(slope(cases[1], heap), Coder::none, heap));
}

TEST(TileCoding, UnknownCodingsAndOtherSizesAreCorrupt) {
  TileHeap heap;
  const Case& of = cases[1];
  const auto coded = encode_tile(slope(of, heap), Coder::zstd, heap);
  ASSERT_TRUE(coded && *coded);
  std::vector<std::byte> bytes(coded->bytes().begin(), coded->bytes().end());
  const auto is_corrupt = [&](std::span<const std::byte> in, Extent size, PixelFormat format) {
    const auto back = decode_tile(in, size, format, heap);
    return !back && back.error().code == Errc::corrupt;
  };
  for (const std::size_t at : {0u, 1u, 2u, 3u}) {
    const std::byte was = std::exchange(bytes[at], std::byte{77});
    EXPECT_TRUE(is_corrupt(bytes, of.size, of.format)) << at;
    bytes[at] = was;
  }
  EXPECT_TRUE(is_corrupt(bytes, {256, 255}, of.format));
  EXPECT_TRUE(is_corrupt(bytes, {256, 257}, of.format));
  EXPECT_TRUE(is_corrupt(bytes, of.size, {Sample::u16, 3, 0}));
  for (const std::size_t size : {std::size_t{0}, std::size_t{3}, std::size_t{4}, bytes.size() / 2, bytes.size() - 1})
    EXPECT_TRUE(is_corrupt(std::span(bytes).first(size), of.size, of.format)) << size;
}

TEST(TileCoding, DamageIsRefusedOrYieldsATileOfTheRightSize) {
  TileHeap heap;
  std::mt19937 random(5);
  for (const Case& of : {cases[2], cases[3]})
    for (const Coder coder : {Coder::lz4, Coder::zstd}) {
      const auto coded = encode_tile(slope(of, heap), coder, heap);
      if (!coded || !*coded) continue;
      const std::vector<std::byte> sound(coded->bytes().begin(), coded->bytes().end());
      for (int n = 0; n < 500; ++n) {
        std::vector<std::byte> spoilt = sound;
        for (unsigned flips = random() % 4 + 1; flips > 0; --flips)
          spoilt[random() % spoilt.size()] ^= static_cast<std::byte>(1u << random() % 8);
        const auto back = decode_tile(spoilt, of.size, of.format, heap);
        if (back)
          EXPECT_EQ(back->charge(), of.size.area() * of.format.pixel_bytes());
        else
          EXPECT_EQ(back.error().code, Errc::corrupt);
      }
    }
}

}  // namespace
}  // namespace smalti::wire::native
