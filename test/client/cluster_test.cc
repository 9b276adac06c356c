#include "client/cluster.h"

#include <gmock/gmock.h>

#include <thread>

#include "test/client/fake_server.h"
#include "test/store/patterns.h"

namespace smalti::test {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

const ImageSpec small_image{{500, 300}, {Sample::u8, 4, 0}, {64, 64}};  // 40 tiles

class ClusterTest : public testing::Test {
 protected:
  static Secret secret() { return Secret("open sesame"); }

  static net::Psk key() {
    static const net::Psk derived{secret()};
    return derived;
  }

  FakeServer& serve() {
    servers_.push_back(std::make_unique<FakeServer>(server_loop_, key()));
    options_.hosts.push_back({"127.0.0.1", servers_.back()->port()});
    return *servers_.back();
  }
  TileStore& store() {
    if (!store_) {
      options_.secret = secret();
      options_.key = key();
      options_.random_first = false;
      store_ = cluster_store(loop_, heap_, log_, options_);
    }
    return *store_;
  }
  ImageId open_image(const ImageSpec& spec = small_image) {
    const ImageId id = ImageId::fresh();
    const auto opened = store().open(call_, id, spec);
    EXPECT_TRUE(opened) << opened.error().what;
    return id;
  }
  TileKey nth(const ImageId& id, std::uint32_t n) { return {id, 0, n % 8, n / 8}; }
  Result<Generation> put(const TileKey& key, std::uint64_t version) {
    return put_one(store(), call_, key, pattern_tile(heap_, small_image, key, version));
  }
  void put_all(const ImageId& id, std::uint64_t version = 1) {
    std::vector<TilePut> batch;
    for (std::uint32_t n = 0; n < 40; ++n)
      batch.push_back({nth(id, n), pattern_tile(heap_, small_image, nth(id, n), version)});
    store().put(call_, batch);
    for (const TilePut& one : batch) ASSERT_TRUE(one.put) << one.put.error().what;
  }
  void expect_all(const ImageId& id, std::uint64_t version = 1) {
    std::vector<TileGet> batch;
    for (std::uint32_t n = 0; n < 40; ++n) batch.push_back({nth(id, n)});
    store().get(call_, batch);
    for (const TileGet& one : batch) {
      ASSERT_TRUE(one.got) << one.got.error().what;
      ASSERT_TRUE(*one.got);
      EXPECT_EQ(version_of(**one.got, one.key), version);
    }
  }

  const Call call_;
  net::Loop server_loop_;
  net::Loop loop_{net::Loop::Lent::to_callers};
  TileHeap heap_;
  Log log_;
  ClusterOptions options_;
  std::vector<std::unique_ptr<FakeServer>> servers_;
  StorePtr store_;
};

TEST_F(ClusterTest, ConnectsOnlyWhenAnImageIsOpened) {
  FakeServer& server = serve();
  store().use({}, [](const TierUse&) { FAIL(); });
  EXPECT_TRUE(store().sync(call_, {}));
  EXPECT_TRUE(store().drop(call_, ImageId::fresh()));
  EXPECT_FALSE(*get_one(store(), call_, {ImageId::fresh(), 0, 0, 0}));
  EXPECT_EQ(server.sessions, 0);
  open_image();
  EXPECT_GE(server.sessions, 1);
}

TEST_F(ClusterTest, CarriesTilesEncryptedAndPlain) {
  for (const bool encrypt : {true, false}) {
    store_.reset();
    options_.hosts.clear();
    options_.encrypt = encrypt;
    serve();
    const ImageId id = open_image();
    put_all(id);
    expect_all(id);
    EXPECT_TRUE(store().sync(call_, id));
  }
}

TEST_F(ClusterTest, WholeImagesTakeTurns) {
  for (int i = 0; i < 3; ++i) serve();
  options_.first = 2;
  for (int i = 0; i < 8; ++i) put_all(open_image());
  EXPECT_EQ(servers_[0]->tiles, 120u);
  EXPECT_EQ(servers_[1]->tiles, 80u);
  EXPECT_EQ(servers_[2]->tiles, 120u);
}

TEST_F(ClusterTest, LargeImagesAreSharded) {
  for (int i = 0; i < 2; ++i) serve();
  options_.placement = Placement::sharded;
  std::size_t most = 0, least = 0;
  for (int i = 0; i < 10; ++i) {
    const ImageId id = open_image();
    put_all(id);
    expect_all(id);
  }
  most = std::max(servers_[0]->tiles, servers_[1]->tiles);
  least = std::min(servers_[0]->tiles, servers_[1]->tiles);
  EXPECT_EQ(most + least, 400u);
  EXPECT_GT(least, 50u);
}

TEST_F(ClusterTest, AServerListedTwiceCountsOnce) {
  serve();
  FakeServer& other = serve();
  options_.hosts.push_back({"localhost", servers_[0]->port()});
  options_.hosts.push_back(options_.hosts[1]);
  for (int i = 0; i < 4; ++i) put_all(open_image());
  EXPECT_EQ(other.tiles, 80u);
  std::vector<std::string> places;
  store().use({}, [&](const TierUse& use) {
    EXPECT_EQ(use.tier, "Distributed");
    EXPECT_EQ(use.tiles, 80u);
    places.push_back(use.place);
  });
  EXPECT_EQ(places.size(), 2u);
}

TEST_F(ClusterTest, SaysWhichHostsAreDead) {
  serve();
  const auto port = servers_[0]->port();
  servers_[0]->stop();
  serve();
  options_.secret = secret();
  const auto opened = store().open(call_, ImageId::fresh(), small_image);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::unavailable);
  EXPECT_THAT(opened.error().what, HasSubstr("127.0.0.1:" + std::to_string(port) + ": connection refused; is `smalti"));
  EXPECT_THAT(opened.error().what, testing::Not(HasSubstr(std::to_string(servers_[1]->port()))));
}

