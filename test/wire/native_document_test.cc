// The examples of doc/wire-native.md, as literal bytes: whoever changes them changes the protocol.
#include <gtest/gtest.h>

#include <cstring>
#include <string_view>

#include "wire/native_decode.h"

namespace smalti::wire::native {
namespace {

std::vector<std::byte> hex(std::string_view text) {
  std::vector<std::byte> out;
  int half = -1;
  for (const char c : text) {
    if (c == ' ') continue;
    const int digit = c <= '9' ? c - '0' : c - 'a' + 10;
    if (half >= 0) out.push_back(static_cast<std::byte>(half * 16 + digit));
    half = half >= 0 ? -1 : digit;
  }
  return out;
}

Frame decoded(Decoder::From from, const std::vector<std::byte>& bytes) {
  Decoder decoder(from);
  const auto space = decoder.space();
  std::memcpy(space.data(), bytes.data(), bytes.size());
  decoder.filled(bytes.size());
  auto frame = decoder.next();
  EXPECT_TRUE(frame && *frame);
  return frame && *frame ? std::move(**frame) : Frame{};
}

ImageId counting(std::uint8_t first) {
  ImageId id;
  for (std::size_t i = 0; i < id.raw.size(); ++i) id.raw[i] = static_cast<std::byte>(first + i);
  return id;
}

TEST(NativeDocument, Ping) {
  const auto bytes =
      hex("53 4d 01 07 00 00 00 00  02 00 00 00 00 00 00 00  22 11 00 00 00 00 00 00"
          "00 00 00 00 00 00 00 00  f4 01 00 00 81 bc 34 2d");
  EXPECT_EQ(encode({2, 0x1122, 500}, Ping{}), bytes);
  const Frame frame = decoded(Decoder::From::client, bytes);
  EXPECT_TRUE(std::holds_alternative<Ping>(frame.message));
  EXPECT_EQ(frame.meta.millis, 500u);
}

TEST(NativeDocument, Hello) {
  const auto bytes =
      hex("53 4d 01 01 24 00 00 00  01 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00"
          "00 00 00 00 00 00 00 00  00 00 00 00 6f 0c be 7a"
          "01 00 00 00 10 00 00 00  00 08 01 00 00 01 02 03  04 05 06 07 08 09 0a 0b"
          "0c 0d 0e 0f 00 00 00 00  02 00 6d 65");
  Hello hello{{1, 16, false, 8, true}, counting(0).raw, false, "me"};
  EXPECT_EQ(encode({1, 0, 0}, hello), bytes);
  const Frame frame = decoded(Decoder::From::client, bytes);
  const auto& m = std::get<Hello>(frame.message);
  EXPECT_EQ(m.attributes, hello.attributes);
  EXPECT_EQ(m.session, hello.session);
  EXPECT_EQ(m.name, "me");
}

TEST(NativeDocument, Put) {
  const auto bytes =
      hex("53 4d 01 03 3c 00 00 00  04 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00"
          "06 00 00 00 00 00 00 00  00 00 00 00 ed c8 89 15"
          "01 00 00 00 a0 a1 a2 a3  a4 a5 a6 a7 a8 a9 aa ab  ac ad ae af 00 00 00 00"
          "02 00 00 00 05 00 00 00  00 00 00 00 00 00 00 00  00 00 00 00 88 77 66 55"
          "44 33 22 11 06 00 00 00  06 00 00 00");
  const TileKey key{counting(0xa0), 0, 2, 5};
  EXPECT_EQ(encode({4, 0, 0}, Put{{{key, {}, 0x1122334455667788, 6}}}), bytes);
  const Frame frame = decoded(Decoder::From::client, bytes);
  const auto& item = std::get<Put>(frame.message).items.at(0);
  EXPECT_EQ(item.key, key);
  EXPECT_EQ(item.checksum, 0x1122334455667788u);
  EXPECT_FALSE(item.only_if);
  EXPECT_EQ(frame.body_bytes, 6u);
}

TEST(NativeDocument, Tiles) {
  const auto bytes =
      hex("53 4d 01 86 28 00 00 00  03 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00"
          "00 00 00 00 00 00 00 00  00 00 00 00 dc 04 f8 f7"
          "01 00 00 00 00 00 00 00  02 0a 04 00 00 00 00 00  00 00 00 00 00 00 00 00"
          "00 00 00 00 00 00 00 00  00 00 00 00 64 69 73 6b");
  const Frame frame = decoded(Decoder::From::server, bytes);
  const auto& answer = std::get<Tiles>(frame.message).answers.at(0);
  EXPECT_EQ(answer.state, TileAnswer::State::failed);
  EXPECT_EQ(answer.error.code, Errc::io);
  EXPECT_EQ(answer.error.what, "disk");
  EXPECT_EQ(encode({3, 0, 0}, frame.message), bytes);
}

TEST(NativeDocument, Lock) {
  const auto bytes =
      hex("53 4d 01 20 10 00 00 00  05 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00"
          "00 00 00 00 00 00 00 00  00 00 00 00 73 53 d8 24  06 00 73 6c 69 64 65 31"
          "03 00 00 00 00 00 00 00");
  EXPECT_EQ(encode({5, 0, 0}, native::Lock{"slide1", 3}), bytes);
  const Frame frame = decoded(Decoder::From::client, bytes);
  EXPECT_EQ(std::get<native::Lock>(frame.message).name, "slide1");
  EXPECT_EQ(std::get<native::Lock>(frame.message).number, 3u);
}

TEST(NativeDocument, Enter) {
  const auto bytes =
      hex("53 4d 01 23 95 00 00 00  06 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00"
          "09 00 00 00 00 00 00 00  00 00 00 00 3d d4 78 18  06 00 73 6c 69 64 65 31"
          "03 00 00 00 00 00 00 00  00 00 00 00 08 07 06 05  04 03 02 01 09 00 00 00"
          "a0 a1 a2 a3 a4 a5 a6 a7  a8 a9 aa ab ac ad ae af  2c 01 00 00 c8 00 00 00"
          "00 01 00 00 00 01 00 00  00 03 00 00 00 68 e5 cf  8b 01 00 00 02 00 00 00"
          "00 00 00 00 20 bf 02 00  00 00 00 00 01 00 00 00  08 00 00 00 00 00 00 00"
          "01 00 00 00 10 11 12 13  14 15 16 17 18 19 1a 1b  1c 1d 1e 1f 88 77 66 55"
          "44 33 22 11 01 00 0d 00  31 30 2e 30 2e 30 2e 31  3a 36 36 36 38");
  NameRecord record;
  record.image = counting(0xa0);
  record.spec = {{300, 200}, {Sample::u8, 3, 0}, {256, 256}};
  record.created = 1700000000000;
  record.tiles = 2;
  record.bytes = 180000;
  record.keepers = {{counting(0x10).raw, 0x1122334455667788, true, "10.0.0.1:6668"}};
  EXPECT_EQ(encode({6, 0, 0}, Enter{"slide1", 3, false, false, record, 0x0102030405060708, 9}), bytes);
  const Frame frame = decoded(Decoder::From::client, bytes);
  const auto& m = std::get<Enter>(frame.message);
  EXPECT_EQ(m.record, record);
  EXPECT_EQ(m.number, 3u);
  EXPECT_EQ(frame.body_bytes, 9u);
}

TEST(NativeDocument, Share) {
  const auto bytes =
      hex("53 4d 01 30 28 00 00 00  07 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00"
          "00 00 00 00 00 00 00 00  00 00 00 00 20 89 17 94  00 01 02 03 04 05 06 07"
          "08 09 0a 0b 0c 0d 0e 0f  20 21 22 23 24 25 26 27  28 29 2a 2b 2c 2d 2e 2f"
          "00 00 10 00 50 c3 0c 1a");
  const Share said{counting(0).raw, counting(0x20).raw, 1u << 20, 50000, 6668};
  EXPECT_EQ(encode({7, 0, 0}, said), bytes);
  const Frame frame = decoded(Decoder::From::client, bytes);
  const auto& m = std::get<Share>(frame.message);
  EXPECT_EQ(m.door, said.door);
  EXPECT_EQ(m.token, said.token);
  EXPECT_EQ(m.bytes, said.bytes);
  EXPECT_EQ(m.client_port, said.client_port);
  EXPECT_EQ(m.server_port, said.server_port);
}

TEST(NativeDocument, SharedGet) {
  const auto bytes =
      hex("53 4d 01 31 28 00 00 00  08 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00"
          "00 00 00 00 00 00 00 00  00 00 00 00 46 21 18 ee  01 00 00 00 a0 a1 a2 a3"
          "a4 a5 a6 a7 a8 a9 aa ab  ac ad ae af 00 00 00 00  02 00 00 00 05 00 00 00"
          "00 00 00 00 40 00 00 00");
  const TileKey key{counting(0xa0), 0, 2, 5};
  EXPECT_EQ(encode({8, 0, 0}, SharedGet{Get{{key}}, {64}}), bytes);
  const Frame frame = decoded(Decoder::From::client, bytes);
  const auto& m = std::get<SharedGet>(frame.message);
  EXPECT_EQ(m.get.keys.at(0), key);
  EXPECT_EQ(m.at.at(0), 64u);
  EXPECT_EQ(frame.body_bytes, 0u);
}

}  // namespace
}  // namespace smalti::wire::native
