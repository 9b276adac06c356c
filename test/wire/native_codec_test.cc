// Messages survive the way over the wire, in whatever pieces it brings them; nothing else gets in.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "wire/native_bytes.h"
#include "wire/native_decode.h"

namespace smalti::wire::native {
namespace {

using From = Decoder::From;
using Bytes = std::vector<std::byte>;

ImageId image(std::uint8_t first) {
  ImageId id;
  for (std::size_t i = 0; i < id.raw.size(); ++i) id.raw[i] = static_cast<std::byte>(first + i);
  return id;
}

Id id(std::uint8_t first) { return image(first).raw; }

From sender(const Message& m) {
  const bool named = m.index() >= Message(Look{}).index() && m.index() <= Message(Settle{}).index();
  const bool shared = m.index() >= Message(Share{}).index() && m.index() <= Message(SharedPut{}).index();
  return m.index() <= Message(Goodbye{}).index() || named || shared ? From::client : From::server;
}

void give(Decoder& decoder, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto space = decoder.space();
    const std::size_t n = std::min(space.size(), bytes.size());
    std::memcpy(space.data(), bytes.data(), n);
    decoder.filled(n);
    bytes = bytes.subspan(n);
  }
}

Result<std::optional<Frame>> decoded(From from, std::span<const std::byte> bytes) {
  Decoder decoder(from);
  give(decoder, bytes);
  return decoder.next();
}

NameRecord record() {
  NameRecord m;
  m.image = image(9);
  m.spec = {{300, 200}, {Sample::u16, 3, 0}, {256, 128}};
  m.created = 1700000000123;
  m.tiles = 4;
  m.bytes = 360000;
  m.replicas = 2;
  m.whole = true;
  m.depth = 12;
  m.keepers = {{id(10), 11, true, "10.0.0.1:6668"}, {id(12), 13, false, "[::1]:6668"}};
  return m;
}

Register known() {
  Register m;
  m.promised = 7;
  m.holder = "smalti (10.0.0.9:4000)";
  m.pinned = 6;
  m.pinned_keepers = {record().keepers.back()};
  m.orphaned = m.settled = m.deleted = true;
  m.number = 5;
  m.record = record();
  m.held_bytes = 1234;
  m.checksum = 99;
  return m;
}

// One of each, with every field set.
std::vector<Message> one_of_each() {
  const Attributes attributes{1, 8, true, 4, false};
  const TileKey key{image(7), 0, 3, 5};
  Put put{{{key, Generation{9}, 0x1122334455667788, 12},
           {key, {}, 1, 3},
           {key, {}, 0, 0}}};  // the last: taken away
  PutDone put_done{{{1, Generation{4}}, {0, fail(Errc::limit, "no room")}}};
  Tiles tiles{{{2, TileAnswer::State::present, Generation{6}, 77, 5, {}},
               {0, TileAnswer::State::absent, {}, 0, 0, {}},
               {1, TileAnswer::State::failed, {}, 0, 0, {Errc::corrupt, "bad disk"}}}};
  UseReport use{
      {{"Memory", "", 3, 4}, {"Disk", "/tmp", 5, 6}}, {{"put.bytes", 8}}, {{Resource::disk, 100, 50}}};
  return {Hello{attributes, id(1), true, "test"},
          Open{image(2), {{300, 200}, {Sample::u16, 3, 2}, {256, 128}}},
          put,
          Get{{key, {image(1), 2, 8, 9}}},
          Drop{image(3)},
          Sync{},
          Ping{},
          Use{image(4)},
          Use{},
          Goodbye{true, "done"},
          Welcome{attributes, id(5), 0x0102030405060708, true, true, 30000, 1 << 20, "server"},
          Refused{Errc::incompatible, attributes, "quantum depth 16 here, 8 there"},
          Done{},
          Failed{{Errc::io, "disk full"}},
          put_done,
          tiles,
          use,
          Sync{image(8)},
          Open{image(2), {{300, 200}, {Sample::u8, 3, 0}, {256, 256}}, true},
          Open{image(2), {{300, 200}, {Sample::u8, 3, 0}, {256, 256}}, false, true},
          Look{"slide 1"},
          ListNames{"slide"},
          ListNames{},
          Lock{"slide", 3},
          Unlock{"slide", 3},
          Pin{"slide", 3, image(6), true, record().keepers},
          Enter{"sl\xC3\xA4ide", 3, true, true, record(), 0x1122334455667788, 0},
          Settle{"slide", 3, true},
          Register{},
          known(),
          NamesPage{{{"a", Register{}}, {"b", known()}}, true, 1000, 10},
          Share{id(20), id(40), 1 << 20, 50000, 6668},
          SharedGet{{{key, {image(1), 2, 8, 9}}}, {64, 8192}},
          SharedPut{put, {64, 128, 192}},
          SharedTiles{tiles}};
}

TEST(NativeCodec, EveryMessageRoundTrips) {
  std::vector<bool> seen(std::variant_size_v<Message>);
  for (const Message& m : one_of_each()) {
    const Bytes first = encode({42, 99, 1500}, m);
    auto frame = decoded(sender(m), first);
    ASSERT_TRUE(frame && *frame) << name_of(m) << (frame ? "" : frame.error().what);
    EXPECT_EQ((*frame)->message.index(), m.index());
    EXPECT_EQ((*frame)->meta.request, 42u);
    EXPECT_EQ((*frame)->meta.trace, 99u);
    EXPECT_EQ((*frame)->meta.millis, 1500u);
    // Encoding is injective, so that equal bytes mean equal messages.
    EXPECT_EQ(encode({42, 99, 1500}, (*frame)->message), first) << name_of(m);
    seen[m.index()] = true;
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), false), 0);
}

