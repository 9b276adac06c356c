// Tiles on several servers, of which some fail, stall, come back, or have no room.
#include <gmock/gmock.h>

#include <algorithm>
#include <map>
#include <mutex>
#include <thread>

#include "client/cluster.h"
#include "test/client/fake_server.h"
#include "test/store/patterns.h"

namespace smalti::test {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;

const ImageSpec image_spec{{500, 300}, {Sample::u8, 4, 0}, {64, 64}};  // 40 tiles

class ReplicasTest : public testing::Test {
 protected:
  static const net::Psk& key() {
    static const net::Psk derived{Secret("open sesame")};
    return derived;
  }
  ReplicasTest()
      : log_([this](Level level, std::string_view text) {
          const std::lock_guard lock(mutex_);
          lines_.push_back((level == Level::warning ? "warning: " : "") + std::string(text));
        }) {
    options_.placement = Placement::sharded;
    options_.replicas = 2;
    options_.random_first = false;
    options_.encrypt = false;
    options_.key = key();
    options_.secret = Secret("open sesame");
  }
  ~ReplicasTest() override {
    for (const auto& server : servers_) server->bad.asleep = false;
    store_.reset();
  }

  void serve(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      servers_.push_back(std::make_unique<FakeServer>(server_loop_, key()));
      options_.hosts.push_back({"127.0.0.1", servers_.back()->port()});
    }
  }
  FakeServer& server(unsigned n) { return *servers_[n]; }
  std::string name(unsigned n) const { return options_.hosts[n].text(); }
  // Another server with the same id and address, and with nothing.
  void restart(unsigned n) {
    const auto id = server(n).id_;
    const auto port = server(n).port();
    const std::uint64_t incarnation = server(n).incarnation + 1;
    servers_[n]->stop();
    servers_[n] = std::make_unique<FakeServer>(server_loop_, key(), port, id, incarnation);
  }
  TileStore& store() {
    if (!store_) store_ = cluster_store(loop_, heap_, log_, options_);
    return *store_;
  }
  TileKey nth(std::uint32_t n) { return {image_, 0, n % 8, n / 8}; }
  void open() {
    image_ = ImageId::fresh();
    const auto opened = store().open(call_, image_, image_spec);
    ASSERT_TRUE(opened) << opened.error().what;
  }
  // The errors.
  std::vector<Error> put_all(std::uint64_t version) {
    std::vector<TilePut> batch;
    for (std::uint32_t n = 0; n < 40; ++n) batch.push_back({nth(n), pattern_tile(heap_, image_spec, nth(n), version)});
    store().put(call_, batch);
    std::vector<Error> errors;
    for (TilePut& one : batch)
      if (!one.put) errors.push_back(one.put.error());
    return errors;
  }
  void expect_put(std::uint64_t version) {
    for (const Error& error : put_all(version)) ADD_FAILURE() << error.what;
  }
  void expect_all(std::uint64_t version) {
    std::vector<TileGet> batch;
    for (std::uint32_t n = 0; n < 40; ++n) batch.push_back({nth(n)});
    store().get(call_, batch);
    for (const TileGet& one : batch) {
      ASSERT_TRUE(one.got) << one.got.error().what;
      ASSERT_TRUE(*one.got) << "blank";
      EXPECT_EQ(version_of(**one.got, one.key), version);
    }
  }
  std::uint64_t counted(const std::string& name) {
    std::uint64_t value = 0;
    store().count([&](const Count& one) { value = one.name == name ? one.value : value; });
    return value;
  }
  bool said(const std::string& text) {
    const std::lock_guard lock(mutex_);
    return std::any_of(lines_.begin(), lines_.end(), [&](const auto& line) { return line.find(text) != line.npos; });
  }
  std::string all_said() {
    const std::lock_guard lock(mutex_);
    std::string out;
    for (const auto& line : lines_) out += line + "\n";
    return out;
  }
  std::size_t tiles() const {
    std::size_t sum = 0;
    for (const auto& each : servers_) sum += each->tiles;
    return sum;
  }
  // And none of an older version.
  bool each_has_two_copies() {
    std::map<TileKey, std::vector<std::uint64_t>> copies;
    for (const auto& each : servers_)
      for (const auto& [key, checksum] : each->holds()) copies[key].push_back(checksum);
    return copies.size() == 40 && std::all_of(copies.begin(), copies.end(), [](const auto& of) {
             return of.second.size() >= 2 && std::ranges::count(of.second, of.second[0]) == std::ssize(of.second);
           });
  }
  template <class Condition>
  bool eventually(Condition condition) {
    for (int i = 0; i < 6000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(10ms);
    }
    ADD_FAILURE() << all_said();
    return false;
  }