TEST_F(ClusterTest, AnotherSecretIsNamed) {
  serve();
  options_.secret = Secret("not it");
  options_.random_first = false;
  store_ = cluster_store(loop_, heap_, log_, options_);
  const auto opened = store().open(call_, ImageId::fresh(), small_image);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::unauthorized);
  EXPECT_THAT(opened.error().what, HasSubstr("authentication failed"));
  EXPECT_THAT(opened.error().what, HasSubstr(options_.hosts[0].text()));
}

TEST_F(ClusterTest, NoSecretAndNoHostsAreErrors) {
  store_ = cluster_store(loop_, heap_, log_, options_);
  auto opened = store().open(call_, ImageId::fresh(), small_image);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().what, HasSubstr("cache:hosts"));
  serve();
  store_ = cluster_store(loop_, heap_, log_, options_);
  opened = store().open(call_, ImageId::fresh(), small_image);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().what, HasSubstr("shared-secret"));
}

TEST_F(ClusterTest, EachAttributeThatDiffersIsNamed) {
  FakeServer& server = serve();
  server.attributes.quantum_depth = 8;
  server.attributes.hdri = true;
  const auto opened = store().open(call_, ImageId::fresh(), small_image);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::incompatible);
  EXPECT_THAT(opened.error().what, HasSubstr("quantum depth 16 here, 8 there"));
  EXPECT_THAT(opened.error().what, HasSubstr("HDRI"));
  EXPECT_THAT(opened.error().what, HasSubstr(options_.hosts[0].text()));
}

TEST_F(ClusterTest, DamagedTilesAreNoticed) {
  FakeServer& server = serve();
  const ImageId id = open_image();
  put_all(id);
  server.bad.damage_tiles = true;
  const auto got = get_one(store(), call_, nth(id, 0));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::corrupt);
  server.bad.damage_tiles = false;
  expect_all(id);
}

TEST_F(ClusterTest, LostTilesAreNeverBlank) {
  FakeServer& server = serve();
  const ImageId id = open_image();
  put_all(id);
  server.bad.forget_tiles = true;
  const auto got = get_one(store(), call_, nth(id, 0));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::unavailable);
  EXPECT_THAT(got.error().what, HasSubstr(id.text()));
  EXPECT_THAT(got.error().what, HasSubstr(options_.hosts[0].text()));
}

TEST_F(ClusterTest, NonsenseEndsTheConnectionAndNothingElse) {
  FakeServer& server = serve();
  const ImageId id = open_image();
  put_all(id);
  server.bad.wrong_size = true;
  auto got = get_one(store(), call_, nth(id, 0));
  ASSERT_FALSE(got);
  server.bad.wrong_size = false;
  expect_all(id);
  server.bad.foreign_numbers = true;
  got = get_one(store(), call_, nth(id, 0));
  ASSERT_FALSE(got);
  server.bad.foreign_numbers = false;
  expect_all(id);
}

TEST_F(ClusterTest, ABrokenConnectionIsMadeAnewUnnoticed) {
  FakeServer& server = serve();
  const ImageId id = open_image();
  put_all(id);
  for (int i = 0; i < 5; ++i) {
    server.bad.hang_up_after = i % 2;
    expect_all(id);
  }
  EXPECT_GT(server.sessions, 3);
}

