// What honest clients get from a server.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <thread>

#include "server/identity.h"
#include "test/server/talker.h"

namespace smalti::test {
namespace {

TEST(Server, NeedsASecret) {
  Served rig;
  const auto none =
      Server::listen({rig.loop, rig.store, rig.ledger, rig.heap, rig.pool, rig.lines.log, {}}, {});
  ASSERT_FALSE(none);
  EXPECT_NE(none.error().what.find("cache:shared-secret"), std::string::npos);
}

TEST(Server, SaysWhereItListensAndThatAPortIsTaken) {
  Served rig;
  ASSERT_TRUE(rig.server);
  EXPECT_NE(rig.server->port(), 0);
  ServerOptions again;
  again.address = "127.0.0.1";
  again.port = rig.server->port();
  again.secret = test_secret();
  const auto second =
      Server::listen({rig.loop, rig.store, rig.ledger, rig.heap, rig.pool, rig.lines.log, {}}, again);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::io);
  EXPECT_NE(second.error().what.find(std::to_string(again.port)), std::string::npos) << second.error().what;
}

TEST(NativeSession, WelcomesWithItsIdentity) {
  Served rig;
  Talker talker(rig.loop);
  const auto welcome = talker.enter(rig.server->port());
  ASSERT_TRUE(welcome) << welcome.error().what;
  EXPECT_EQ(ImageId{welcome->server}.text(), rig.server->id());
  EXPECT_EQ(welcome->grace_millis, 30000u);
  EXPECT_EQ(welcome->attributes, wire::Attributes{});
  EXPECT_FALSE(welcome->plain);
}

TEST(NativeSession, GivesBackWhatWasPut) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const ImageId image = open_image(talker);
  for (std::uint32_t n = 0; n < 4; ++n)
    expect_served(talker, {image, 0, n % 2, n / 2}, static_cast<std::uint8_t>(n));
  EXPECT_EQ(rig.server->use().images, 1u);
  EXPECT_TRUE(eventually([&] { return rig.server->use().in_flight_bytes == 0; }));
}

TEST(NativeSession, AnswersBatchesItemByItem) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const ImageId image = open_image(talker);
  const TileKey good{image, 0, 0, 0}, beyond{image, 0, 2, 0}, foreign{ImageId::fresh(), 0, 0, 0},
      last{image, 0, 1, 1};
  const auto a = payload_of(good, 1), d = payload_of(last, 2);
  std::vector<std::byte> body;
  for (const auto& part : {a, a, a, a, d}) body.insert(body.end(), part.begin(), part.end());
  native::Put put{
      {item_for(good, a), item_for(beyond, a), item_for(foreign, a), item_for(last, a), item_for(last, d)}};
  ASSERT_TRUE(talker.say(put, body));
  const auto answers = put_answers(talker, 5);
  EXPECT_TRUE(answers[0].put);
  for (int i : {1, 2, 3}) {
    ASSERT_FALSE(answers[i].put) << i;
    EXPECT_EQ(answers[i].put.error().code, Errc::invalid) << i;
  }
  EXPECT_NE(answers[3].put.error().what.find("9216 bytes, not 16384"), std::string::npos)
      << answers[3].put.error().what;
  EXPECT_TRUE(answers[4].put);
  ASSERT_TRUE(talker.say(native::Get{{last, beyond, foreign, {image, 0, 1, 0}, good}}));
  const auto got = tile_answers(talker, 5);
  using State = native::TileAnswer::State;
  EXPECT_TRUE(got[0].pixels == d);
  EXPECT_EQ(got[1].answer.state, State::absent);
  EXPECT_EQ(got[2].answer.state, State::failed);
  EXPECT_EQ(got[3].answer.state, State::absent);
  EXPECT_TRUE(got[4].pixels == a);
}

TEST(NativeSession, ADamagedPayloadIsRefusedAndTheConnectionLives) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const TileKey key{open_image(talker), 0, 0, 0};
  auto pixels = payload_of(key, 1);
  const native::Put put{{item_for(key, pixels)}};
  pixels[777] ^= std::byte{4};
  ASSERT_TRUE(talker.say(put, pixels));
  const auto answer = put_answers(talker, 1);
  ASSERT_FALSE(answer[0].put);
  EXPECT_EQ(answer[0].put.error().code, Errc::corrupt);
  expect_served(talker, key, 2);
}