  const Call call_;
  std::mutex mutex_;
  std::vector<std::string> lines_;  // guarded by mutex_
  net::Loop server_loop_;
  net::Loop loop_;
  TileHeap heap_;
  Log log_;
  ClusterOptions options_;
  std::vector<std::unique_ptr<FakeServer>> servers_;
  StorePtr store_;
  ImageId image_;
};

TEST_F(ReplicasTest, EachTileIsOnSoManyServers) {
  for (const auto placement : {Placement::sharded, Placement::round_robin}) {
    store_.reset();
    servers_.clear();
    options_.hosts.clear();
    options_.placement = placement;
    serve(3);
    open();
    expect_put(1);
    EXPECT_EQ(tiles(), 80u);
    expect_all(1);
    expect_put(2);  // in place
    EXPECT_EQ(tiles(), 80u);
    expect_all(2);
    EXPECT_TRUE(store().sync(call_, image_));
    EXPECT_TRUE(store().drop(call_, image_));
    EXPECT_EQ(tiles(), 0u);
  }
}

TEST_F(ReplicasTest, WholeImagesGoToTheNextInTheRing) {
  options_.placement = Placement::round_robin;
  options_.first = 2;
  serve(4);
  open();
  expect_put(1);
  EXPECT_EQ(server(2).tiles, 40u);
  EXPECT_EQ(server(3).tiles, 40u);
  expect_all(1);
  EXPECT_GT(server(2).gets, 0);
  EXPECT_GT(server(3).gets, 0) << "readers are spread over the copies";
}

TEST_F(ReplicasTest, AServerThatDiesIsNotMissedAndItsTilesAreCopied) {
  serve(3);
  open();
  expect_put(1);
  const std::size_t there = server(0).tiles;
  server(0).stop();
  expect_all(1);
  EXPECT_TRUE(eventually([&] { return server(1).tiles + server(2).tiles == 80; }));
  EXPECT_TRUE(eventually([&] { return said("is lost"); }));
  EXPECT_TRUE(said(name(0) + " is lost (")) << all_said();
  EXPECT_TRUE(said(std::to_string(there) + " tiles of image " + image_.text() + " have one copy left, copying them to " +
                   name(1) + ", " + name(2)))
      << all_said();
  EXPECT_EQ(counted(name(1) + ".copied.tiles") + counted(name(2) + ".copied.tiles"), there);
  EXPECT_TRUE(eventually([&] { return said("each has enough copies again"); }));
  server(1).stop();  // the second
  expect_all(1);
  expect_put(2);
  expect_all(2);
  EXPECT_TRUE(store().sync(call_, image_));
  EXPECT_TRUE(store().drop(call_, image_));
}

TEST_F(ReplicasTest, WhereNoCopyIsLeftTheServerAndTheImageAreNamed) {
  serve(2);
  open();
  expect_put(1);
  server(0).stop();
  server(1).stop();
  const auto got = get_one(store(), call_, nth(0));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::unavailable);
  EXPECT_THAT(got.error().what, AllOf(HasSubstr("127.0.0.1:"), HasSubstr(image_.text())));
  EXPECT_EQ(put_all(2).size(), 40u);
  EXPECT_FALSE(store().sync(call_, image_));
}

TEST_F(ReplicasTest, OfTwoServersOneIsEnoughAndTheOtherIsUsedAgain) {
  serve(2);
  open();
  expect_put(1);
  server(1).stop();
  expect_put(2);
  expect_all(2);
  EXPECT_TRUE(eventually([&] { return said("fewer servers than cache:replicas asks for"); }));
  restart(1);
  EXPECT_TRUE(eventually([&] { return said("each has enough copies again"); }));
  EXPECT_EQ(server(1).tiles, 40u);
  EXPECT_TRUE(said(name(1) + " is back, restarted: what it held is gone")) << all_said();
  server(0).stop();
  expect_all(2);
}

TEST_F(ReplicasTest, AServerThatRestartsEmptyIsFilledAgain) {
  serve(3);
  open();
  expect_put(1);
  restart(0);
  expect_all(1);
  EXPECT_TRUE(eventually([&] { return said("each has enough copies again"); }));
  EXPECT_EQ(tiles(), 80u);
  expect_put(2);
  expect_all(2);
  EXPECT_TRUE(eventually([&] { return tiles() == 80; }));
  server(1).stop();
  expect_all(2);
}