TEST_F(ClusterTest, ARestartedServerHasLostTheImage) {
  FakeServer& server = serve();
  options_.connections = 1;
  const ImageId id = open_image();
  put_all(id);
  server.incarnation = 2;
  server.bad.hang_up_after = 0;
  const auto got = get_one(store(), call_, nth(id, 0));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::unavailable);
  EXPECT_THAT(got.error().what, HasSubstr("restarted in the middle"));
  EXPECT_THAT(got.error().what, HasSubstr(id.text()));
  EXPECT_THAT(got.error().what, HasSubstr(options_.hosts[0].text()));
  EXPECT_FALSE(put(nth(id, 0), 2)) << "half an image is no image";
  EXPECT_FALSE(store().sync(call_, id));
  const ImageId next = open_image();  // life goes on
  put_all(next);
  expect_all(next);
  EXPECT_TRUE(store().drop(call_, id));
}

TEST_F(ClusterTest, ARestartBeforeAnythingWasPutDoesNotMatter) {
  FakeServer& server = serve();
  options_.connections = 1;
  const ImageId id = open_image();
  server.incarnation = 2;
  server.bad.hang_up_after = 0;
  EXPECT_FALSE(*get_one(store(), call_, nth(id, 0)));
  // The client learns of it with the first put, which is repeated after the image was opened again.
  auto first = put(nth(id, 1), 1);
  if (!first) first = put(nth(id, 1), 1);
  ASSERT_TRUE(first) << first.error().what;
  put_all(id);
  expect_all(id);
}

TEST_F(ClusterTest, ADeadServerIsNamedAndTheImageToo) {
  serve();
  const ImageId id = open_image();
  put_all(id);
  servers_[0]->stop();
  const auto got = get_one(store(), call_, nth(id, 0));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::unavailable);
  EXPECT_THAT(got.error().what, HasSubstr(options_.hosts[0].text()));
  EXPECT_THAT(got.error().what, HasSubstr(id.text()));
  EXPECT_TRUE(store().drop(call_, id));
}

TEST_F(ClusterTest, ASilentServerIsLost) {
  FakeServer& server = serve();
  options_.answer = 3s;
  options_.connect = 3s;
  const ImageId id = open_image();
  put_all(id);
  server.bad.silent = true;
  const auto got = get_one(store(), call_, nth(id, 0));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::unavailable) << got.error().what;
}

TEST_F(ClusterTest, IdleConnectionsAreKeptAlive) {
  FakeServer& server = serve();
  options_.answer = 3s;  // pings come at a third of it
  options_.connections = 1;
  const ImageId id = open_image();
  put_all(id);
  const int before = server.frames;
  // Four take longer than a connection lives that nobody pings.
  for (int i = 0; i < 6000 && server.frames < before + 4; ++i) std::this_thread::sleep_for(10ms);
  EXPECT_GE(server.frames, before + 4);
  EXPECT_EQ(server.sessions, 1);
  expect_all(id);
}

TEST_F(ClusterTest, ACallerMayGiveUp) {
  FakeServer& server = serve();
  const ImageId id = open_image();
  put_all(id);
  server.bad.silent = true;
  auto got = get_one(store(), call_.within(50ms), nth(id, 0));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::timeout);
  std::stop_source stop;
  Call call;
  call.stop = stop.get_token();
  std::jthread stopper([&] {
    std::this_thread::sleep_for(50ms);
    stop.request_stop();
  });
  got = get_one(store(), call, nth(id, 0));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::cancelled);
}

TEST_F(ClusterTest, AFullServersTilesGoToTheNext) {
  FakeServer& full = serve();
  FakeServer& roomy = serve();
  full.bad.room = 10 * 16384;
  const ImageId id = open_image();  // whole, on the full one
  put_all(id);
  expect_all(id);
  EXPECT_EQ(full.tiles, 10u);
  EXPECT_EQ(roomy.tiles, 30u);
  put_all(id, 2);  // where they are they fit
  expect_all(id, 2);
  EXPECT_EQ(full.tiles + roomy.tiles, 40u);
  EXPECT_TRUE(store().drop(call_, id));
  EXPECT_EQ(full.tiles + roomy.tiles, 0u);
}