TEST(NativeCodec, FieldsArriveAsTheyWereSent) {
  const auto all = one_of_each();
  const auto put = decoded(From::client, encode({}, all[2]));
  const auto& item = std::get<Put>((*put)->message).items[0];
  EXPECT_EQ(item.key, (TileKey{image(7), 0, 3, 5}));
  EXPECT_EQ(item.only_if, Generation{9});
  EXPECT_EQ(item.checksum, 0x1122334455667788u);
  EXPECT_EQ((*put)->body_bytes, 15u);
  const auto refused = decoded(From::server, encode({}, all[11]));
  EXPECT_EQ(std::get<Refused>((*refused)->message).attributes, (Attributes{1, 8, true, 4, false}));
  const auto done = decoded(From::server, encode({}, all[14]));
  const auto& answers = std::get<PutDone>((*done)->message).answers;
  EXPECT_EQ(*answers[0].put, Generation{4});
  EXPECT_EQ(answers[1].put.error().what, "no room");
  EXPECT_EQ(answers[1].put.error().code, Errc::limit);
}

TEST(NativeCodec, RecordsOfNamesArriveAsTheyWereSent) {
  const auto page = decoded(From::server, encode({}, NamesPage{{{"b", known()}}, true, 1000, 10}));
  ASSERT_TRUE(page && *page);
  const auto& got = std::get<NamesPage>((*page)->message);
  EXPECT_TRUE(got.more);
  EXPECT_EQ(got.quota, 1000u);
  EXPECT_EQ(got.used, 10u);
  const Register& state = got.lines.at(0).state;
  EXPECT_EQ(state.record, record());
  EXPECT_EQ(state.promised, 7u);
  EXPECT_EQ(state.pinned, 6u);
  EXPECT_EQ(state.holder, known().holder);
  EXPECT_TRUE(state.orphaned && state.settled && state.deleted);
  Enter enter{"n", 3, false, true, record(), 5, 77};
  const auto entered = decoded(From::client, encode({}, enter));
  ASSERT_TRUE(entered && *entered);
  EXPECT_EQ((*entered)->body_bytes, 77u);
  EXPECT_EQ(std::get<Enter>((*entered)->message).record, record());
}

TEST(NativeCodec, NamesArePrintableText) {
  for (const char* fine : {"a", "slide 1.tif", "Gr\xC3\xB6\xC3\x9F" "e", "\xE5\x9B\xBE\xE5\x83\x8F", "\xF0\x9F\x90\x88", "a:b", "%03d"})
    EXPECT_TRUE(check_name(fine)) << fine;
  EXPECT_TRUE(check_name(std::string(255, 'x')));
  for (const char* bad : {"", "a/b", "a[1]", "a]", "a\nb", "\x7F", "\x1B[31m", "\xC3", "\xC0\xAF", "\xED\xA0\x80", "\xF5\x80\x80\x80",
                          "\xC2\x85", "a\xE2\x80\xAE" "b", "\xEF\xBB\xBF", "\x80"}) {
    EXPECT_FALSE(check_name(bad)) << bad;
    EXPECT_FALSE(decoded(From::client, encode({}, Look{bad}))) << bad;
  }
  EXPECT_FALSE(check_name(std::string(256, 'x')));
}