TEST(NativeSession, HonoursGenerations) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const TileKey key{open_image(talker), 0, 0, 0};
  const auto pixels = payload_of(key, 1);
  auto item = item_for(key, pixels);
  item.only_if = Generation::none;
  ASSERT_TRUE(talker.say(native::Put{{item}}, pixels));
  const auto first = put_answers(talker, 1);
  ASSERT_TRUE(first[0].put);
  ASSERT_TRUE(talker.say(native::Put{{item}}, pixels));
  const auto second = put_answers(talker, 1);
  ASSERT_FALSE(second[0].put);
  EXPECT_EQ(second[0].put.error().code, Errc::conflict);
  native::PutItem away{key, *first[0].put, 0, 0};
  ASSERT_TRUE(talker.say(native::Put{{away}}));
  EXPECT_TRUE(put_answers(talker, 1)[0].put);
  ASSERT_TRUE(talker.say(native::Get{{key}}));
  EXPECT_EQ(tile_answers(talker, 1)[0].answer.state, native::TileAnswer::State::absent);
}

TEST(NativeSession, PipelinesManyRequests) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const ImageId image = open_image(talker);
  constexpr std::uint64_t requests = 300;
  for (std::uint64_t n = 0; n < requests; ++n) {
    const TileKey key{image, 0, static_cast<std::uint32_t>(n % 2), static_cast<std::uint32_t>(n / 2 % 2)};
    const auto pixels = payload_of(key, static_cast<std::uint8_t>(n % 2 + 2 * (n / 2 % 2)));
    ASSERT_TRUE(talker.say(native::Put{{item_for(key, pixels)}}, pixels, 1000 + n));
  }
  std::set<std::uint64_t> answered;
  for (std::uint64_t n = 0; n < requests; ++n) {
    auto heard = talker.hear();
    ASSERT_TRUE(heard) << heard.error().what;
    EXPECT_TRUE(std::get<native::PutDone>(heard->frame.message).answers.at(0).put);
    EXPECT_EQ(heard->frame.meta.trace, 7u);
    answered.insert(heard->frame.meta.request);
  }
  EXPECT_EQ(answered.size(), requests);
  EXPECT_EQ(*answered.begin(), 1000u);
}

TEST(NativeSession, TellsUseAndRoom) {
  Limits limits = no_limits();
  limits[Resource::memory] = 1u << 20;
  Served rig({}, nullptr, limits);
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const ImageId image = open_image(talker);
  expect_served(talker, {image, 0, 0, 0}, 1);
  auto heard = talker.ask(native::Use{image});
  ASSERT_TRUE(heard);
  const auto& report = std::get<native::UseReport>(heard->frame.message);
  ASSERT_EQ(report.tiers.size(), 1u);
  EXPECT_EQ(report.tiers[0].tiles, 1u);
  EXPECT_EQ(report.tiers[0].bytes, 16384u);
  EXPECT_EQ(report.rooms.size(), resource_count);
  const auto memory = std::find_if(report.rooms.begin(), report.rooms.end(),
                                   [](const auto& room) { return room.resource == Resource::memory; });
  EXPECT_EQ(memory->limit, 1u << 20);
  EXPECT_GE(memory->used, 16384u);
}

TEST(NativeSession, AFullServerSaysSo) {
  Limits limits = no_limits();
  limits[Resource::memory] = 20000;
  Served rig({}, nullptr, limits);
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const ImageId image = open_image(talker);
  expect_served(talker, {image, 0, 0, 0}, 1);
  const TileKey second{image, 0, 0, 1};
  const auto pixels = payload_of(second, 1);
  ASSERT_TRUE(talker.say(native::Put{{item_for(second, pixels)}}, pixels));
  const auto answer = put_answers(talker, 1);
  ASSERT_FALSE(answer[0].put);
  EXPECT_EQ(answer[0].put.error().code, Errc::limit);
  EXPECT_NE(answer[0].put.error().what.find("memory"), std::string::npos);
}