TEST_F(ClusterTest, AnOldCopyIsCleanedUp) {
  FakeServer& first = serve();
  FakeServer& second = serve();
  const ImageId id = open_image();
  put_all(id);
  EXPECT_EQ(first.tiles, 40u);
  first.bad.room = 0;  // shrunk: even a replacement does not fit
  put_all(id, 2);
  expect_all(id, 2);
  EXPECT_EQ(first.tiles, 0u);
  EXPECT_EQ(second.tiles, 40u);
  EXPECT_EQ(first.takes, 40);
}

TEST_F(ClusterTest, WhenAllAreFullEachIsNamed) {
  for (int i = 0; i < 3; ++i) serve().bad.room = 16384;
  const ImageId id = open_image();
  std::vector<TilePut> batch;
  for (std::uint32_t n = 0; n < 5; ++n)
    batch.push_back({nth(id, n), pattern_tile(heap_, small_image, nth(id, n), 1)});
  store().put(call_, batch);
  int refused = 0;
  for (const TilePut& one : batch) {
    if (one.put) continue;
    ++refused;
    EXPECT_EQ(one.put.error().code, Errc::limit);
    EXPECT_THAT(one.put.error().what, testing::StartsWith("cache resources exhausted"));
    EXPECT_THAT(one.put.error().what, HasSubstr("memory limit of the fake"));
    for (const HostPort& host : options_.hosts) EXPECT_THAT(one.put.error().what, HasSubstr(host.text()));
  }
  EXPECT_EQ(refused, 2);
}

TEST_F(ClusterTest, RefusesWhatDoesNotBelong) {
  serve();
  const ImageId id = open_image();
  const TileKey outside{id, 0, 8, 0};
  EXPECT_EQ(put_one(store(), call_, outside, pattern_tile(heap_, small_image, nth(id, 0), 1)).error().code,
            Errc::invalid);
  EXPECT_EQ(put_one(store(), call_, nth(id, 7), pattern_tile(heap_, small_image, nth(id, 0), 1)).error().code,
            Errc::invalid);
  ImageSpec huge = small_image;
  huge.size = {100000, 100000};
  huge.tile = {10000, 10000};
  EXPECT_EQ(store().open(call_, ImageId::fresh(), huge).error().code, Errc::invalid);
}

TEST_F(ClusterTest, CountsWhatWentOverTheWire) {
  serve();
  const ImageId id = open_image();
  put_all(id);
  expect_all(id);
  std::map<std::string, std::uint64_t> counts;
  store().count([&](const Count& one) { counts[one.name] = one.value; });
  const std::string host = options_.hosts[0].text();
  EXPECT_EQ(counts[host + ".put.tiles"], 40u);
  EXPECT_EQ(counts[host + ".get.tiles"], 40u);
  const double pixels = static_cast<double>(small_image.stored_bytes());
  EXPECT_GT(static_cast<double>(counts[host + ".sent.bytes"]), pixels);
  EXPECT_LT(static_cast<double>(counts[host + ".sent.bytes"]), pixels * 1.02);
  EXPECT_GT(static_cast<double>(counts[host + ".received.bytes"]), pixels);
  EXPECT_LT(static_cast<double>(counts[host + ".received.bytes"]), pixels * 1.02);
}

TEST_F(ClusterTest, EndingDoesNotWaitForAServerThatDoesNotAnswer) {
  // It takes the connection and never says a word.
  auto mute = net::Listener::open(server_loop_, {.address = "127.0.0.1"});
  ASSERT_TRUE(mute);
  options_.hosts = {{"127.0.0.1", (*mute)->port()}};
  options_.connect = std::chrono::hours(1);
  const auto opened = store().open(call_.within(50ms), ImageId::fresh(), small_image);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Errc::timeout);
  store_.reset();
}

TEST_F(ClusterTest, ManyThreadsShareTheConnections) {
  for (int i = 0; i < 2; ++i) serve();
  options_.placement = Placement::sharded;
  const ImageId id = open_image();
  std::vector<std::jthread> threads;
  for (std::uint32_t who = 0; who < 8; ++who)
    threads.emplace_back([&, who] {
      for (std::uint64_t round = 1; round <= 10; ++round)
        for (std::uint32_t n = who; n < 40; n += 8) {
          const auto done = put(nth(id, n), round);
          EXPECT_TRUE(done) << done.error().what;
          const auto got = get_one(store(), call_, nth(id, n));
          EXPECT_TRUE(got && *got && version_of(**got, nth(id, n)) == round);
        }
    });
  threads.clear();
  expect_all(id, 10);
  EXPECT_LE(servers_[0]->sessions, 2);
}

}  // namespace
}  // namespace smalti::test
