// What strangers, liars and sleepers do to a live server: nothing. An honest client is served meanwhile.
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "test/server/talker.h"

namespace smalti::test {
namespace {

// Impatient with attackers; an honest client, which is held to the same, has time enough on the slowest machine.
ServerOptions impatient() {
  ServerOptions options;
  options.handshake = 20s;
  options.stall = 3s;
  options.grace = 100ms;
  return options;
}

// Serves an honest client, which must not notice anything.
class Attacked : public testing::Test {
 protected:
  void start(ServerOptions options = impatient()) {
    rig_ = std::make_unique<Served>(options);
    honest_ = std::make_unique<Talker>(rig_->loop);
    const auto welcome = honest_->enter(port(), 100);
    ASSERT_TRUE(welcome) << welcome.error().what;
    image_ = open_image(*honest_);
  }
  void TearDown() override {
    if (!rig_) return;
    serve();
    Talker newcomer(rig_->loop);
    const auto welcome = newcomer.enter(port(), 101);
    ASSERT_TRUE(welcome) << welcome.error().what << "\n" << rig_->lines.all();
    expect_served(newcomer, {open_image(newcomer), 0, 1, 1}, 9);
    EXPECT_TRUE(eventually([&] { return rig_->server->use().in_flight_bytes == 0; }));
    EXPECT_FALSE(rig_->lines.has(test_secret().reveal()));
  }
  void serve() { expect_served(*honest_, {image_, 0, 0, 0}, ++round_); }
  std::uint16_t port() const { return rig_->server->port(); }
  bool logged(std::string_view part) {
    return eventually([&] { return rig_->lines.has(part); });
  }