TEST(NativeSession, EnforcesTheServersLimits) {
  Limits limits = no_limits();
  limits[Resource::width] = 200;
  limits[Resource::height] = 300;
  limits[Resource::list_length] = 2;
  Served rig({}, nullptr, limits);
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const auto refused = [&](ImageSpec spec) {
    auto heard = talker.ask(native::Open{ImageId::fresh(), spec});
    return heard ? failure_of(*heard) : heard.error();
  };
  ImageSpec wide = small_image, high = small_image, huge = small_image, none = small_image;
  wide.size.w = 201;
  high.size.h = 301;
  huge.tile = {1u << 15, 1u << 15};
  huge.size = {200, 300};
  none.size.w = 0;
  EXPECT_EQ(refused(wide).code, Errc::limit);
  EXPECT_NE(refused(wide).what.find("width"), std::string::npos) << refused(wide).what;
  EXPECT_EQ(refused(high).code, Errc::limit);
  EXPECT_EQ(refused(none).code, Errc::invalid);
  const ImageId first = open_image(talker, small_image);
  open_image(talker, small_image);
  const Error third = refused(small_image);
  EXPECT_EQ(third.code, Errc::limit);
  EXPECT_NE(third.what.find("list-length"), std::string::npos) << third.what;
  auto dropped = talker.ask(native::Drop{first});
  ASSERT_TRUE(dropped);
  EXPECT_TRUE(std::holds_alternative<native::Done>(dropped->frame.message));
  open_image(talker, small_image);
}

TEST(NativeSession, RefusesTilesThatNoFrameCarries) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  auto heard = talker.ask(
      native::Open{ImageId::fresh(), {{1u << 14, 1u << 14}, {Sample::u16, 4, 0}, {1u << 12, 1u << 12}}});
  ASSERT_TRUE(heard);
  EXPECT_EQ(failure_of(*heard).code, Errc::invalid);
}

TEST(NativeSession, SyncsAndPings) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const ImageId image = open_image(talker);
  for (const native::Message& m :
       {native::Message(native::Sync{}), native::Message(native::Sync{image}),
        native::Message(native::Sync{ImageId::fresh()}), native::Message(native::Ping{})}) {
    auto heard = talker.ask(m);
    ASSERT_TRUE(heard);
    EXPECT_TRUE(std::holds_alternative<native::Done>(heard->frame.message));
  }
}

TEST(NativeSession, LeavesTlsWhereBothSidesWantTo) {
  ServerOptions options;
  options.plain = true;
  Served rig(options);
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.secure(rig.server->port()));
  auto hello = Talker::hello();
  hello.plain = true;
  auto heard = talker.ask(hello);
  ASSERT_TRUE(heard) << heard.error().what;
  ASSERT_TRUE(std::get<native::Welcome>(heard->frame.message).plain);
  talker.leave_tls();
  const ImageId image = open_image(talker);
  for (std::uint32_t n = 0; n < 4; ++n) expect_served(talker, {image, 0, n % 2, n / 2}, 1);
  Talker other(rig.loop);  // and keeps it where one does not
  const auto welcome = other.enter(rig.server->port(), 2);
  ASSERT_TRUE(welcome);
  EXPECT_FALSE(welcome->plain);
}

TEST(NativeSession, KeepsTlsWhereTheServerDoesNotWantToLeave) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.secure(rig.server->port()));
  auto hello = Talker::hello();
  hello.plain = true;
  auto heard = talker.ask(hello);
  ASSERT_TRUE(heard);
  EXPECT_FALSE(std::get<native::Welcome>(heard->frame.message).plain);
  expect_served(talker, {open_image(talker), 0, 0, 0}, 1);
}

