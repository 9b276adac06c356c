// Memory that a server shares with clients on its host: what honest ones get, and what liars do with it to a live server.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <iterator>
#include <thread>

#include "net/shared_memory.h"
#include "test/server/talker.h"
#include "test/store/faulty.h"

namespace smalti::test {
namespace {

constexpr std::uint32_t share_bytes = 1u << 20;
constexpr std::uint32_t first_place = 64;
constexpr std::uint32_t tile_bytes = 64 * 64 * 4;

net::Token fresh() { return ImageId::fresh().raw; }

// A client that shares memory with the server.
struct Sharer {
  explicit Sharer(Served& rig) : talker(rig.loop), port(rig.server->port()) {}

  Result<void> enter(std::uint8_t session = 1) {
    SMALTI_CHECK(talker.enter(port, session));
    return {};
  }
  native::Share offer(std::uint32_t bytes = share_bytes) const {
    const net::Ends ends = net::ends_of(const_cast<Sharer*>(this)->talker.raw().descriptor());
    return {id, token, bytes, ends.here, ends.there};
  }
  Error refusal(const native::Share& offered) {
    auto heard = talker.ask(offered);
    return heard ? failure_of(*heard) : heard.error();
  }
  Result<void> share(std::uint32_t bytes = share_bytes) {
    SMALTI_TRY(net::SharedDoor door, net::SharedDoor::open(id));
    SMALTI_TRY(Heard heard, talker.ask(offer(bytes)));
    if (!std::holds_alternative<native::Done>(heard.frame.message)) return pass(failure_of(heard));
    SMALTI_TRY(net::SharedMemory taken, door.take(token, bytes));
    memory.emplace(std::move(taken));
    return {};
  }
  std::span<std::byte> part(std::uint32_t at, std::size_t size) { return memory->bytes().subspan(at, size); }
  void lay(std::uint32_t at, const std::vector<std::byte>& pixels) {
    std::copy(pixels.begin(), pixels.end(), part(at, pixels.size()).begin());
  }
  native::PutAnswer put(const TileKey& key, const std::vector<std::byte>& pixels, std::uint32_t at) {
    EXPECT_TRUE(talker.say(native::SharedPut{native::Put{{item_for(key, pixels)}}, {at}}));
    return put_answers(talker, 1).at(0);
  }
  // Of a shared get of n items, whatever comes as shared tiles or as plain ones.
  std::vector<native::TileAnswer> got(std::size_t n) {
    std::vector<native::TileAnswer> out(n);
    for (std::size_t had = 0; had < n;) {
      auto heard = talker.hear();
      EXPECT_TRUE(heard) << heard.error().what;
      if (!heard) break;
      const auto* laid = std::get_if<native::SharedTiles>(&heard->frame.message);
      const auto* plain = std::get_if<native::Tiles>(&heard->frame.message);
      EXPECT_TRUE(laid || plain);
      EXPECT_TRUE(heard->body.empty());
      if (!laid && !plain) break;
      const auto& answers = laid ? laid->tiles.answers : plain->answers;
      for (const auto& answer : answers) out.at(answer.index) = answer;
      had += answers.size();
    }
    return out;
  }
  native::TileAnswer get(const TileKey& key, std::uint32_t at) {
    EXPECT_TRUE(talker.say(native::SharedGet{native::Get{{key}}, {at}}));
    return got(1).at(0);
  }
  bool holds(std::uint32_t at, const std::vector<std::byte>& pixels) {
    const auto found = part(at, pixels.size());
    return std::equal(found.begin(), found.end(), pixels.begin());
  }

  Talker talker;
  const std::uint16_t port;
  net::Token id = fresh(), token = fresh();
  std::optional<net::SharedMemory> memory;
};

using State = native::TileAnswer::State;

class Shared : public testing::Test {
 protected:
  void start(ServerOptions options = {}, Limits limits = no_limits(), StorePtr over = nullptr) {
    options.grace = 100ms;
    rig_ = std::make_unique<Served>(options, std::move(over), limits);
    honest_ = std::make_unique<Talker>(rig_->loop);
    ASSERT_TRUE(honest_->enter(rig_->server->port(), 100));
    image_ = open_image(*honest_);
  }
  // An honest client is served, and everything that was shared comes back.
  void TearDown() override {
    if (!rig_) return;
    serve();
    sharer_.reset();
    EXPECT_TRUE(eventually([&] { return rig_->server->use().shared_bytes == 0; }));
    EXPECT_TRUE(eventually([&] { return rig_->server->use().in_flight_bytes == 0; }));
  }
  void end() {
    sharer_.reset();
    honest_.reset();
    rig_.reset();
  }
  void serve() { expect_served(*honest_, {image_, 0, 0, 0}, ++round_); }
  // A sharer, and an image of its own.
  void enter() {
    sharer_ = std::make_unique<Sharer>(*rig_);
    ASSERT_TRUE(sharer_->enter());
    const auto shared = sharer_->share();
    ASSERT_TRUE(shared) << shared.error().what;
    own_ = open_image(sharer_->talker);
  }
  TileKey key(std::uint32_t col = 0, std::uint32_t row = 0) const { return {own_, 0, col, row}; }