  std::unique_ptr<Served> rig_;
  std::unique_ptr<Talker> honest_;
  ImageId image_;
  std::uint8_t round_ = 0;
};

std::vector<std::byte> bytes_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

std::vector<std::byte> noise(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::byte> out(size);
  for (std::byte& b : out) b = static_cast<std::byte>(random());
  return out;
}

TEST_F(Attacked, ByGarbage) {
  start();
  for (unsigned seed = 0; seed < 20; ++seed) {
    Talker talker(rig_->loop);
    ASSERT_TRUE(talker.connect(port()));
    auto bytes = noise(1 + seed * 100, seed);
    if (seed % 2 == 0) bytes[0] = std::byte{0x16};  // looks like TLS
    (void)talker.say_bytes(bytes);                  // may be cut off within
    serve();
  }
  EXPECT_TRUE(logged("ImageMagick"));
}

TEST_F(Attacked, ByAnotherProtocol) {
  start();
  Talker talker(rig_->loop);
  ASSERT_TRUE(talker.connect(port()));
  ASSERT_TRUE(talker.say_bytes(bytes_of("GET / HTTP/1.1\r\n\r\n")));
  std::byte b[64];
  while (true) {  // the greeting, then the end
    auto got = rig_->loop.run(talker.stream().read_some(b, patience()));
    if (!got || *got == 0) break;
  }
  EXPECT_TRUE(logged("does not speak Smalti's protocol"));
}

TEST_F(Attacked, BySilence) {
  auto options = impatient();
  options.handshake = 4s;
  start(options);
  std::vector<std::unique_ptr<Talker>> silent;
  for (int i = 0; i < 5; ++i) {
    silent.push_back(std::make_unique<Talker>(rig_->loop));
    ASSERT_TRUE(silent.back()->connect(port()));
  }
  EXPECT_TRUE(logged("said nothing for 4000 ms"));
  EXPECT_TRUE(eventually([&] { return rig_->server->use().connections == 1; }));
}

TEST_F(Attacked, BySilenceBehindTls) {
  auto options = impatient();
  options.handshake = 4s;
  start(options);
  Talker talker(rig_->loop);
  ASSERT_TRUE(talker.secure(port()));
  EXPECT_TRUE(logged("no hello"));
  EXPECT_TRUE(eventually([&] { return rig_->server->use().connections == 1; }));
}

TEST_F(Attacked, ByAWrongSecret) {
  start();
  const net::Psk other{Secret("open barley")};
  Talker talker(rig_->loop);
  const auto refused = talker.secure(port(), other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unauthorized);
  EXPECT_NE(refused.error().what.find("authentication failed"), std::string::npos) << refused.error().what;
  EXPECT_TRUE(logged("authentication failed"));
}

TEST_F(Attacked, ByEachIncompatibleBuild) {
  start();
  const wire::Attributes fits;
  std::vector<std::pair<wire::Attributes, std::string>> others(6, {fits, ""});
  others[0].first.interface = 2;
  others[0].second = "interface version 1 here, 2 there";
  others[1].first.quantum_depth = 8;
  others[1].second = "quantum depth 16 here, 8 there";
  others[2].first.hdri = true;
  others[2].second = "HDRI off here, on there";
  others[3].first.word_bytes = 4;
  others[3].second = "word size 64 here, 32 there";
  others[4].first.little_endian = false;
  others[4].second = "endianness little here, big there";
  others[5].first.quantum_depth = 8;
  others[5].first.hdri = true;
  others[5].second = "quantum depth 16 here, 8 there; HDRI off here, on there";
  for (const auto& [attributes, text] : others) {
    Talker talker(rig_->loop);
    ASSERT_TRUE(talker.secure(port()));
    auto hello = Talker::hello();
    hello.attributes = attributes;
    auto heard = talker.ask(hello);
    ASSERT_TRUE(heard) << heard.error().what;
    const auto* refused = std::get_if<native::Refused>(&heard->frame.message);
    ASSERT_NE(refused, nullptr);
    EXPECT_EQ(refused->code, Errc::incompatible);
    EXPECT_EQ(refused->text, text);
    EXPECT_EQ(refused->attributes, fits);
    EXPECT_FALSE(talker.hear());
    EXPECT_TRUE(logged(text));
  }
}

TEST_F(Attacked, ByRequestsWithoutAHello) {
  start();
  Talker talker(rig_->loop);
  ASSERT_TRUE(talker.secure(port()));
  auto heard = talker.ask(native::Get{{{image_, 0, 0, 0}}});
  ASSERT_TRUE(heard);
  EXPECT_TRUE(std::holds_alternative<native::Refused>(heard->frame.message));
  EXPECT_FALSE(talker.hear());
}

TEST_F(Attacked, ByNonsenseInConversation) {
  start();
  const auto frame = native::encode({1, 0, 0}, native::Ping{});
  auto huge = frame, odd = frame, cut = frame;
  huge[7] = std::byte{0x7f};
  odd[3] = std::byte{0x55};
  cut.resize(11);
  for (const auto& bytes :
       {huge, odd, noise(500, 3), native::encode({}, Talker::hello()), native::encode({}, native::Done{})}) {
    Talker talker(rig_->loop);
    ASSERT_TRUE(talker.enter(port(), 1));
    ASSERT_TRUE(talker.say_bytes(bytes));
    auto heard = talker.hear();
    ASSERT_TRUE(heard) << heard.error().what;
    EXPECT_EQ(failure_of(*heard).code, Errc::corrupt);
    EXPECT_FALSE(talker.hear());
    serve();
  }
  {
    Talker talker(rig_->loop);
    ASSERT_TRUE(talker.enter(port(), 1));
    ASSERT_TRUE(talker.say_bytes(cut));  // and gone
  }
  serve();
}

TEST_F(Attacked, ByAHalfFrameThatNeverEnds) {
  start();
  Talker talker(rig_->loop);
  ASSERT_TRUE(talker.enter(port(), 1));
  const TileKey key{open_image(talker), 0, 0, 0};
  auto pixels = payload_of(key, 1);
  const native::Put put{{item_for(key, pixels)}};
  pixels.resize(1000);
  ASSERT_TRUE(talker.say(put, pixels));
  serve();
  const Error end = talker.wait_for_end();
  EXPECT_EQ(end.code, Errc::unavailable) << end.what;
}

TEST_F(Attacked, ByAClientThatNeverReads) {
  start();
  Talker talker(rig_->loop);
  ASSERT_TRUE(talker.enter(port(), 1));
  const TileKey key{open_image(talker), 0, 0, 0};
  expect_served(talker, key, 1);
  const native::Get get{std::vector<TileKey>(1024, key)};  // 16 MiB each
  for (int i = 0; i < 40 && talker.say(get); ++i) serve();
  EXPECT_LE(rig_->server->use().in_flight_bytes, 64u << 20);
  EXPECT_TRUE(eventually([&] { return rig_->server->use().connections == 1; })) << rig_->lines.all();
}

TEST_F(Attacked, ByEnoughClientsThatNeverReadToFillTheServer) {
  ServerOptions options = impatient();
  options.stall = 1h;
  options.pressure = 1s;
  options.in_flight_bytes = 8u << 20;
  start(options);
  std::vector<std::unique_ptr<Talker>> sleepers;
  for (std::uint8_t n = 1; n <= 4; ++n) {
    sleepers.push_back(std::make_unique<Talker>(rig_->loop));
    ASSERT_TRUE(sleepers.back()->enter(port(), n));
    const TileKey key{open_image(*sleepers.back()), 0, 0, 0};
    expect_served(*sleepers.back(), key, 1);
    for (int i = 0; i < 4 && sleepers.back()->say(native::Get{std::vector<TileKey>(1024, key)}); ++i) {
    }
  }
  for (int i = 0; i < 20; ++i) serve();
  EXPECT_LE(rig_->server->use().in_flight_bytes, 9u << 20);
  EXPECT_TRUE(eventually([&] { return rig_->server->use().connections < 5; })) << rig_->lines.all();
}

TEST_F(Attacked, ByAClientThatNeverReadsWhatIsNotThere) {
  start();
  Talker talker(rig_->loop);
  ASSERT_TRUE(talker.enter(port(), 1));
  const native::Get get{
      std::vector<TileKey>(1024, {open_image(talker), 0, 1, 1})};  // replies without payloads
  for (int i = 0; i < 20000 && talker.say(get); ++i)
    if (i % 100 == 0) serve();
  EXPECT_TRUE(eventually([&] { return rig_->server->use().connections == 1; })) << rig_->lines.all();
}

TEST_F(Attacked, ByTwoHundredStrangers) {
  auto options = impatient();
  options.handshake = 1h;
  options.strangers = 64;
  start(options);
  std::vector<std::unique_ptr<Talker>> strangers;
  for (int i = 0; i < 200; ++i) {
    strangers.push_back(std::make_unique<Talker>(rig_->loop));
    ASSERT_TRUE(strangers.back()->connect(port())) << i;
    if (i % 20 == 0) {
      serve();
      Talker newcomer(rig_->loop);
      const auto welcome = newcomer.enter(port(), 50);
      ASSERT_TRUE(welcome) << i << ": " << welcome.error().what;
    }
  }
  EXPECT_TRUE(eventually([&] { return rig_->server->use().evicted >= 136; }));
  EXPECT_LE(rig_->server->use().strangers, 64u);
}

TEST_F(Attacked, ByMoreClientsThanThereIsRoomFor) {
  auto options = impatient();
  options.clients = 5;  // of which one address may hold four
  start(options);
  std::vector<std::unique_ptr<Talker>> clients;
  for (std::uint8_t i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<Talker>(rig_->loop));
    ASSERT_TRUE(clients.back()->enter(port(), i));
  }
  Talker last(rig_->loop);
  const auto refused = last.enter(port(), 50);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::limit);
  EXPECT_NE(refused.error().what.find("cache:clients"), std::string::npos);
  clients.clear();
  EXPECT_TRUE(eventually([&] { return rig_->server->use().connections == 1; }));
}

TEST_F(Attacked, ByClientsThatVanishInTheMiddle) {
  start();
  for (int i = 0; i < 10; ++i) {
    Talker talker(rig_->loop);
    ASSERT_TRUE(talker.enter(port(), static_cast<std::uint8_t>(i)));
    const TileKey key{open_image(talker), 0, 0, 0};
    const auto pixels = payload_of(key, 1);
    for (int n = 0; n < 5; ++n) ASSERT_TRUE(talker.say(native::Put{{item_for(key, pixels)}}, pixels));
    ASSERT_TRUE(talker.say(native::Get{std::vector<TileKey>(50, key)}));
  }
  EXPECT_TRUE(eventually([&] { return rig_->server->use().images == 1; }));
}

}  // namespace
}  // namespace smalti::test