TEST(NativeCodec, WhatIsNoRecordIsRefused) {
  const auto refused = [](const Message& m, From from) { return !decoded(from, encode({}, m)); };
  Enter enter{"n", 3, false, false, record(), 5, 0};
  ASSERT_FALSE(refused(enter, From::client));
  enter.number = 0;
  EXPECT_TRUE(refused(enter, From::client));
  enter.number = 1;
  enter.detail_bytes = most_detail_bytes + 1;
  EXPECT_TRUE(refused(enter, From::client));
  enter.detail_bytes = 0;
  enter.record.keepers.clear();
  EXPECT_TRUE(refused(enter, From::client));
  enter.record = record();
  enter.record.spec.size.w = 0;
  EXPECT_TRUE(refused(enter, From::client));
  enter.record = record();
  enter.record.keepers.resize(most_keepers + 1);
  EXPECT_TRUE(refused(enter, From::client));
  EXPECT_TRUE(refused(Lock{"n", 0}, From::client));
  Register state = known();
  state.detail_bytes = 8;
  EXPECT_TRUE(refused(NamesPage{{{"b", state}}}, From::server));
  state.number = 0;
  EXPECT_TRUE(refused(state, From::server));
}

TEST(NativeCodec, EveryErrorCodeHasItsNumber) {
  for (int n = 0; n <= static_cast<int>(Errc::internal); ++n)
    EXPECT_EQ(code_of(number_of(static_cast<Errc>(n))), static_cast<Errc>(n));
  EXPECT_EQ(code_of(0), Errc::internal);
  EXPECT_EQ(code_of(200), Errc::internal);
}

// Plays the transport: hands out `stream` in pieces, also straight into a claimed payload.
struct Pieces {
  std::span<const std::byte> stream;
  std::size_t piece;
  std::size_t read(std::span<std::byte> into) {
    const std::size_t n = std::min({piece, into.size(), stream.size()});
    std::copy_n(stream.begin(), n, into.begin());
    stream = stream.subspan(n);
    return n;
  }
};

TEST(NativeCodec, AnyPieceIsEnough) {
  Bytes stream;
  for (const Message& m : one_of_each())
    if (sender(m) == From::client) {
      const Bytes one = encode({7, 0, 0}, m);
      stream.insert(stream.end(), one.begin(), one.end());
      if (std::holds_alternative<Put>(m)) stream.resize(stream.size() + 15, std::byte{0x5a});
    }
  for (const std::size_t piece : {1u, 3u, 39u, 40u, 41u, 1000u}) {
    Pieces pieces{stream, piece};
    Decoder decoder(From::client);
    std::size_t frames = 0;
    while (true) {
      auto frame = decoder.next();
      ASSERT_TRUE(frame) << piece << ": " << frame.error().what;
      if (!*frame) {
        if (pieces.stream.empty()) break;
        decoder.filled(pieces.read(decoder.space()));
        continue;
      }
      ++frames;
      Bytes payload((*frame)->body_bytes);
      for (auto rest = decoder.claim(payload); !rest.empty();) rest = rest.subspan(pieces.read(rest));
      EXPECT_EQ(std::count(payload.begin(), payload.end(), std::byte{0x5a}),
                std::ptrdiff_t((*frame)->body_bytes));
    }
    EXPECT_EQ(frames, 24u) << piece;
  }
}

TEST(NativeCodec, TruncatedAnywhereNothingComesOut) {
  for (const Message& m : one_of_each()) {
    const Bytes whole = encode({1, 0, 0}, m);
    for (std::size_t n = 0; n < whole.size(); ++n) {
      const auto frame = decoded(sender(m), std::span(whole).first(n));
      ASSERT_TRUE(frame) << name_of(m) << " at " << n;
      EXPECT_FALSE(*frame) << name_of(m) << " at " << n;
    }
  }
}

TEST(NativeCodec, AnyFlippedBitIsNoticed) {
  for (const Message& m : one_of_each()) {
    const Bytes good = encode({1, 2, 3}, m);
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      Bytes bad = good;
      bad[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
      const auto frame = decoded(sender(m), bad);
      EXPECT_FALSE(frame && *frame) << name_of(m) << " bit " << bit;
    }
  }
}