  std::unique_ptr<Served> rig_;
  std::unique_ptr<Talker> honest_;
  std::unique_ptr<Sharer> sharer_;
  ImageId image_, own_;
  std::uint8_t round_ = 0;
};

TEST_F(Shared, TilesPassInMemory) {
  start();
  enter();
  for (std::uint32_t n = 0; n < 4; ++n) {
    const auto pixels = payload_of(key(n % 2, n / 2), static_cast<std::uint8_t>(n));
    sharer_->lay(first_place, pixels);
    const auto answer = sharer_->put(key(n % 2, n / 2), pixels, first_place);
    ASSERT_TRUE(answer.put) << answer.put.error().what;
  }
  std::vector<TileKey> keys;
  std::vector<std::uint32_t> places;
  for (std::uint32_t n = 0; n < 4; ++n) {
    keys.push_back(key(n % 2, n / 2));
    places.push_back(first_place + n * tile_bytes);
  }
  ASSERT_TRUE(sharer_->talker.say(native::SharedGet{native::Get{keys}, places}));
  const auto answers = sharer_->got(4);
  for (std::uint32_t n = 0; n < 4; ++n) {
    const auto pixels = payload_of(keys[n], static_cast<std::uint8_t>(n));
    EXPECT_EQ(answers[n].state, State::present);
    EXPECT_EQ(answers[n].bytes, pixels.size());
    EXPECT_EQ(answers[n].checksum, checksum_of(pixels));
    EXPECT_TRUE(sharer_->holds(places[n], pixels)) << n;
  }
  expect_served(sharer_->talker, key(), 9);  // and by the stream, beside it
}

TEST_F(Shared, AlsoWhatTheStoreMustFetch) {
  Ledger ledger(no_limits());
  FaultPlan slow;
  slow.waits = true;
  start({}, no_limits(), faulty_store(memory_store(ledger), slow));
  enter();
  const auto pixels = payload_of(key(), 1);
  sharer_->lay(first_place, pixels);
  ASSERT_TRUE(sharer_->put(key(), pixels, first_place).put);
  ASSERT_TRUE(sharer_->talker.say(native::SharedGet{native::Get{{key(), key(1, 1), {ImageId::fresh(), 0, 0, 0}}},
                                                    {64, 32768, 65536}}));
  const auto answers = sharer_->got(3);
  EXPECT_EQ(answers[0].state, State::present);
  EXPECT_EQ(answers[1].state, State::absent);
  EXPECT_EQ(answers[2].state, State::failed);
  EXPECT_TRUE(sharer_->holds(first_place, pixels));
  serve();
  end();
}

TEST_F(Shared, CountsInTheServersMemoryAndIsGivenBack) {
  start();
  const auto before = rig_->ledger.used(Resource::memory);
  enter();
  EXPECT_EQ(rig_->server->use().shared_bytes, share_bytes);
  EXPECT_EQ(rig_->ledger.used(Resource::memory), before + share_bytes);
  net::SharedMemory kept = std::move(*sharer_->memory);  // a client that holds on to it after its connection
  std::fill(kept.bytes().begin() + 64, kept.bytes().end(), std::byte{1});
  sharer_.reset();
  ASSERT_TRUE(eventually([&] { return rig_->server->use().shared_bytes == 0; }));
  EXPECT_TRUE(eventually([&] { return rig_->ledger.used(Resource::memory) <= before; }));
  EXPECT_FALSE(kept.alive());
  EXPECT_EQ(kept.bytes()[share_bytes - 1], std::byte{0}) << "its pages went back to the system";
}

TEST_F(Shared, TheServerSharesSoMuchAndNoMore) {
  ServerOptions options;
  options.shared_bytes = 2 * share_bytes;
  start(options);
  std::vector<std::unique_ptr<Sharer>> sharers;
  for (std::uint8_t n = 1; n <= 3; ++n) {
    sharers.push_back(std::make_unique<Sharer>(*rig_));
    ASSERT_TRUE(sharers.back()->enter(n));
    const auto shared = sharers.back()->share();
    EXPECT_EQ(bool(shared), n <= 2);
    if (!shared) {
      EXPECT_EQ(shared.error().code, Errc::limit) << shared.error().what;
    }
  }
  expect_served(sharers.back()->talker, {open_image(sharers.back()->talker), 0, 0, 0}, 3);  // by the stream
  EXPECT_EQ(rig_->server->use().shared_bytes, 2 * share_bytes);
  sharers.erase(sharers.begin());
  ASSERT_TRUE(eventually([&] { return rig_->server->use().shared_bytes == share_bytes; }));
  EXPECT_TRUE(sharers.back()->share());
}

TEST_F(Shared, NeverMoreThanASixteenthOfItsMemory) {
  Limits limits = no_limits();
  limits[Resource::memory] = 15 * share_bytes;
  start({}, limits);
  Sharer sharer(*rig_);
  ASSERT_TRUE(sharer.enter());
  const auto shared = sharer.share();
  ASSERT_FALSE(shared);
  EXPECT_EQ(shared.error().code, Errc::limit);
}

TEST_F(Shared, ByNobodyWhereItIsSwitchedOff) {
  ServerOptions options;
  options.shared_bytes = 0;
  start(options);
  Sharer sharer(*rig_);
  ASSERT_TRUE(sharer.enter());
  EXPECT_FALSE(sharer.share());
  expect_served(sharer.talker, {open_image(sharer.talker), 0, 0, 0}, 3);
}

TEST_F(Shared, AConnectionWithSomebodyBetweenSharesNothing) {
  start();
  Sharer sharer(*rig_);
  ASSERT_TRUE(sharer.enter());
  auto offered = sharer.offer();
  offered.client_port ^= 1;
  EXPECT_EQ(sharer.refusal(offered).code, Errc::unsupported);
  offered = sharer.offer();
  offered.server_port ^= 1;
  EXPECT_EQ(sharer.refusal(offered).code, Errc::unsupported);
  EXPECT_TRUE(sharer.share());
}

TEST_F(Shared, ADoorThatNobodyKeepsCostsNothing) {
  start();
  Sharer sharer(*rig_);
  ASSERT_TRUE(sharer.enter());
  const auto descriptors = [] {
    return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
  };
  const auto before = descriptors();
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(sharer.talker.say(sharer.offer()));
    auto heard = sharer.talker.hear();
    ASSERT_TRUE(heard);
    EXPECT_EQ(failure_of(*heard).code, Errc::unsupported);
  }
  EXPECT_EQ(descriptors(), before);
  EXPECT_EQ(rig_->server->use().shared_bytes, 0u);
  EXPECT_TRUE(sharer.share());
}

TEST_F(Shared, OnceAConnectionAndSoMuchOnly) {
  start();
  Sharer greedy(*rig_);
  ASSERT_TRUE(greedy.enter(2));
  EXPECT_EQ(greedy.refusal(greedy.offer(32u << 20)).code, Errc::limit);
  enter();
  EXPECT_EQ(sharer_->refusal(sharer_->offer()).code, Errc::invalid);
  EXPECT_EQ(rig_->server->use().shared_bytes, share_bytes);
}

TEST_F(Shared, PlacesOutsideAreRefusedItemByItem) {
  start();
  enter();
  const auto pixels = payload_of(key(), 1);
  sharer_->lay(first_place, pixels);
  ASSERT_TRUE(sharer_->put(key(), pixels, first_place).put);
  for (const std::uint32_t at : {0u, 63u, share_bytes - tile_bytes + 1, share_bytes, share_bytes + 1, ~0u}) {
    const auto put = sharer_->put(key(), pixels, at);
    ASSERT_FALSE(put.put) << at;
    EXPECT_EQ(put.put.error().code, Errc::invalid);
    EXPECT_EQ(sharer_->get(key(), at).state, State::failed) << at;
  }
  EXPECT_EQ(sharer_->get(key(), share_bytes - tile_bytes).state, State::present);
  EXPECT_TRUE(sharer_->holds(share_bytes - tile_bytes, pixels));
  EXPECT_TRUE(sharer_->memory->alive());
}

TEST_F(Shared, WithoutMemoryThereIsNoPlace) {
  start();
  sharer_ = std::make_unique<Sharer>(*rig_);
  ASSERT_TRUE(sharer_->enter());
  own_ = open_image(sharer_->talker);
  const auto put = sharer_->put(key(), payload_of(key(), 1), first_place);
  ASSERT_FALSE(put.put);
  EXPECT_EQ(put.put.error().code, Errc::invalid);
  EXPECT_EQ(sharer_->get(key(), first_place).state, State::failed);
}

// The same place for a thousand tiles: theirs is the confusion, and others are served meanwhile.
TEST_F(Shared, APlaceThatIsGivenTwiceHarmsNobodyElse) {
  start();
  enter();
  const auto pixels = payload_of(key(), 1);
  sharer_->lay(first_place, pixels);
  ASSERT_TRUE(sharer_->put(key(), pixels, first_place).put);
  const std::vector<TileKey> keys(native::most_items, key());
  const std::vector<std::uint32_t> places(native::most_items, first_place);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(sharer_->talker.say(native::SharedGet{native::Get{keys}, places}));
  serve();
  native::SharedPut put;
  for (std::uint32_t i = 0; i < native::most_items; ++i) {
    put.put.items.push_back(item_for(key(), pixels));
    put.at.push_back(first_place);
  }
  std::size_t tiles = 0;
  while (tiles < 4 * native::most_items) {
    auto heard = sharer_->talker.hear();
    ASSERT_TRUE(heard) << heard.error().what;
    tiles += std::get<native::SharedTiles>(heard->frame.message).tiles.answers.size();
  }
  ASSERT_TRUE(sharer_->talker.say(put));
  serve();
  for (const auto& answer : put_answers(sharer_->talker, native::most_items)) EXPECT_TRUE(answer.put);
  EXPECT_TRUE(sharer_->holds(first_place, pixels));
}

// Bytes that change while they are put: what is kept is sound, or nothing is.
TEST_F(Shared, BytesThatChangeMeanwhileAreNeverKept) {
  start();
  enter();
  const auto good = payload_of(key(), 1);
  sharer_->lay(first_place, good);
  std::atomic<bool> stop = false;
  std::jthread scribbler([&] {
    const auto part = sharer_->part(first_place, good.size());
    for (std::size_t i = 0; !stop; i = (i + 4099) % part.size()) {
      std::atomic_ref(part[i]).store(~good[i], std::memory_order_relaxed);
      std::atomic_ref(part[i]).store(good[i], std::memory_order_relaxed);
    }
  });
  int kept = 0, refused = 0;
  for (int i = 0; i < 300; ++i) {
    const auto answer = sharer_->put(key(), good, first_place);
    answer.put ? ++kept : ++refused;
    if (!answer.put) {
      EXPECT_EQ(answer.put.error().code, Errc::corrupt) << answer.put.error().what;
    }
    if (kept == 0) continue;
    ASSERT_TRUE(sharer_->talker.say(native::Get{{key()}}));
    EXPECT_TRUE(tile_answers(sharer_->talker, 1)[0].pixels == good);
  }
  stop = true;
  EXPECT_EQ(kept + refused, 300);
}

TEST_F(Shared, HolesInItAreZerosAndFaultNobody) {
  start();
  enter();
  const auto pixels = payload_of(key(), 1);
  sharer_->lay(first_place, pixels);
  ASSERT_TRUE(sharer_->put(key(), pixels, first_place).put);
  ASSERT_EQ(::madvise(sharer_->memory->bytes().data(), share_bytes, MADV_REMOVE), 0);
  const auto put = sharer_->put(key(1, 1), payload_of(key(1, 1), 1), first_place);
  ASSERT_FALSE(put.put);
  EXPECT_EQ(put.put.error().code, Errc::corrupt);
  EXPECT_EQ(sharer_->get(key(), first_place).state, State::present);
  EXPECT_TRUE(sharer_->holds(first_place, pixels));
}

TEST_F(Shared, AClientThatVanishesInTheMiddleLeavesNothing) {
  start();
  for (int round = 0; round < 20; ++round) {
    Sharer sharer(*rig_);
    ASSERT_TRUE(sharer.enter());
    ASSERT_TRUE(sharer.share());
    const TileKey one{open_image(sharer.talker), 0, 0, 0};
    const auto pixels = payload_of(one, 1);
    sharer.lay(first_place, pixels);
    ASSERT_TRUE(sharer.put(one, pixels, first_place).put);
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(sharer.talker.say(native::SharedGet{native::Get{{one}}, {first_place}}));
    if (round % 2 == 0) sharer.memory.reset();
  }
  EXPECT_TRUE(eventually([&] { return rig_->server->use().shared_bytes == 0; }));
}

TEST_F(Shared, AServerThatEndsLeavesItsClientsAlive) {
  start();
  enter();
  const auto pixels = payload_of(key(), 1);
  sharer_->lay(first_place, pixels);
  ASSERT_TRUE(sharer_->put(key(), pixels, first_place).put);
  rig_->server->drain(0s);
  EXPECT_FALSE(sharer_->memory->alive());
  EXPECT_EQ(sharer_->part(first_place, 1)[0], std::byte{0});
  end();
}

}  // namespace
}  // namespace smalti::test