TEST(NativeSession, ServesManyClientsAtOnce) {
  Served rig;
  std::vector<std::jthread> clients;
  for (std::uint8_t n = 1; n <= 8; ++n)
    clients.emplace_back([&rig, n] {
      Talker talker(rig.loop);
      ASSERT_TRUE(talker.enter(rig.server->port(), n));
      const ImageId image = open_image(talker);
      for (std::uint8_t i = 0; i < 20; ++i) expect_served(talker, {image, 0, i % 2u, i / 2u % 2}, i);
    });
}

// Images belong to sessions.

TEST(Leases, AnotherSessionsImageIsOutOfReach) {
  Served rig;
  Talker owner(rig.loop), stranger(rig.loop);
  ASSERT_TRUE(owner.enter(rig.server->port(), 1));
  ASSERT_TRUE(stranger.enter(rig.server->port(), 2));
  const ImageId image = open_image(owner);
  auto opened = stranger.ask(native::Open{image, small_image});
  ASSERT_TRUE(opened);
  EXPECT_EQ(failure_of(*opened).code, Errc::conflict);
  auto dropped = stranger.ask(native::Drop{image});
  ASSERT_TRUE(dropped);
  EXPECT_EQ(failure_of(*dropped).code, Errc::conflict);
  expect_served(owner, {image, 0, 0, 0}, 1);
}

TEST(Leases, ConnectionsOfOneSessionShareItsImages) {
  Served rig;
  Talker one(rig.loop), two(rig.loop);
  ASSERT_TRUE(one.enter(rig.server->port()));
  ASSERT_TRUE(two.enter(rig.server->port()));
  const ImageId image = open_image(one);
  expect_served(two, {image, 0, 0, 0}, 1);
  auto other = small_image;
  other.size.w = 50;
  auto opened = two.ask(native::Open{image, other});
  ASSERT_TRUE(opened);
  EXPECT_EQ(failure_of(*opened).code, Errc::conflict);
  EXPECT_EQ(rig.server->use().sessions, 1u);
}

TEST(Leases, ImagesOutliveTheirConnectionByTheGrace) {
  ServerOptions options;
  options.grace = 100ms;
  Served rig(options);
  {
    Talker talker(rig.loop);
    ASSERT_TRUE(talker.enter(rig.server->port()));
    expect_served(talker, {open_image(talker), 0, 0, 0}, 1);
  }
  EXPECT_TRUE(eventually([&] { return rig.server->use().images == 0 && rig.server->use().sessions == 0; }));
  EXPECT_EQ(rig.ledger.used(Resource::memory), 0u);
  EXPECT_TRUE(rig.lines.has("dropped")) << rig.lines.all();
}

TEST(Leases, ARenewedConnectionKeepsThem) {
  ServerOptions options;
  options.grace = 1h;
  Served rig(options);
  ImageId image;
  {
    Talker talker(rig.loop);
    ASSERT_TRUE(talker.enter(rig.server->port()));
    image = open_image(talker);
    expect_served(talker, {image, 0, 0, 0}, 1);
  }
  ASSERT_TRUE(eventually([&] { return rig.server->use().connections == 0; }));
  Talker again(rig.loop);
  ASSERT_TRUE(again.enter(rig.server->port()));
  ASSERT_TRUE(again.say(native::Get{{{image, 0, 0, 0}}}));
  EXPECT_TRUE(tile_answers(again, 1)[0].pixels == payload_of({image, 0, 0, 0}, 1));
}

TEST(Leases, AConnectionThatIsAloneEndsTheOthersAndKeepsTheImages) {
  ServerOptions options;
  options.grace = 1h;
  Served rig(options);
  Talker one(rig.loop), two(rig.loop), stranger(rig.loop);
  ASSERT_TRUE(one.enter(rig.server->port()));
  ASSERT_TRUE(stranger.enter(rig.server->port(), 2));
  const ImageId image = open_image(one);
  expect_served(one, {image, 0, 0, 0}, 1);
  const auto welcomed = two.enter(rig.server->port(), 1, true);
  ASSERT_TRUE(welcomed) << welcomed.error().what;
  EXPECT_EQ(one.wait_for_end().code, Errc::unavailable);
  ASSERT_TRUE(two.say(native::Get{{{image, 0, 0, 0}}}));
  EXPECT_TRUE(tile_answers(two, 1)[0].pixels == payload_of({image, 0, 0, 0}, 1));
  expect_served(stranger, {open_image(stranger), 0, 0, 0}, 2);
}

