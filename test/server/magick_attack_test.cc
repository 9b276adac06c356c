// What was once done to ImageMagick's servers, done to ours: each attack ends with the attacker's connection,
// and honest clients are served during and after it.
#include <gmock/gmock.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <stop_token>
#include <thread>

#include "test/server/magick_peer.h"

namespace smalti::test {
namespace {

using magick::Command;
using magick::Destroy;
using magick::Open;
using magick::Region;

constexpr Command moving[] = {Command::read, Command::write, Command::read_meta, Command::write_meta};

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

// A server under attack, and an honest client beside the attacker that comes again and again. Ends once the attacker
// is gone: the bystander was served, and nothing is left of images whose clients are gone.
class Siege {
 public:
  template <class... Terms>
  explicit Siege(Terms&&... terms) : served(std::forward<Terms>(terms)...) {
    bystander_ = std::jthread([this](const std::stop_token& over) {
      do {
        expect_honest_clients_are_served(served);
        ++visits_;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
      } while (!over.stop_requested());
    });
  }
  ~Siege() {
    bystander_.request_stop();
    bystander_.join();
    EXPECT_GT(visits_, 0);
    EXPECT_TRUE(eventually([&] { return served.server->use().connections == 0; })) << served.lines.all();
    EXPECT_TRUE(eventually([&] { return served.ledger.used(Resource::memory) == 0; }))
        << served.ledger.used(Resource::memory);
    expect_honest_clients_are_served(served);
  }

  const MagickServed served;