TEST_F(ReplicasTest, AListedServerMayBeDownAndJoinLater) {
  serve(3);
  const auto port = server(2).port();
  const auto id = server(2).id_;
  server(2).stop();
  open();
  EXPECT_TRUE(said("warning: " + name(2) + ": connection refused")) << all_said();
  expect_put(1);
  EXPECT_EQ(server(0).tiles, 40u);
  servers_[2] = std::make_unique<FakeServer>(server_loop_, key(), port, id);
  EXPECT_TRUE(eventually([&] { return said(name(2) + " has joined"); }));
  open();
  expect_put(1);
  EXPECT_GT(server(2).tiles, 0u);
  expect_all(1);
}

TEST_F(ReplicasTest, AnotherServerUnderTheSameAddressIsAnotherServer) {
  serve(3);
  open();
  expect_put(1);
  const auto port = server(0).port();
  servers_[0]->stop();
  servers_[0] = std::make_unique<FakeServer>(server_loop_, key(), port);
  expect_all(1);
  EXPECT_TRUE(eventually([&] { return said(name(0) + " has joined"); }));
  // A copy that has arrived counts once its arrival has been told.
  EXPECT_TRUE(eventually([&] { return said("each has enough copies again"); }));
  EXPECT_EQ(tiles(), 80u);
  server(1).stop();
  expect_all(1);
}

TEST_F(ReplicasTest, AnotherSecretIsAnErrorHoweverManyAnswer) {
  serve(2);
  auto stranger = std::make_unique<FakeServer>(server_loop_, net::Psk(Secret("another")));
  options_.hosts.push_back({"127.0.0.1", stranger->port()});
  const auto opened = store().open(call_, ImageId::fresh(), image_spec);
  ASSERT_FALSE(opened);
  EXPECT_THAT(opened.error().what, HasSubstr("authentication failed"));
}

TEST_F(ReplicasTest, AStalledServerIsPassedOverAndNeverReadWhenItWakes) {
  serve(3);
  open();
  expect_put(1);
  server(0).bad.asleep = true;
  expect_all(1);  // from the others
  expect_put(2);  // on the others
  expect_all(2);
  EXPECT_TRUE(eventually([&] { return said(name(0) + " is lost (no answer for "); }));
  expect_put(3);
  server(0).bad.asleep = false;  // what it was sent meanwhile arrives now
  EXPECT_TRUE(eventually([&] { return said(name(0) + " is back"); }));
  expect_all(3);
  expect_put(4);
  for (int i = 0; i < 10; ++i) expect_all(4);
  EXPECT_TRUE(eventually([&] { return tiles() == 80; })) << "stale copies are taken away";
  server(1).stop();
  expect_all(4);
}

TEST_F(ReplicasTest, AServerThatStallsAndIsThenRestartedIsUsedAgain) {
  serve(3);
  open();
  expect_put(1);
  server(0).bad.asleep = true;
  expect_put(2);
  EXPECT_TRUE(eventually([&] { return said(name(0) + " is lost"); }));
  std::this_thread::sleep_for(300ms);  // until the keeper's ping lies there unanswered
  server(0).bad.asleep = false;
  restart(0);
  EXPECT_TRUE(eventually([&] { return said(name(0) + " is back, restarted"); }));
  expect_all(2);
  open();
  expect_put(3);
  EXPECT_GT(server(0).tiles, 0u);
  expect_all(3);
}

TEST_F(ReplicasTest, AServerThatAnswersEverythingButPutsIsGivenUp) {
  options_.answer = 700ms;
  serve(3);
  open();
  expect_put(1);
  server(0).bad.mute_to_puts = true;
  expect_put(2);
  expect_all(2);
  EXPECT_TRUE(eventually([&] { return said(name(0) + " is lost (an answer is overdue)"); }));
  expect_put(3);
  expect_all(3);
}

TEST_F(ReplicasTest, WhoHasTheOnlyCopyIsWaitedFor) {
  serve(2);
  open();
  expect_put(1);
  server(1).stop();
  EXPECT_TRUE(eventually([&] { return said("is lost"); }));
  server(0).bad.asleep = true;
  std::jthread waker([&] {
    std::this_thread::sleep_for(3s);  // longer than any server with a copy elsewhere is given
    server(0).bad.asleep = false;
  });
  expect_all(1);
}