// A frame with any field overwritten, and its check made right again: what a hostile peer can say.
Bytes forged(const Message& m, std::size_t at, std::vector<std::uint8_t> with) {
  Bytes bytes = encode({1, 0, 0}, m);
  for (std::size_t i = 0; i < with.size(); ++i) bytes[at + i] = static_cast<std::byte>(with[i]);
  const std::uint32_t check = head_check(bytes);
  for (std::size_t i = 0; i < 4; ++i) bytes[check_offset + i] = static_cast<std::byte>(check >> (8 * i));
  return bytes;
}

struct Lie {
  const char* what;
  std::size_t message;  // in one_of_each()
  std::size_t at;
  std::vector<std::uint8_t> with;
};

const std::vector<Lie> lies{
    {"mark", 5, 0, {0}},
    {"version", 5, 2, {2}},
    {"unknown kind", 5, 3, {0x70}},
    {"a reply from a client", 5, 3, {0x83}},
    {"head beyond the cap", 5, 4, {1, 0, 16, 0}},
    {"body beyond the cap", 5, 24, {1, 0, 0, 4}},
    {"body without items", 5, 24, {1}},
    {"flags", 5, 28, {1}},
    {"no items", 2, 40, {0, 0, 0, 0}},
    {"more items than there are", 2, 40, {4, 0, 0, 0}},
    {"2^32-1 items", 2, 40, {255, 255, 255, 255}},
    {"put flags", 2, 72, {4}},
    {"a payload of nothing", 2, 92, {0, 0, 0, 0, 0, 0, 0, 0}},
    {"a payload beyond the cap", 2, 92, {1, 0, 0, 2, 1, 0, 0, 2}},
    {"a payload longer than its pixels", 2, 92, {12, 0, 0, 0, 11}},
    {"payloads beyond the body", 2, 92, {13, 0, 0, 0, 13}},
    {"2^32-1 keys", 3, 40, {255, 255, 255, 255}},
    {"get flags", 3, 72, {1}},
    {"image flags", 1, 76, {3}},
    {"use flags", 7, 40, {2}},
    {"goodbye flags", 9, 40, {2}},
    {"hello flags", 0, 68, {4}},
    {"a name longer than the head", 0, 72, {200, 0}},
    {"a name beyond the cap", 0, 72, {0, 1}},
    {"a put that is absent", 14, 48, {1}},
    {"an answer to no item", 14, 44, {0, 4}},
    {"state 3", 14, 48, {3}},
    {"a text without an error", 14, 50, {1, 0}},
    {"a text longer than the head", 14, 66, {8, 0}},
    {"a payload without a tile", 15, 48, {1}},
    {"a tile without a payload", 15, 80, {0}},
    {"a report beyond the cap", 16, 40, {1, 4, 0, 0}},
    {"nothing to share", 31, 72, {0, 0, 0, 0}},
    {"too much to share", 31, 72, {1, 0, 0, 4}},
    {"fewer places than keys", 32, 40, {1, 0, 0, 0}},
    {"a coding within shared memory", 32, 72, {1, 0, 0, 0}},
    {"fewer places than items", 33, 40, {2, 0, 0, 0}},
    {"a coded payload within shared memory", 33, 92, {11, 0, 0, 0}},
    {"a coded tile within shared memory", 34, 68, {4, 0, 0, 0}},
};

TEST(NativeCodec, LiesAreRefused) {
  const auto all = one_of_each();
  for (const Lie& lie : lies) {
    const Message& m = all[lie.message];
    const auto frame = decoded(sender(m), forged(m, lie.at, lie.with));
    EXPECT_FALSE(frame) << lie.what;
  }
}

TEST(NativeCodec, AnErrorIsForGood) {
  Decoder decoder(From::client);
  give(decoder, encode({1, 0, 0}, Done{}));
  EXPECT_FALSE(decoder.next());
  give(decoder, encode({1, 0, 0}, Ping{}));
  EXPECT_FALSE(decoder.next());
}

TEST(NativeCodec, AHelloMayBeAlone) {
  for (const bool plain : {false, true}) {
    const auto frame = decoded(From::client, encode({}, Hello{{}, {}, plain, "", true}));
    EXPECT_TRUE(std::get<Hello>((*frame)->message).alone);
    EXPECT_EQ(std::get<Hello>((*frame)->message).plain, plain);
  }
}

