#include "house/house.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "house/serve.h"

namespace smalti::house {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

Config config_with(std::uint64_t memory, std::uint64_t map, std::uint64_t disk) {
  Config config;
  config.limits.most.fill(unlimited);
  config.limits[Resource::memory] = memory;
  config.limits[Resource::map] = map;
  config.limits[Resource::disk] = disk;
  config.limits[Resource::file] = 64;
  config.limits[Resource::thread] = 2;
  config.limits[Resource::throttle] = 0;
  config.temporary = std::filesystem::temp_directory_path();
  return config;
}

const ImageSpec spec{{64, 64}, {Sample::u8, 1, 0}, {32, 32}};  // four tiles of 1 KiB

std::vector<std::string> tiers_of_four_tiles(Config config) {
  Log log;
  auto house = build(std::move(config), Purpose::server, log);
  EXPECT_TRUE(house) << house.error().what;
  if (!house) return {};
  const ImageId image = ImageId::fresh();
  EXPECT_TRUE((*house)->store->open({}, image, spec));
  std::vector<std::string> tiers;
  for (std::uint32_t i = 0; i < 4; ++i) {
    auto draft = TileDraft::make_zeroed({32, 32}, spec.format, (*house)->heap);
    const auto put = put_one(*(*house)->store, {}, {image, 0, i % 2, i / 2}, std::move(*draft).freeze());
    if (!put) tiers.push_back(put.error().what);
  }
  EXPECT_TRUE((*house)->store->sync({}, image));
  (*house)->store->use(image, [&tiers](const TierUse& use) {
    if (use.tiles > 0) tiers.push_back(use.tier + " " + std::to_string(use.tiles));
  });
  return tiers;
}

TEST(House, TiersFollowFromTheLimits) {
  EXPECT_THAT(tiers_of_four_tiles(config_with(1 << 20, 0, 0)), ::testing::Contains("Memory 4"));
  EXPECT_THAT(tiers_of_four_tiles(config_with(0, 1 << 20, 0)), ::testing::Contains("Map 4"));
  EXPECT_THAT(tiers_of_four_tiles(config_with(0, 0, 1 << 20)), ::testing::Contains("Disk 4"));
}

TEST(House, AFullHouseNamesItsLimitsAndTheirCure) {
  const auto said = tiers_of_four_tiles(config_with(0, 0, 0));
  ASSERT_EQ(said.size(), 4u);
  EXPECT_THAT(said[0], AllOf(HasSubstr("cache resources exhausted"), HasSubstr("-limit memory"),
                             HasSubstr("-limit disk")));
}

TEST(House, NothingIsConnectedToBeforeItIsNeeded) {
  Log log;
  Config config = config_with(1 << 20, 0, 0);
  config.hosts = {{"192.0.2.1", 9}};  // an address that nobody has
  auto house = build(std::move(config), Purpose::client, log);
  ASSERT_TRUE(house) << house.error().what;
  EXPECT_NE((*house)->loop, nullptr);
  auto alone = build(config_with(1 << 20, 0, 0), Purpose::client, log);
  ASSERT_TRUE(alone);
  EXPECT_EQ((*alone)->loop, nullptr);
}

TEST(House, ATimeLimitIsADeadlineAndSaysSo) {
  Log log;
  Config config = config_with(1 << 20, 0, 0);
  config.limits[Resource::time] = 3600;
  auto house = build(std::move(config), Purpose::server, log);
  ASSERT_TRUE(house);
  const Call call = call_for(**house, {});
  EXPECT_LE(call.deadline, Clock::now() + std::chrono::hours(1));
  Call late = call;
  late.deadline = Clock::now();
  const Error error = explained(**house, late, {Errc::timeout, "writing out.png"});
  EXPECT_EQ(error.code, Errc::limit);
  EXPECT_THAT(error.what,
              AllOf(HasSubstr("time limit exceeded"), HasSubstr("-limit time"), HasSubstr("out.png")));
  EXPECT_EQ(explained(**house, late, {Errc::io, "x"}).what, "x");
  EXPECT_EQ(explained(**house, call, {Errc::timeout, "a slow server"}).what, "a slow server");
}

TEST(House, ThrottlePausesNowAndThen) {
  Log log;
  Config config = config_with(1 << 20, 0, 0);
  config.limits[Resource::throttle] = 20;
  auto house = build(std::move(config), Purpose::server, log);
  ASSERT_TRUE(house);
  int told = 0;
  const ops::Workshop workshop =
      workshop_of(**house, [&told](std::string_view, std::uint64_t, std::uint64_t) { ++told; }, {});
  const auto from = Clock::now();
  for (int i = 0; i < 5; ++i) workshop.progress("x", 1, 2);
  EXPECT_EQ(told, 5);
  EXPECT_GE(Clock::now() - from, std::chrono::milliseconds(100));
  EXPECT_EQ(workshop.threads, 2u);
}

TEST(Ports, NeedASecret) {
  Log log;
  const auto refused = open_ports(config_with(1 << 20, 0, 0), {{"127.0.0.1", 0}}, log);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unauthorized);
  EXPECT_THAT(refused.error().what,
              AllOf(HasSubstr("shared-secret"), HasSubstr("policy.xml"), HasSubstr("<policy domain")));
}

TEST(Ports, ThatKeepImagesNeedANumber) {
  Log log;
  Config config = config_with(1 << 20, 0, 0);
  config.secret = Secret("passphrase");
  config.persist = std::filesystem::temp_directory_path() / ("smalti-house-test-" + std::to_string(::getpid()));
  const auto refused = open_ports(config, {{"127.0.0.1", 0}}, log);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::invalid);
  EXPECT_THAT(refused.error().what, HasSubstr("cache:persist"));
  EXPECT_THAT(refused.error().what, HasSubstr("port 0"));
  EXPECT_FALSE(std::filesystem::exists(config.persist));
}

TEST(Ports, AreOpenWhenTheReadyLineSaysSo) {
  Log log;
  Config config = config_with(1 << 20, 0, 0);
  config.secret = Secret("hush");
  auto house = open_ports(config, {{"127.0.0.1", 0}, {"127.0.0.1", 0}}, log);
  ASSERT_TRUE(house) << house.error().what;
  ASSERT_EQ((*house)->servers.size(), 2u);
  for (const auto& server : (*house)->servers)
    EXPECT_THAT(
        ready_line(**house, *server),
        MatchesRegex(
            "smalti: serving pixels on 127.0.0.1:[0-9]+ .memory 1.*, map 0B, disk 0B., id [0-9a-f]+"));
  const auto taken = open_ports(config, {{"127.0.0.1", (*house)->servers[0]->port()}}, log);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Errc::io);
  (*house)->drain({});
}

}  // namespace
}  // namespace smalti::house