TEST_F(ReplicasTest, DamagedAndMissingCopiesArePutRight) {
  serve(3);
  open();
  expect_put(1);
  server(0).bad.damage_tiles = true;
  expect_all(1);
  EXPECT_TRUE(eventually([&] { return counted(name(0) + ".repaired.tiles") > 0; }));
  server(0).bad.damage_tiles = false;
  server(1).bad.forget_tiles = true;
  expect_all(1);
  EXPECT_TRUE(eventually([&] { return counted(name(1) + ".repaired.tiles") > 0; }));
  EXPECT_EQ(counted(name(2) + ".repaired.tiles"), 0u);
  server(1).bad.forget_tiles = false;
  expect_all(1);
}

TEST_F(ReplicasTest, WhereAllCopiesAreDamagedItIsAnError) {
  serve(2);
  open();
  expect_put(1);
  for (unsigned n : {0u, 1u}) server(n).bad.damage_tiles = true;
  const auto got = get_one(store(), call_, nth(3));
  ASSERT_FALSE(got);
  EXPECT_EQ(got.error().code, Errc::corrupt);
}

TEST_F(ReplicasTest, AFullServersCopiesGoToTheNext) {
  serve(3);
  server(0).bad.room = 5 * 16384;
  open();
  expect_put(1);
  expect_all(1);
  EXPECT_LE(server(0).tiles, 6u);  // those at the border are smaller
  EXPECT_EQ(tiles(), 80u);
  server(0).bad.room = 0;  // not even a replacement
  expect_put(2);
  expect_all(2);
  EXPECT_EQ(server(0).tiles, 0u) << "old copies are taken away";
  EXPECT_EQ(tiles(), 80u);
}

TEST_F(ReplicasTest, WhereTheCopiesDoNotFitEachServerIsNamedAndNothingIsLeft) {
  serve(2);
  server(1).bad.room = 3 * 16384;
  open();
  const auto errors = put_all(1);
  ASSERT_FALSE(errors.empty());
  EXPECT_EQ(errors[0].code, Errc::limit);
  EXPECT_THAT(errors[0].what, AllOf(testing::StartsWith("cache resources exhausted"), HasSubstr(name(1)),
                                    HasSubstr("memory limit of the fake")));
  EXPECT_EQ(server(0).tiles, server(1).tiles);
  EXPECT_EQ(tiles(), 2 * (40 - errors.size()));
}

TEST_F(ReplicasTest, RemovalReachesEveryCopy) {
  serve(3);
  open();
  expect_put(1);
  ASSERT_TRUE(put_one(store(), call_, nth(5), {}));
  EXPECT_EQ(tiles(), 78u);
  EXPECT_FALSE(*get_one(store(), call_, nth(5)));
}

TEST_F(ReplicasTest, AnImageDroppedWhileAServerSleptIsDroppedThereLater) {
  serve(3);
  open();
  expect_put(1);
  server(2).bad.asleep = true;
  EXPECT_TRUE(eventually([&] {
    expect_all(1);
    return said(name(2) + " is lost");
  }));
  EXPECT_TRUE(store().drop(call_, image_));
  EXPECT_EQ(server(0).tiles + server(1).tiles, 0u);
  server(2).bad.asleep = false;
  EXPECT_TRUE(eventually([&] { return server(2).tiles == 0; }));
}

TEST_F(ReplicasTest, ReadersAndWritersSurviveServersThatComeAndGo) {
  serve(4);
  open();
  expect_put(1);
  std::atomic<bool> ending = false, pausing = false;
  std::atomic<int> paused = 0;
  std::vector<std::jthread> threads;
  for (std::uint32_t who = 0; who < 4; ++who)
    threads.emplace_back([&, who] {
      for (std::uint64_t round = 2; !ending; ++round) {
        ++paused;
        while (pausing) std::this_thread::sleep_for(1ms);
        --paused;
        for (std::uint32_t i = 0; i < 10; ++i) {
          const TileKey key = nth(who * 10 + i);
          const auto done = put_one(store(), call_, key, pattern_tile(heap_, image_spec, key, round));
          ASSERT_TRUE(done) << done.error().what;
          const auto got = get_one(store(), call_, key);
          ASSERT_TRUE(got) << got.error().what;
          ASSERT_TRUE(*got);
          ASSERT_EQ(version_of(**got, key), round);
        }
      }
    });
  for (unsigned n = 0; n < 4; ++n) {
    restart(n);
    std::this_thread::sleep_for(100ms);  // in which they go on
    pausing = true;
    EXPECT_TRUE(eventually([&] { return paused == 4; }));
    EXPECT_TRUE(eventually([&] { return each_has_two_copies(); }));
    EXPECT_TRUE(store().sync(call_, image_));
    std::this_thread::sleep_for(200ms);  // until the last answer has been heard
    pausing = false;
  }
  ending = true;
}

}  // namespace
}  // namespace smalti::test