TEST(NativeCodec, ALaterInterfacesHelloCanStillBeCompared) {
  Hello hello{{2, 16, false, 8, true}, id(1), false, ""};
  Bytes bytes = encode({}, hello);
  bytes.resize(bytes.size() + 30, std::byte{1});
  bytes[4] = static_cast<std::byte>(bytes.size() - header_bytes);
  const std::uint32_t check = head_check(bytes);
  for (std::size_t i = 0; i < 4; ++i) bytes[check_offset + i] = static_cast<std::byte>(check >> (8 * i));
  const auto frame = decoded(From::client, bytes);
  ASSERT_TRUE(frame && *frame);
  EXPECT_EQ(differences({1, 16, false, 8, true}, std::get<Hello>((*frame)->message).attributes),
            "interface version 1 here, 2 there");
}

TEST(NativeCodec, PayloadsGoStraightIntoPlace) {
  const TileKey key{image(7), 0, 0, 0};
  Bytes stream = encode({1, 0, 0}, Put{{{key, {}, 1, 10000}}});
  const std::size_t ahead = 100;  // of the payload came with the head
  stream.resize(stream.size() + ahead, std::byte{0x11});
  Decoder decoder(From::client);
  give(decoder, stream);
  ASSERT_TRUE(*decoder.next());
  EXPECT_EQ(decoder.body_left(), 10000u);
  EXPECT_FALSE(decoder.next());  // the body comes first
  Decoder fresh(From::client);
  give(fresh, stream);
  ASSERT_TRUE(*fresh.next());
  Bytes place(10000);
  const auto rest = fresh.claim(place);
  EXPECT_EQ(rest.data(), place.data() + ahead);
  EXPECT_EQ(rest.size(), place.size() - ahead);
  EXPECT_EQ(std::count(place.begin(), place.end(), std::byte{0x11}), static_cast<std::ptrdiff_t>(ahead));
  EXPECT_EQ(fresh.body_left(), 0u);
  give(fresh, encode({2, 0, 0}, Ping{}));
  const auto next = fresh.next();
  ASSERT_TRUE(next && *next);
  EXPECT_EQ((*next)->meta.request, 2u);
}

TEST(NativeCodec, LittleIsReadAhead) {
  Decoder decoder(From::client);
  EXPECT_LE(decoder.space().size(), 4096u);
}

TEST(NativeCodec, MemoryFollowsWhatArrivedNotWhatIsClaimed) {
  Bytes claim = encode({}, Get{{{}}});
  claim[6] = std::byte{0x0f};  // a head of nearly a mebibyte
  Decoder decoder(From::client);
  give(decoder, std::span(claim).first(header_bytes));
  ASSERT_TRUE(decoder.next());
  EXPECT_LE(decoder.space().size(), 4096u);
}

TEST(NativeCodec, ABigBatchRoundTrips) {
  Get get;
  for (std::uint32_t i = 0; i < most_items; ++i) get.keys.push_back({image(1), 0, i, i * 2});
  const auto frame = decoded(From::client, encode({}, get));
  ASSERT_TRUE(frame && *frame);
  EXPECT_EQ(std::get<Get>((*frame)->message).keys, get.keys);
}

TEST(NativeCodec, LongTextsAreCutNotRefused) {
  const std::string text(5000, 'x');
  Tiles tiles;
  for (std::uint32_t i = 0; i < most_items; ++i)
    tiles.answers.push_back({i, TileAnswer::State::failed, {}, 0, 0, {Errc::io, text}});
  const auto frame = decoded(From::server, encode({}, tiles));
  ASSERT_TRUE(frame && *frame);
  EXPECT_EQ(std::get<Tiles>((*frame)->message).answers[1023].error.what.size(), most_item_text);
  EXPECT_TRUE(*decoded(From::server, encode({}, Failed{{Errc::io, text}})));
}

TEST(NativeCodec, TextsOfAPeerCarryNoControlCharacters) {
  const auto frame = decoded(From::client, encode({}, Hello{{}, {}, false, "a\033[2J\n"}));
  EXPECT_EQ(std::get<Hello>((*frame)->message).name, "a?[2J?");
}

}  // namespace
}  // namespace smalti::wire::native