 private:
  std::atomic<int> visits_ = 0;
  std::jthread bystander_;
};

TEST(MagickAttack, LengthsBeyondTheRegion) {
  const Siege siege;
  const MagickServed& served = siege.served;
  for (const Command command : moving)
    for (const std::uint64_t length : {0ull, 4096ull, 1ull << 31, 1ull << 63, ~0ull}) {
      const bool meta = command == Command::read_meta || command == Command::write_meta;
      const std::uint64_t one_more = meta ? 9 : 25;
      MagickPeer peer = intruder(served);
      peer.say(Region{command, 4, 1, 0, 0, length == 0 ? one_more : length});
      peer.say(noise(4096));
      expect_refused(std::move(peer), served);
    }
}

TEST(MagickAttack, SizesWhoseProductsWrap) {
  const Siege siege;
  const MagickServed& served = siege.served;
  constexpr std::uint64_t sides[] = {0, 1, 1ull << 31, 1ull << 62, 1ull << 63, ~0ull};
  for (const Command command : moving)
    for (const std::uint64_t width : sides)
      for (const std::uint64_t height : sides) {
        if (width == 1 && height == 1) continue;
        MagickPeer peer = intruder(served);
        peer.say(Region{command, width, height, 0, 0, 24});
        peer.say(noise(24));
        expect_refused(std::move(peer), served);
      }
  // Four rows of 2^62 pixels come to nothing in 64 bits.
  for (const Command command : moving) {
    MagickPeer peer = intruder(served);
    peer.say(Region{command, 1ull << 62, 4, 0, 0, 24});
    peer.say(noise(24));
    expect_refused(std::move(peer), served);
  }
}

TEST(MagickAttack, WritesOutside) {
  const Siege siege;
  const MagickServed& served = siege.served;
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
}

TEST(MagickAttack, ReadsOutsideShowNothingButTheImage) {
  const Siege siege;
  const MagickServed& served = siege.served;
  MagickPeer peer = intruder(served);
  const auto row = noise(240);
  const std::vector<std::byte> zero(6);
  for (const std::int64_t at : {std::int64_t{-1}, std::numeric_limits<std::int64_t>::min(), std::int64_t{1} << 62,
                                std::int64_t{40}}) {
    const auto nearest = at < 0 ? row.begin() : row.end() - 6;  // of the first row, the only one that is written
    const std::vector<std::byte> along(nearest, nearest + 6);
    const std::vector<std::byte> down = at < 0 ? std::vector(row.begin(), row.begin() + 6) : zero;
    EXPECT_EQ(peer.read({Command::read, 1, 1, at, 0, 6}), along) << at;
    EXPECT_EQ(peer.read({Command::read, 1, 1, 0, at, 6}), down) << at;
  }
  EXPECT_EQ(peer.read({Command::read, 2, 1, 39, 1, 12}), std::vector<std::byte>(12));
}

TEST(MagickAttack, AbsurdImages) {
  const Siege siege;
  const MagickServed& served = siege.served;
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
  }

TEST(MagickAttack, ImagesThatAreOpenedAndRefusedForEver) {
  Limits limits = no_limits();
  limits[Resource::memory] = 8u << 20;
  limits[Resource::map] = limits[Resource::disk] = 0;
  const Siege siege("n16", ServerOptions{}, MagickOptions{}, limits);
  const MagickServed& served = siege.served;
  for (int i = 0; i < 100; ++i) {
    MagickPeer peer(served.port());
    ASSERT_TRUE(peer.shake_hands(served.dialect));
    peer.say(image_of(100'000, 100'000));
    expect_refused(std::move(peer), served);
  }
}

TEST(MagickAttack, KeysThatAreNotTheConnections) {
  const Siege siege;
  const MagickServed& served = siege.served;
  MagickPeer other = intruder(served);
  for (std::size_t bit = 0; bit < 64; ++bit) {
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
  const Siege siege;
  const MagickServed& served = siege.served;
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
  const Siege siege;
  const MagickServed& served = siege.served;
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
}

TEST(MagickAttack, UnknownLetters) {
  const Siege siege;
  const MagickServed& served = siege.served;
  for (int letter = 0; letter < 256; ++letter) {
    if (letter != 0 && std::strchr("orwRWd", letter) != nullptr) continue;
    MagickPeer peer = intruder(served);
    peer.say(std::vector<std::byte>(64, static_cast<std::byte>(letter)));
    expect_refused(std::move(peer), served);
  }
}

TEST(MagickAttack, MessagesThatAreCutShort) {
  MagickOptions options;
  options.stall = std::chrono::seconds(2);
  const Siege siege("n16", ServerOptions{}, options);
  const MagickServed& served = siege.served;
  std::vector<MagickPeer> cut;
  const auto say_some = [&](MagickPeer peer, const std::vector<std::byte>& message, std::size_t bytes, int ending) {
    peer.say(magick::Bytes(message).first(bytes));
    if (ending == 0) peer.end_writing();
    if (ending == 1) return peer.reset();
    cut.push_back(std::move(peer));
  };
  for (const int ending : {0, 1, 2}) {  // an end, a reset, silence
    for (const std::size_t bytes : {1u, 9u, 48u, 49u, 50u, 200u}) {
      MagickPeer peer = intruder(served);
      auto message = magick::encode(Region{Command::write, 40, 1, 0, 1, 240}, peer.key);
      const auto pixels = noise(240);
      message.insert(message.end(), pixels.begin(), pixels.end());
      say_some(std::move(peer), message, bytes, ending);
    }
    for (const std::size_t bytes : {1u, 8u, 9u, 41u, 500u, 1080u}) {
      MagickPeer peer(served.port());
      ASSERT_TRUE(peer.shake_hands(served.dialect));
      const auto message = magick::encode(image_of(40, 30), peer.key);
      say_some(std::move(peer), message, bytes, ending);
    }
  }
  for (MagickPeer& peer : cut) EXPECT_LE(peer.hear_out().size(), 8u);
}

TEST(MagickAttack, ClientsThatNeverReadTheirAnswer) {
  MagickOptions options;
  options.stall = std::chrono::seconds(2);
  const Siege siege("n16", ServerOptions{}, options);
  const MagickServed& served = siege.served;
  std::vector<MagickPeer> deaf;
  for (int i = 0; i < 3; ++i) {
    deaf.emplace_back(served.port());
    ASSERT_TRUE(deaf.back().shake_hands(served.dialect));
    ASSERT_TRUE(deaf.back().open(image_of(2000, 2000)));
    for (int ask = 0; ask < 8; ++ask) deaf.back().say(Region{Command::read, 2000, 2000, 0, 0, 24'000'000});
  }
  EXPECT_TRUE(eventually([&] { return served.lines.has("does not take what it asked for"); })) << served.lines.all();
}

TEST(MagickAttack, ManyConnectAtOnce) {
  const Siege siege;
  const MagickServed& served = siege.served;
  std::atomic<int> fine = 0;
  {
    std::vector<std::jthread> clients;
    for (int i = 0; i < 200; ++i)
      clients.emplace_back([&served, &fine, i] {
        MagickPeer peer(served.port());
        if (!peer.shake_hands(served.dialect) || !peer.open(image_of(20, 20))) return;
        const auto mine = noise(2400, static_cast<std::uint32_t>(i));
        peer.write({Command::write, 20, 20, 0, 0}, mine);
        if (peer.read({Command::read, 20, 20, 0, 0, 2400}) == mine) ++fine;  // nobody else's pixels
      });
  }
  EXPECT_EQ(fine, 200);
}

constexpr const char* elsewhere = "127.0.0.66";  // where floods come from

// Strangers who connect and stay silent: places are taken from them, never from those who know the secret.
TEST(MagickAttack, AFloodOfSilentStrangers) {
  ServerOptions options;
  options.silence = options.handshake = std::chrono::seconds(60);
  options.strangers = 16;
  const Siege siege("n16", options);
  const MagickServed& served = siege.served;
  MagickPeer honest = intruder(served);
  std::vector<MagickPeer> silent;
  for (int i = 0; i < 1000; ++i) silent.emplace_back(served.port(), elsewhere);
  EXPECT_EQ(honest.read({Command::read, 40, 1, 0, 0, 240}).size(), 240u);
  EXPECT_LE(served.server->use().strangers, 16u);
  EXPECT_TRUE(eventually([&] { return served.server->use().evicted > 900; })) << served.server->use().evicted;
}

// The same who hang up and come again at once, each time with another wrong answer.
TEST(MagickAttack, AStrangerWhoComesAgainAndAgain) {
  ServerOptions options;
  options.strangers = 4;
  const Siege siege("n16", options);
  const MagickServed& served = siege.served;
  std::vector<std::jthread> strangers;
  for (std::uint32_t who = 0; who < 8; ++who)
    strangers.emplace_back([&served, who] {
      for (std::uint32_t i = 0; i < 100; ++i) {
        MagickPeer peer(served.port(), elsewhere);
        peer.say(noise(8, who * 100 + i));
        if (i % 2 == 0) {
          EXPECT_LE(peer.hear_out().size(), 16u);  // the greeting, and no more
        }
      }
    });
}

// What the server sends first opens nothing.
TEST(MagickAttack, AnEchoOfTheGreeting) {
  const Siege siege;
  const MagickServed& served = siege.served;
  MagickPeer peer(served.port());
  const auto greeting = peer.hear(16);
  ASSERT_EQ(greeting.size(), 16u);
  std::ranges::copy(magick::Bytes(greeting).first(peer.key.size()), peer.key.begin());
  peer.say(peer.key);
  peer.say(image_of(10, 10));
  EXPECT_TRUE(peer.hear_out().empty());
}

TEST(MagickAttack, MetacontentOfAnImageThatHasNone) {
  const Siege siege;
  const MagickServed& served = siege.served;
  for (const Command command : {Command::read_meta, Command::write_meta}) {
    MagickPeer peer(served.port());
    ASSERT_TRUE(peer.shake_hands(served.dialect));
    ASSERT_TRUE(peer.open(image_of(40, 30)));
    peer.say(Region{command, 4, 1, 0, 0, 8});
    peer.say(noise(8));
    expect_refused(std::move(peer), served);
  }
}

// Pixels of a size that fits no sample, of the largest pixel there is, and of another size than before.
TEST(MagickAttack, PixelsOfStrangeSizes) {
  const Siege siege;
  const MagickServed& served = siege.served;
  for (const std::uint64_t length : {1ull, 7ull, 23ull, 24ull * 4 + 1}) {
    MagickPeer peer(served.port());
    ASSERT_TRUE(peer.shake_hands(served.dialect));
    ASSERT_TRUE(peer.open(image_of(40, 30)));
    peer.say(Region{Command::write, 4, 1, 0, 0, length});
    peer.say(noise(length));
    expect_refused(std::move(peer), served);
  }
  MagickPeer widest(served.port());
  ASSERT_TRUE(widest.shake_hands(served.dialect));
  ASSERT_TRUE(widest.open(image_of(3, 2, 64, 4096)));
  const auto pixels = noise(3ull * 64 * 8), meta = noise(3ull * 4096);
  widest.write({Command::write, 3, 1, 0, 1}, pixels);
  widest.write({Command::write_meta, 3, 1, 0, 1}, meta);
  EXPECT_EQ(widest.read({Command::read, 3, 1, 0, 1, pixels.size()}), pixels) << served.lines.all();
  EXPECT_EQ(widest.read({Command::read_meta, 3, 1, 0, 1, meta.size()}), meta);
  widest.write({Command::write, 3, 1, 0, 1}, noise(3ull * 64 * 4));
  expect_refused(std::move(widest), served);
}

// A byte every four seconds, at the default deadlines: in the answer to the greeting, in a header, in pixels, and from
// an answer of 24 MB.
TEST(MagickAttack, Drips) {
  const Siege siege;
  const MagickServed& served = siege.served;
  const auto until_cut = [](MagickPeer& peer, const std::vector<std::byte>& drops) {
    for (const std::byte& drop : drops) {
      peer.say({&drop, 1});
      if (peer.hung_up(std::chrono::seconds(4))) return true;
    }
    return false;
  };
  std::vector<std::jthread> drips;
  drips.emplace_back([&] {
    MagickPeer peer(served.port());
    (void)peer.hear(16);
    EXPECT_TRUE(until_cut(peer, noise(7)));
  });
  drips.emplace_back([&] {
    MagickPeer peer = intruder(served);
    const auto header = magick::encode(Region{Command::read, 40, 1, 0, 0, 240}, peer.key);
    EXPECT_TRUE(until_cut(peer, {header.begin(), header.end() - 1}));
  });
  drips.emplace_back([&] {
    MagickPeer peer = intruder(served);
    peer.say(Region{Command::write, 40, 1, 0, 0, 240});
    EXPECT_TRUE(until_cut(peer, noise(200)));
  });
  MagickPeer deaf(served.port());
  ASSERT_TRUE(deaf.shake_hands(served.dialect));
  ASSERT_TRUE(deaf.open(image_of(2000, 2000)));
  deaf.say(Region{Command::read, 2000, 2000, 0, 0, 24'000'000});
  const auto given_up = [&] { return served.lines.has("does not take what it asked for"); };
  for (int i = 0; i < 30 && !given_up(); ++i) {
    EXPECT_EQ(deaf.hear(1).size(), 1u);
    for (int naps = 0; naps < 400 && !given_up(); ++naps) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(given_up()) << served.lines.all();
}

}  // namespace
}  // namespace smalti::test
