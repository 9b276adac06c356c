// ImageMagick's clients at a live server: what it stores, how long it waits, whom it lets in.
#include <gmock/gmock.h>

#include "test/server/magick_peer.h"

namespace smalti::test {
namespace {

using magick::Command;
using magick::Region;
using testing::HasSubstr;

TEST(MagickSession, ServesEveryHandshake) {
  for (const char* dialect : {"n16", "n8", "s", "s:hdri", "s:im6", "l", "l:im6"}) {
    SCOPED_TRACE(dialect);
    const MagickServed served(dialect);
    expect_honest_clients_are_served(served);
  }
}

struct Connected {
  explicit Connected(const MagickServed& served, const magick::Open& image) : peer(served.port()) {
    EXPECT_TRUE(peer.shake_hands(served.dialect));
    EXPECT_TRUE(peer.open(image));
  }
  MagickPeer peer;
};

TEST(MagickSession, ANewImageIsZero) {
  const MagickServed served;
  Connected c(served, image_of(400, 300));
  EXPECT_EQ(c.peer.read({Command::read, 400, 300, 0, 0, 400 * 300 * 6}), std::vector<std::byte>(400 * 300 * 6));
}

// A client clears its new image first; that costs nothing, and zeros written later do count.
TEST(MagickSession, ZerosAreStoredOnlyOverSomethingElse) {
  const MagickServed served;
  Connected c(served, image_of(1000, 1000));
  const std::vector<std::byte> zeros(1000 * 6);
  for (std::int64_t y = 0; y < 1000; ++y) c.peer.write({Command::write, 1000, 1, 0, y}, zeros);
  EXPECT_EQ(c.peer.read({Command::read, 1000, 1, 0, 999, 6000}), zeros);
  EXPECT_LT(served.ledger.used(Resource::memory), 1u << 20);
  const auto row = noise(6000);
  c.peer.write({Command::write, 1000, 1, 0, 5}, row);
  EXPECT_EQ(c.peer.read({Command::read, 1000, 1, 0, 5, 6000}), row);
  c.peer.write({Command::write, 1000, 1, 0, 5}, zeros);
  EXPECT_EQ(c.peer.read({Command::read, 1000, 1, 0, 5, 6000}), zeros);
}

TEST(MagickSession, KeepsPixelsByPixelInAnyOrder) {
  const MagickServed served;
  Connected c(served, image_of(37, 29));
  const auto bytes = noise(37 * 29 * 6);
  c.peer.write({Command::write, 37, 1, 0, 0}, magick::Bytes(bytes).first(37 * 6));  // tells the sample size
  for (std::int64_t x = 36; x >= 0; --x)
    for (std::int64_t y = 28; y > 0; --y)
      c.peer.write({Command::write, 1, 1, x, y}, magick::Bytes(bytes).subspan(static_cast<std::size_t>(y * 37 + x) * 6, 6));
  EXPECT_EQ(c.peer.read({Command::read, 37, 29, 0, 0, bytes.size()}), bytes);
  const auto one = c.peer.read({Command::read, 1, 1, 5, 7, 6});
  EXPECT_TRUE(std::equal(one.begin(), one.end(), bytes.begin() + (7 * 37 + 5) * 6));
}

TEST(MagickSession, BelievesTheNumberOfChannels) {
  const MagickServed served;
  for (const std::uint64_t channels : {1u, 5u, 64u}) {
    Connected c(served, image_of(6, 4, channels));
    const auto row = noise(6 * channels * 2);
    c.peer.write({Command::write, 6, 1, 0, 2}, row);
    EXPECT_EQ(c.peer.read({Command::read, 6, 1, 0, 2, row.size()}), row);
  }
}

TEST(MagickSession, KeepsMetacontentBesideThePixels) {
  const MagickServed served;
  Connected c(served, image_of(40, 30, 3, 7));
  const auto pixels = noise(240, 1), meta = noise(280, 2);
  c.peer.write({Command::write, 40, 1, 0, 3}, pixels);
  c.peer.write({Command::write_meta, 40, 1, 0, 3}, meta);
  EXPECT_EQ(c.peer.read({Command::read_meta, 40, 1, 0, 3, 280}), meta);
  EXPECT_EQ(c.peer.read({Command::read, 40, 1, 0, 3, 240}), pixels);
}

TEST(MagickSession, KeepsIndexesOfAPaletteImage) {
  const MagickServed served("n8");
  Connected c(served, {.family = magick::Family::im6, .storage_class = magick::class_pseudo, .colorspace = 13,
                       .columns = 40, .rows = 30});
  const auto pixels = noise(320, 1), index = noise(80, 2);
  c.peer.write({Command::write, 40, 1, 0, 3}, pixels);
  c.peer.write({Command::write_meta, 40, 1, 0, 3}, index);
  EXPECT_EQ(c.peer.read({Command::read_meta, 40, 1, 0, 3, 80}), index);
  EXPECT_EQ(c.peer.read({Command::read, 40, 1, 0, 3, 320}), pixels);
}

TEST(MagickSession, ReadsOutsideGetTheNearestPixel) {
  const MagickServed served;
  Connected c(served, image_of(10, 10));
  const auto bytes = noise(600);
  c.peer.write({Command::write, 10, 10, 0, 0}, bytes);
  const std::vector<std::byte> corner(bytes.end() - 6, bytes.end());
  EXPECT_EQ(c.peer.read({Command::read, 1, 1, std::int64_t{1} << 62, std::int64_t{1} << 62, 6}), corner);
  const auto left = c.peer.read({Command::read, 2, 1, -1, 0, 12});
  EXPECT_TRUE(std::equal(left.begin(), left.begin() + 6, bytes.begin()));
  EXPECT_TRUE(std::equal(left.begin() + 6, left.end(), bytes.begin()));
}

// Rows larger than any buffer, and requests of many rows.
TEST(MagickSession, StreamsWhatIsLargerThanItsBuffers) {
  const MagickServed served;
  Connected c(served, image_of(70'000, 5));
  const auto bytes = noise(70'000 * 6 * 5);
  c.peer.write({Command::write, 70'000, 5, 0, 0}, bytes);
  EXPECT_EQ(c.peer.read({Command::read, 70'000, 5, 0, 0, bytes.size()}), bytes);
}

TEST(MagickSession, MovesPartOfARegion) {
  const MagickServed served;
  Connected c(served, image_of(10, 10));
  const auto bytes = noise(600, 1), over = noise(100, 2);
  c.peer.write({Command::write, 10, 10, 0, 0}, bytes);
  c.peer.say(Region{Command::write, 10, 2, 0, 3, 100});  // a row, six pixels, and four bytes of the next
  c.peer.say(over);
  auto expected = bytes;
  std::ranges::copy(over, expected.begin() + 180);
  EXPECT_EQ(c.peer.read({Command::read, 10, 10, 0, 0, 600}), expected);
  EXPECT_EQ(c.peer.read({Command::read, 10, 10, 0, 0, 100}), std::vector(expected.begin(), expected.begin() + 100));
}

TEST(MagickSession, ASecondImageTakesThePlaceOfTheFirst) {
  const MagickServed served;
  Connected c(served, image_of(10, 10));
  c.peer.write({Command::write, 10, 10, 0, 0}, noise(600));
  EXPECT_TRUE(c.peer.open(image_of(20, 20)));
  EXPECT_EQ(c.peer.read({Command::read, 20, 1, 0, 0, 120}), std::vector<std::byte>(120));
}

// What is on its way to or from a client goes through buffers that are charged while it is connected.
TEST(MagickSession, EachClientsBuffersAreCharged) {
  const MagickServed served;
  std::vector<std::unique_ptr<Connected>> clients;
  for (int i = 0; i < 4; ++i) clients.push_back(std::make_unique<Connected>(served, image_of(40, 30)));
  const std::uint64_t four = served.ledger.used(Resource::memory);
  EXPECT_GE(four, 4 * (128u << 10));
  clients.resize(2);
  EXPECT_TRUE(eventually([&] { return served.ledger.used(Resource::memory) == four / 2; }));
}

TEST(MagickSession, TheStoreIsFreedWhenTheClientGoes) {
  const MagickServed served;
  {
    Connected c(served, image_of(1000, 1000));
    const auto bytes = noise(1000 * 1000 * 6);
    c.peer.write({Command::write, 1000, 1000, 0, 0}, bytes);
    EXPECT_EQ(c.peer.read({Command::read, 1, 1, 999, 999, 6}).size(), 6u);
    EXPECT_GE(served.ledger.used(Resource::memory), bytes.size());
  }
  EXPECT_TRUE(eventually([&] { return served.ledger.used(Resource::memory) < (1u << 20); }));
}

TEST(MagickSession, ASampleSizeThatChangesIsRefused) {
  const MagickServed served;
  Connected c(served, image_of(40, 30));
  c.peer.write({Command::write, 40, 1, 0, 0}, noise(240));
  c.peer.write({Command::write, 40, 1, 0, 1}, noise(480));
  EXPECT_EQ(c.peer.hear_out(), std::vector<std::byte>(4));
  EXPECT_THAT(served.lines.all(), HasSubstr("samples of 4 bytes in an image whose samples have 2"));
}

TEST(MagickSession, LimitsRefuseAnImageWhenItIsOpened) {
  Limits limits = no_limits();
  limits[Resource::width] = 1000;
  limits[Resource::memory] = 16u << 20;
  limits[Resource::map] = limits[Resource::disk] = 0;
  const MagickServed served("n16", {}, {}, limits);
  for (const auto& image : {image_of(1001, 10), image_of(1000, 100'000)}) {
    MagickPeer peer(served.port());
    ASSERT_TRUE(peer.shake_hands(served.dialect));
    peer.say(image);
    EXPECT_EQ(peer.hear_out(), std::vector<std::byte>(8)) << "a refusal is said twice";
  }
  EXPECT_THAT(served.lines.all(), HasSubstr("width 1001 exceeds the limit of 1000"));
  EXPECT_THAT(served.lines.all(), HasSubstr("cache resources exhausted"));
  expect_honest_clients_are_served(served);
}

TEST(MagickSession, AnIdleClientStaysWhileAStalledMessageDoesNot) {
  MagickOptions options;
  options.stall = std::chrono::seconds(2);
  const MagickServed served("n16", {}, options);
  Connected idle(served, image_of(40, 30)), stalled(served, image_of(40, 30)), dripping(served, image_of(40, 30));
  stalled.peer.say(Region{Command::write, 40, 1, 0, 0, 240});  // and no pixels
  EXPECT_TRUE(stalled.peer.hear_out().size() <= 4);
  const auto header = magick::encode(Region{Command::write, 40, 1, 0, 0, 240}, dripping.peer.key);
  for (const std::byte byte : header) {
    dripping.peer.say({&byte, 1});
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
  }
  EXPECT_TRUE(dripping.peer.hear_out().size() <= 4);
  EXPECT_EQ(idle.peer.read({Command::read, 40, 1, 0, 0, 240}).size(), 240u);
}

TEST(MagickSession, SaysWhoCameToTheWrongPort) {
  ServerOptions options;
  options.handshake = std::chrono::seconds(3);
  const MagickServed served("n16", options);
  {
    MagickPeer wrong(served.port());
    EXPECT_TRUE(wrong.shake_hands(served.dialect, Secret("another")));
    EXPECT_TRUE(wrong.hear_out().empty());
  }
  EXPECT_TRUE(eventually([&] { return served.lines.has("wrong passphrase"); }));
  {
    MagickPeer six(served.port());
    EXPECT_TRUE(six.shake_hands(*magick::parse_dialect("n8")));
    EXPECT_EQ(six.hear_out().size(), 8u);  // the rest of the greeting
  }
  EXPECT_TRUE(eventually([&] { return served.lines.has("handshake n8"); }));
  {
    MagickPeer silent(served.port());
    EXPECT_EQ(silent.hear_out().size(), 16u);
  }
  {
    MagickPeer half(served.port());
    half.say(noise(3));
    EXPECT_EQ(half.hear_out().size(), 16u);
  }
  EXPECT_TRUE(eventually([&] { return served.lines.has("-probe-client"); })) << served.lines.all();
  expect_honest_clients_are_served(served);
}

TEST(MagickSession, DrainingEndsClientsThatStay) {
  MagickServed served;
  Connected idle(served, image_of(40, 30));
  served.server->drain(std::chrono::milliseconds(50));
  EXPECT_TRUE(idle.peer.hear_out().empty());
}

}  // namespace
}  // namespace smalti::test
