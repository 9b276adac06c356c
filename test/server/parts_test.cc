// Budget and Admission by themselves.
#include <gtest/gtest.h>

#include "server/admission.h"
#include "server/budget.h"
#include "server/complaints.h"
#include "test/server/talker.h"

namespace smalti::server {
namespace {

struct Taken {
  std::vector<int> order;
  std::vector<Budget::Share> shares;
};

asio::awaitable<void> take(Budget* budget, std::uint64_t bytes, int who, Taken* taken) {
  Budget::Share share = co_await budget->take(bytes);
  taken->order.push_back(who);
  taken->shares.push_back(std::move(share));
}

net::Task<void> budget_story(net::Loop* loop, net::Tasks* tasks) {
  Budget budget(loop->executor(), 100);
  Taken taken;
  Budget::Share first;
  EXPECT_TRUE(budget.try_take(60, first));
  tasks->spawn(take(&budget, 50, 1, &taken));
  tasks->spawn(take(&budget, 10, 2, &taken));
  co_await net::yield();
  co_await net::yield();
  EXPECT_TRUE(taken.order.empty()) << "a small one must not overtake a large one";
  Budget::Share third;
  EXPECT_FALSE(budget.try_take(1, third));
  { const Budget::Share gone = std::move(first); }
  for (int i = 0; i < 100 && taken.order.size() < 2; ++i) co_await net::yield();
  EXPECT_EQ(taken.order, (std::vector<int>{1, 2}));
  EXPECT_EQ(budget.used(), 60u);
  taken.shares.clear();
  EXPECT_EQ(budget.used(), 0u);
  EXPECT_TRUE(budget.try_take(1000, third)) << "more than the whole, once nothing else is under way";
  co_return Result<void>();
}

TEST(Budget, ServesInTurn) {
  net::Loop loop;
  net::Tasks tasks(loop);
  EXPECT_TRUE(loop.run(budget_story(&loop, &tasks)));
}

TEST(Admission, HangsUpOnTheOldestStrangerOfTheBusiestAddress) {
  Admission admission({100, 4});
  std::vector<int> gone;
  std::vector<Admission::Ticket> tickets;
  const auto arrive = [&](const std::string& address, int who) {
    tickets.push_back(admission.arrive(address, [&gone, who] { gone.push_back(who); }));
  };
  arrive("victim", 0);
  for (int i = 1; i <= 3; ++i) arrive("flood", i);
  EXPECT_TRUE(gone.empty());
  for (int i = 4; i <= 8; ++i) arrive("flood", i);
  EXPECT_EQ(gone, (std::vector<int>{1, 2, 3, 4, 5}));
  EXPECT_EQ(admission.strangers(), 4u);
  EXPECT_TRUE(tickets[0].admit());
  EXPECT_FALSE(tickets[1].admit()) << "it has been hung up on";
  EXPECT_EQ(admission.strangers(), 3u);
  tickets.clear();
  EXPECT_EQ(admission.connections(), 0u);
}

TEST(Admission, ClientsAreNeverHungUpOn) {
  Admission admission({4, 4});
  std::vector<Admission::Ticket> tickets;
  for (int i = 0; i < 4; ++i) {
    tickets.push_back(admission.arrive(std::to_string(i), [] { FAIL(); }));
    EXPECT_TRUE(tickets.back().admit());
  }
  EXPECT_FALSE(admission.arrive("late", [] {}));
  tickets.pop_back();
  EXPECT_TRUE(admission.arrive("late", [] {}));
}

TEST(Admission, NoAddressTakesAllPlaces) {
  Admission admission({8, 8});
  std::vector<Admission::Ticket> tickets;
  int admitted = 0;
  for (int i = 0; i < 8; ++i) {
    tickets.push_back(admission.arrive("greedy", [] {}));
    admitted += tickets.back().admit();
  }
  EXPECT_EQ(admitted, 6);
  Admission::Ticket other = admission.arrive("other", [] {});
  EXPECT_TRUE(other && other.admit());
}

TEST(Admission, TellsAddressesFromPorts) {
  EXPECT_EQ(address_of("192.168.100.50:6668"), "192.168.100.50");
  EXPECT_EQ(address_of("[::1]:6668"), "[::1]");
}

TEST(Complaints, DoNotFillADisk) {
  test::Lines lines;
  Complaints complaints(lines.log, 3);
  const auto start = Clock::now();
  for (int i = 0; i < 10; ++i) complaints.say("line " + std::to_string(i), start);
  EXPECT_EQ(lines.all(), "line 0\nline 1\nline 2\n");
  complaints.say("late", start + std::chrono::seconds(2));
  EXPECT_TRUE(lines.has("7 more such connections"));
  EXPECT_TRUE(lines.has("late"));
}

// Guests: whoever does not begin with TLS.

asio::awaitable<void> echo_one(Guest guest, std::shared_ptr<std::string> seen) {
  std::vector<std::byte> buffer(64);
  const std::span<std::byte> into(buffer);
  auto got = co_await guest.stream->read_some(into, guest.deadline);
  if (got) *seen = std::string(reinterpret_cast<const char*>(buffer.data()), *got);
  const bool admitted = guest.admitted([] {});
  *seen += admitted ? " admitted" : " refused";
  const std::array<net::Bytes, 1> parts{guest.greeter.greeting()};
  const std::span<const net::Bytes> gathered(parts);
  (void)co_await guest.stream->write(gathered, guest.deadline);
}

TEST(Guests, AreHandedOverWithTheirFirstByteStillToBeRead) {
  test::Served rig;
  const auto seen = std::make_shared<std::string>();
  ServerOptions options;
  options.address = "127.0.0.1";
  options.port = 0;
  options.secret = test::test_secret();
  auto server = Server::listen({rig.loop, rig.store, rig.ledger, rig.heap, rig.pool, rig.lines.log,
                                [seen](Guest guest) { return echo_one(std::move(guest), seen); }},
                               options);
  ASSERT_TRUE(server) << server.error().what;
  test::Talker talker(rig.loop);
  ASSERT_TRUE(talker.connect((*server)->port()));
  ASSERT_TRUE(talker.say_bytes({std::byte{'h'}, std::byte{'i'}}));
  std::vector<std::byte> all;
  while (true) {
    std::array<std::byte, 64> some{};
    auto got = rig.loop.run(talker.stream().read_some(some, test::patience()));
    if (!got || *got == 0) break;
    all.insert(all.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(*got));
  }
  ASSERT_EQ(all.size(), 32u) << "the greeting, and once more from the guest's own hands";
  EXPECT_TRUE(std::equal(all.begin(), all.begin() + 16, all.begin() + 16));
  EXPECT_EQ(*seen, "hi admitted");
  (*server)->drain({});
}

}  // namespace
}  // namespace smalti::server
