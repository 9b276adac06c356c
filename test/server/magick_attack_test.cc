// What was once done to ImageMagick's servers, done to ours: each attack ends with the attacker's connection,
// and honest clients are served during and after it.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <thread>

#include "test/server/magick_peer.h"

namespace smalti::test {
namespace {

using magick::Command;
using magick::Destroy;
using magick::Open;
using magick::Region;

constexpr Command moving[] = {Command::read, Command::write, Command::read_meta, Command::write_meta};
constexpr std::uint64_t big[] = {1ull << 31, 1ull << 62, 1ull << 63, ~0ull};

// An admitted client with an image of 40x30 pixels, 16 bits, and two bytes of metacontent.
MagickPeer intruder(const MagickServed& served) {
  MagickPeer peer(served.port());
  EXPECT_TRUE(peer.shake_hands(served.dialect)) << served.lines.all();
  EXPECT_TRUE(peer.open(image_of(40, 30, 3, 2))) << served.lines.all();
  peer.write({Command::write, 40, 1, 0, 0}, noise(240));
  return peer;
}

// A refusal is a zero status (or nothing), and then the end.
void expect_refused(MagickPeer peer, const MagickServed& served) {
  peer.end_writing();
  const auto last = peer.hear_out();
  EXPECT_LE(last.size(), 8u) << served.lines.all();
  EXPECT_TRUE(std::ranges::all_of(last, [](std::byte b) { return b == std::byte{0}; }));
}

// Nothing is left of images whose clients are gone.
void expect_unharmed(const MagickServed& served) {
  expect_honest_clients_are_served(served);
  EXPECT_TRUE(eventually([&] { return served.server->use().connections == 0; })) << served.lines.all();
  EXPECT_TRUE(eventually([&] { return served.ledger.used(Resource::memory) == 0; }))
      << served.ledger.used(Resource::memory);
}

TEST(MagickAttack, LengthsBeyondTheRegion) {
  const MagickServed served;
  for (const Command command : moving)
    for (const std::uint64_t length : {25ull, 4096ull, 1ull << 31, 1ull << 63, ~0ull}) {
      MagickPeer peer = intruder(served);
      peer.say(Region{command, 4, 1, 0, 0, length});
      peer.say(noise(4096));
      expect_refused(std::move(peer), served);
    }
  expect_unharmed(served);
}

TEST(MagickAttack, SizesWhoseProductsWrap) {
  const MagickServed served;
  for (const Command command : moving)
    for (const std::uint64_t width : big)
      for (const std::uint64_t height :
           {std::uint64_t{0}, std::uint64_t{4}, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
        MagickPeer peer = intruder(served);
        peer.say(width % 2 == 0 ? Region{command, width, height, 0, 0, 24}
                                : Region{command, height, width, 0, 0, 24});
        peer.say(noise(24));
        expect_refused(std::move(peer), served);
      }
  expect_unharmed(served);
}

TEST(MagickAttack, WritesOutside) {
  const MagickServed served;
  for (const std::int64_t x : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(),
                               std::int64_t{1} << 62, std::int64_t{40}, std::int64_t{39}})
    for (const Command command : {Command::write, Command::write_meta}) {
      const std::uint64_t length = command == Command::write ? 12 : 4;
      MagickPeer across = intruder(served);
      across.say(Region{command, 2, 1, x, 0, length});
      across.say(noise(length));
      expect_refused(std::move(across), served);
      MagickPeer down = intruder(served);
      down.say(Region{command, 1, 2, 0, x == 39 ? 29 : x, length});
      down.say(noise(length));
      expect_refused(std::move(down), served);
    }
  expect_unharmed(served);
}

TEST(MagickAttack, ReadsOutsideShowNothingButTheImage) {
  const MagickServed served;
  MagickPeer peer = intruder(served);
  for (const std::int64_t at :
       {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(), std::int64_t{1} << 62})
    EXPECT_EQ(peer.read({Command::read, 1, 1, 0, at < 0 ? 1 : at, 6}), std::vector<std::byte>(6));
  { const MagickPeer gone = std::move(peer); }
  expect_unharmed(served);
}

TEST(MagickAttack, AbsurdImages) {
  const MagickServed served;
  std::vector<Open> absurd;
  for (const std::uint64_t side : {0ull, 1ull << 31, 1ull << 40, 1ull << 63}) {
    absurd.push_back(image_of(side, 10));
    absurd.push_back(image_of(10, side));
  }
  for (const std::uint64_t channels : {0ull, 65ull, 1ull << 63}) absurd.push_back(image_of(10, 10, channels));
  for (const std::uint64_t meta : {1ull << 40, 1ull << 63}) absurd.push_back(image_of(10, 10, 3, meta));
  for (const Open& image : absurd) {
    MagickPeer first(served.port());
    ASSERT_TRUE(first.shake_hands(served.dialect));
    first.say(image);
    expect_refused(std::move(first), served);
    MagickPeer second = intruder(served);  // in the place of an image that is there
    second.say(image);
    expect_refused(std::move(second), served);
  }
  Open maps = image_of(10, 10);
  maps.map[0].offset = -5;
  maps.map[1].offset = std::int64_t{1} << 40;
  MagickPeer odd(served.port());
  ASSERT_TRUE(odd.shake_hands(served.dialect));
  EXPECT_TRUE(odd.open(maps));
  EXPECT_EQ(odd.read({Command::read, 10, 10, 0, 0, 600}), std::vector<std::byte>(600));
  { const MagickPeer gone = std::move(odd); }
  expect_unharmed(served);
}

TEST(MagickAttack, ImagesThatAreOpenedAndRefusedForEver) {
  Limits limits = no_limits();
  limits[Resource::memory] = 8u << 20;
  limits[Resource::map] = limits[Resource::disk] = 0;
  const MagickServed served("n16", {}, {}, limits);
  for (int i = 0; i < 100; ++i) {
    MagickPeer peer(served.port());
    ASSERT_TRUE(peer.shake_hands(served.dialect));
    peer.say(image_of(100'000, 100'000));
    expect_refused(std::move(peer), served);
  }
  expect_unharmed(served);
}

TEST(MagickAttack, KeysThatAreNotTheConnections) {
  const MagickServed served;
  MagickPeer other = intruder(served);
  for (std::size_t bit = 0; bit < 64; bit += 7) {
    MagickPeer peer = intruder(served);
    peer.key[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    peer.say(Region{Command::read, 40, 1, 0, 0, 240});
    EXPECT_LE(peer.hear_out().size(), 4u);
  }
  MagickPeer thief = intruder(served);
  thief.key = other.key;
  thief.say(Region{Command::read, 40, 1, 0, 0, 240});
  EXPECT_LE(thief.hear_out().size(), 4u);
  EXPECT_EQ(other.read({Command::read, 40, 1, 0, 0, 240}).size(), 240u) << "its own connection goes on";
}

// The answer to one greeting is worth nothing at the next.
TEST(MagickAttack, AnAnswerThatWasOverheard) {
  const MagickServed served;
  MagickPeer honest(served.port());
  ASSERT_TRUE(honest.shake_hands(served.dialect));
  MagickPeer thief(served.port());
  (void)thief.hear(16);
  thief.say(honest.key);
  thief.key = honest.key;
  thief.say(image_of(10, 10));
  EXPECT_TRUE(thief.hear_out().empty());
}

TEST(MagickAttack, RequestsOutOfOrder) {
  const MagickServed served;
  for (const Command command : moving) {
    MagickPeer early(served.port());
    ASSERT_TRUE(early.shake_hands(served.dialect));
    early.say(Region{command, 1, 1, 0, 0, 6});
    expect_refused(std::move(early), served);
  }
  MagickPeer twice = intruder(served);
  twice.say(Destroy{});
  twice.say(Destroy{});
  EXPECT_EQ(twice.hear_out().size(), 4u);
  MagickPeer nothing(served.port());
  ASSERT_TRUE(nothing.shake_hands(served.dialect));
  nothing.say(Destroy{});
  expect_refused(std::move(nothing), served);
  expect_unharmed(served);
}

TEST(MagickAttack, UnknownLetters) {
  const MagickServed served;
  for (int letter = 0; letter < 256; letter += 5) {
    if (letter != 0 && std::strchr("orwRWd", letter) != nullptr) continue;
    MagickPeer peer = intruder(served);
    peer.say(std::vector<std::byte>(64, static_cast<std::byte>(letter)));
    expect_refused(std::move(peer), served);
  }
  expect_unharmed(served);
}

TEST(MagickAttack, MessagesThatAreCutShort) {
  MagickOptions options;
  options.stall = std::chrono::milliseconds(300);
  const MagickServed served("n16", {}, options);
  for (const std::size_t cut : {1u, 9u, 48u, 49u, 50u, 200u})
    for (const int ending : {0, 1, 2}) {  // an end, a reset, silence
      MagickPeer peer = intruder(served);
      auto message = magick::encode(Region{Command::write, 40, 1, 0, 1, 240}, peer.key);
      const auto pixels = noise(240);
      message.insert(message.end(), pixels.begin(), pixels.end());
      peer.say(magick::Bytes(message).first(cut));
      if (ending == 0) peer.end_writing();
      if (ending == 1) peer.reset();
      if (ending != 1) {
        EXPECT_LE(peer.hear_out().size(), 4u);
      }
    }
  expect_unharmed(served);
}

TEST(MagickAttack, ClientsThatNeverReadTheirAnswer) {
  MagickOptions options;
  options.stall = std::chrono::milliseconds(300);
  const MagickServed served("n16", {}, options);
  std::vector<MagickPeer> deaf;
  for (int i = 0; i < 3; ++i) {
    deaf.emplace_back(served.port());
    ASSERT_TRUE(deaf.back().shake_hands(served.dialect));
    ASSERT_TRUE(deaf.back().open(image_of(2000, 2000)));
    for (int ask = 0; ask < 8; ++ask) deaf.back().say(Region{Command::read, 2000, 2000, 0, 0, 24'000'000});
  }
  expect_honest_clients_are_served(served);
  EXPECT_TRUE(eventually([&] { return served.server->use().connections == 0; })) << served.lines.all();
}

TEST(MagickAttack, ManyConnectAtOnce) {
  const MagickServed served;
  std::atomic<int> fine = 0;
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < 60; ++i)
      clients.emplace_back([&served, &fine, i] {
        MagickPeer peer(served.port());
        if (!peer.shake_hands(served.dialect) || !peer.open(image_of(20, 20))) return;
        const auto mine = noise(2400, static_cast<std::uint32_t>(i));
        peer.write({Command::write, 20, 20, 0, 0}, mine);
        if (peer.read({Command::read, 20, 20, 0, 0, 2400}) == mine) ++fine;  // nobody else's pixels
      });
  }
  EXPECT_EQ(fine, 60);
  expect_unharmed(served);
}

// Strangers who connect and stay silent: places are taken from them, never from those who know the secret.
TEST(MagickAttack, AFloodOfSilentStrangers) {
  ServerOptions options;
  options.silence = options.handshake = std::chrono::seconds(30);
  options.strangers = 16;
  const MagickServed served("n16", options);
  MagickPeer honest = intruder(served);
  std::vector<MagickPeer> silent;
  for (int i = 0; i < 300; ++i) silent.emplace_back(served.port());
  EXPECT_EQ(honest.read({Command::read, 40, 1, 0, 0, 240}).size(), 240u);
  expect_honest_clients_are_served(served);
  EXPECT_LE(served.server->use().strangers, 16u);
  EXPECT_GT(served.server->use().evicted, 200u);
}

}  // namespace
}  // namespace smalti::test