TEST(Leases, AGoodbyeEndsThemAtOnce) {
  ServerOptions options;
  options.grace = 1h;
  Served rig(options);
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  expect_served(talker, {open_image(talker), 0, 0, 0}, 1);
  ASSERT_TRUE(talker.say(native::Goodbye{true, "done"}));
  EXPECT_EQ(talker.wait_for_end().code, Errc::unavailable);
  EXPECT_TRUE(eventually([&] { return rig.server->use().images == 0; }));
  EXPECT_EQ(rig.ledger.used(Resource::memory), 0u);
}

TEST(Leases, ADropGivesEverythingBack) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const ImageId image = open_image(talker);
  expect_served(talker, {image, 0, 0, 0}, 1);
  auto dropped = talker.ask(native::Drop{image});
  ASSERT_TRUE(dropped);
  EXPECT_TRUE(std::holds_alternative<native::Done>(dropped->frame.message));
  EXPECT_EQ(rig.ledger.used(Resource::memory), 0u);
  ASSERT_TRUE(talker.say(native::Get{{{image, 0, 0, 0}}}));
  EXPECT_EQ(tile_answers(talker, 1)[0].answer.state, native::TileAnswer::State::failed);
  EXPECT_TRUE(talker.ask(native::Drop{image}));  // twice is fine
}

// The end.

TEST(Server, DrainTellsClientsGoodbyeAndGivesEverythingBack) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  expect_served(talker, {open_image(talker), 0, 0, 0}, 1);
  rig.server->drain(0s);
  auto heard = talker.hear();
  ASSERT_TRUE(heard) << heard.error().what;
  EXPECT_TRUE(std::holds_alternative<native::Goodbye>(heard->frame.message));
  EXPECT_FALSE(talker.hear());
  EXPECT_EQ(rig.ledger.used(Resource::memory), 0u);
  Talker late(rig.loop);
  EXPECT_FALSE(late.enter(rig.server->port()));
}

TEST(Server, DrainWaitsForClientsToFinish) {
  Served rig;
  auto talker = std::make_unique<Talker>(rig.loop);
  ASSERT_TRUE(talker->enter(rig.server->port()));
  const ImageId image = open_image(*talker);
  std::jthread draining([&] { rig.server->drain(1h); });
  expect_served(*talker, {image, 0, 0, 0}, 1);
  ASSERT_TRUE(talker->say(native::Goodbye{true, ""}));
  draining.join();
  EXPECT_EQ(rig.server->use().connections, 0u);
}

// Identity.

TEST(Identity, PersistsAndTellsServersOfOnePortApart) {
  const std::filesystem::path folder =
      std::filesystem::path(testing::TempDir()) / ("smalti-id-" + ImageId::fresh().text());
  Lines lines;
  wire::native::Id first, second;
  std::uint64_t incarnation = 0;
  {
    const auto one = server::Identity::claim(folder / "deep", 6668, lines.log);
    const auto two = server::Identity::claim(folder / "deep", 6668, lines.log);
    first = one.id();
    second = two.id();
    incarnation = one.incarnation();
  }
  EXPECT_NE(first, second);
  const auto one = server::Identity::claim(folder / "deep", 6668, lines.log);
  EXPECT_EQ(one.id(), first);
  EXPECT_NE(one.incarnation(), incarnation);
  EXPECT_EQ(server::Identity::claim(folder / "deep", 6668, lines.log).id(), second);
  EXPECT_NE(server::Identity::claim(folder / "deep", 6669, lines.log).id(), first);
  EXPECT_NE(server::Identity::claim({}, 6668, lines.log).id(), first);
  EXPECT_EQ(lines.all(), "");
  const auto nowhere = server::Identity::claim("/proc/nowhere", 1, lines.log);
  EXPECT_TRUE(lines.has("/proc/nowhere"));
  EXPECT_NE(nowhere.id(), wire::native::Id{});
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace smalti::test
