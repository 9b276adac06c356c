// Placement as data: described by one client, restored by another that lists other hosts.
#include "client/fleet.h"

#include <gmock/gmock.h>

#include "test/client/fake_server.h"

namespace smalti::client {
namespace {

using test::FakeServer;

const ImageSpec spec{{1000, 600}, {Sample::u8, 3, 0}, {64, 64}};  // 16x10 tiles

class FleetTest : public testing::Test {
 protected:
  static const net::Psk& key() {
    static const net::Psk derived{Secret("open sesame")};
    return derived;
  }
  std::unique_ptr<Fleet> fleet(const std::vector<unsigned>& listed) {
    ClusterOptions options;
    for (const unsigned n : listed) options.hosts.push_back({"127.0.0.1", servers_[n]->port()});
    options.key = key();
    options.encrypt = false;
    options.replicas = 2;
    auto made = std::make_unique<Fleet>(loop_, heap_, log_, options);
    const auto met = made->meet(call_);
    EXPECT_TRUE(met) << met.error().what;
    return made;
  }
  void SetUp() override {
    for (int i = 0; i < 4; ++i) servers_.push_back(std::make_unique<FakeServer>(server_loop_, key()));
  }
  static std::vector<wire::native::Id> ids(const Fleet& fleet, const ImageRecord& record, std::uint64_t tile) {
    std::vector<wire::native::Id> out;
    for (const auto& copy : record.copies(record.key(tile))) out.push_back(fleet.member(copy.server).id);
    return out;
  }

  const Call call_;
  const ImageId image_ = ImageId::fresh();
  net::Loop server_loop_;
  net::Loop loop_;
  TileHeap heap_;
  Log log_;
  std::vector<std::unique_ptr<FakeServer>> servers_;
};

TEST_F(FleetTest, APlacingIsRestoredByAClientThatListsOtherHosts) {
  for (const std::optional<std::uint32_t> turn : {std::optional<std::uint32_t>(), std::optional<std::uint32_t>(1)}) {
    const auto first = fleet({0, 1, 2});
    ImageRecord record(spec, image_, first->rule(image_, spec, turn, 2));
    std::vector<std::uint32_t> replaced;
    for (std::uint64_t tile = 0; tile < 150; ++tile) {  // the rest was never put
      auto order = record.order(record.key(tile), first->size());
      order.resize(2);
      if (tile % 50 == 7) order = {order[1]};
      record.placed(record.key(tile), order, replaced);
    }
    const Placing placing = first->describe(record);
    EXPECT_EQ(placing.servers.size(), 3u);
    EXPECT_EQ(placing.exceptions.size(), 4u);

    const auto second = fleet({3, 2});
    std::vector<std::uint32_t> servers;
    auto rule = second->rule(image_, spec, placing, servers);
    ASSERT_TRUE(rule) << rule.error().what;
    second->reach(call_, servers);
    for (const std::uint32_t server : servers) EXPECT_TRUE(second->well(server)) << second->name(server);
    ImageRecord restored(spec, image_, *rule);
    restored.restore_rule();
    for (const Placing::Run& run : placing.exceptions) {
      std::vector<std::uint32_t> holders;
      for (const std::uint32_t holder : run.holders) holders.push_back(servers[holder]);
      restored.restore(run.first, run.tiles, holders);
    }
    for (std::uint64_t tile = 0; tile < 160; ++tile)
      EXPECT_EQ(ids(*second, restored, tile), ids(*first, record, tile)) << tile;
    EXPECT_EQ(second->describe(restored), placing);
    // New images go to the hosts that are listed, and to no others.
    EXPECT_EQ(second->rule(ImageId::fresh(), spec, std::nullopt, 2).servers.size(), 2u);
  }
}

TEST_F(FleetTest, AServerThatMovedIsFoundWhereItIsListedNow) {
  const auto first = fleet({0, 1});
  ImageRecord record(spec, image_, first->rule(image_, spec, std::nullopt, 2));
  Placing placing = first->describe(record);
  for (Placing::Server& server : placing.servers) server.address.port = 1;  // nobody is there
  const auto second = fleet({1, 0});
  std::vector<std::uint32_t> servers;
  ASSERT_TRUE(second->rule(image_, spec, placing, servers));
  for (const std::uint32_t server : servers) EXPECT_TRUE(second->well(server));
}

TEST_F(FleetTest, AServerThatIsGoneStaysUnmet) {
  const auto first = fleet({0, 1});
  ImageRecord record(spec, image_, first->rule(image_, spec, std::nullopt, 2));
  const Placing placing = first->describe(record);
  servers_[0]->stop();
  const auto second = fleet({1});
  std::vector<std::uint32_t> servers;
  ASSERT_TRUE(second->rule(image_, spec, placing, servers));
  second->reach(call_, servers);
  EXPECT_FALSE(second->well(servers[0]));
  EXPECT_TRUE(second->well(servers[1]));
}

TEST_F(FleetTest, APlacingThatMakesNoSenseIsRefused) {
  const auto any = fleet({0, 1});
  ImageRecord record(spec, image_, any->rule(image_, spec, std::nullopt, 2));
  const Placing good = any->describe(record);
  std::vector<std::uint32_t> servers;
  const auto refused = [&](const Placing& placing) {
    const auto rule = any->rule(image_, spec, placing, servers);
    return !rule && rule.error().code == Errc::corrupt;
  };
  for (const auto spoil : std::initializer_list<void (*)(Placing&)>{
           [](Placing& p) { p.ruled = 0; }, [](Placing& p) { p.ruled = 3; }, [](Placing& p) { p.replicas = 0; },
           [](Placing& p) { p.replicas = 9; }, [](Placing& p) { p.first = 2; },
           [](Placing& p) { p.servers.clear(); }}) {
    Placing bad = good;
    spoil(bad);
    EXPECT_TRUE(refused(bad));
  }
}

}  // namespace
}  // namespace smalti::client
