#include "net/direct.h"

#include <gmock/gmock.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <thread>

#include "test/net/pairs.h"

namespace smalti::net {
namespace {

using namespace std::chrono_literals;

Task<std::unique_ptr<DirectSocket>> off_the_loop(TcpStream* stream) {
  co_return DirectSocket::over(*stream, std::chrono::milliseconds(20));
}

// The server's end in this thread's hands, the client's on the loop.
struct DirectPair {
  explicit DirectPair(Loop& loop) {
    TcpPair pair = tcp_pair(loop);
    client = std::move(pair.client);
    auto direct = loop.run(off_the_loop(pair.server.get()));
    if (direct) server = std::move(*direct);
  }
  std::unique_ptr<TcpStream> client;
  std::unique_ptr<DirectSocket> server;
};

constexpr auto never = Clock::time_point::max();

std::vector<std::byte> receive_all(DirectSocket& socket, std::size_t size, IdleCores* spin = nullptr) {
  std::vector<std::byte> all(size);
  std::size_t at = 0;
  while (at < size) {
    const auto got = socket.receive(std::span(all).subspan(at), soon(), spin);
    if (!got || *got == 0) break;
    at += *got;
  }
  all.resize(at);
  return all;
}

TEST(DirectSocket, CarriesBytesBothWays) {
  Loop loop;
  DirectPair pair(loop);
  ASSERT_TRUE(pair.server);
  const auto there = pattern(3'000'000, 1);
  std::jthread sender([&] { EXPECT_TRUE(loop.run(write_all(pair.client.get(), there))); });
  EXPECT_EQ(receive_all(*pair.server, there.size()), there);
  const auto back = pattern(100, 2);
  EXPECT_TRUE(pair.server->send(back, soon()));
  std::vector<std::byte> got(100);
  const auto read = loop.run(pair.client->read_some(got, soon()));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, 100u);
  EXPECT_EQ(got, back);
}

TEST(DirectSocket, FindsBytesWhileItSpins) {
  Loop loop;
  DirectPair pair(loop);
  ASSERT_TRUE(pair.server);
  IdleCores cores(1);
  std::jthread asker([&] {
    for (int i = 0; i < 50; ++i) EXPECT_TRUE(loop.run(write_all(pair.client.get(), bytes_of("ask"))));
  });
  EXPECT_EQ(receive_all(*pair.server, 150, &cores).size(), 150u);
}

TEST(DirectSocket, AnEndIsZeroBytes) {
  Loop loop;
  DirectPair pair(loop);
  ASSERT_TRUE(pair.server);
  pair.client->end_writing();
  std::byte one;
  const auto got = pair.server->receive({&one, 1}, never, nullptr);
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, 0u);
}

TEST(DirectSocket, ADeadlineEndsWaitingAndDrippingAlike) {
  Loop loop;
  DirectPair pair(loop);
  ASSERT_TRUE(pair.server);
  std::byte one;
  const auto silent = pair.server->receive({&one, 1}, Clock::now() + 50ms, nullptr);
  ASSERT_FALSE(silent);
  EXPECT_EQ(silent.error().code, Errc::timeout);
  EXPECT_TRUE(loop.run(write_all(pair.client.get(), bytes_of("x"))));
  const auto late = pair.server->receive({&one, 1}, Clock::now() - 1ms, nullptr);
  ASSERT_FALSE(late) << "a byte now and then does not move the deadline";
  EXPECT_EQ(late.error().code, Errc::timeout);
}

TEST(DirectSocket, APeerThatNeverReadsIsGivenUp) {
  Loop loop;
  DirectPair pair(loop);
  ASSERT_TRUE(pair.server);
  const std::vector<std::byte> much(64u << 20);
  const auto sent = pair.server->send(much, Clock::now() + 100ms);
  ASSERT_FALSE(sent);
  EXPECT_EQ(sent.error().code, Errc::timeout);
}

TEST(DirectSocket, AnotherThreadCanWakeIt) {
  Loop loop;
  for (const bool reading_only : {true, false}) {
    DirectPair pair(loop);
    ASSERT_TRUE(pair.server);
    std::jthread waker([&] {
      std::this_thread::sleep_for(20ms);
      reading_only ? pair.server->shut_reading() : pair.server->shut();
    });
    std::byte one;
    const auto got = pair.server->receive({&one, 1}, never, nullptr);
    ASSERT_TRUE(got);
    EXPECT_EQ(*got, 0u);
    EXPECT_EQ(pair.server->send(pattern(10), soon()).has_value(), reading_only);
  }
}

// A socket closed over bytes that nobody read is reset, and the peer loses what it was told last.
TEST(DirectSocket, LastWordsArriveOverUnreadBytes) {
  Loop loop;
  DirectPair pair(loop);
  ASSERT_TRUE(pair.server);
  const auto unread = pattern(200'000);
  EXPECT_TRUE(loop.run(write_all(pair.client.get(), unread)));
  std::jthread parting([&] {
    EXPECT_TRUE(pair.server->send(bytes_of("no"), soon()));
    pair.server->part(std::chrono::seconds(30));
    pair.server.reset();
  });
  std::array<std::byte, 10> heard;
  const auto got = loop.run(pair.client->read_some(heard, soon()));
  ASSERT_TRUE(got) << got.error().what;
  EXPECT_EQ(*got, 2u);
  pair.client->close();
}

TEST(WarmCore, KeepsACoreForAMomentAndNoLonger) {
  for (int life = 0; life < 3; ++life) {
    WarmCore warm;
    EXPECT_FALSE(warm.keeps());
    for (int core : {0, 1, 0}) {
      EXPECT_EQ(warm.keep_all_but(core), warm.may_keep());
      const auto until = soon();
      while (warm.keeps() && Clock::now() < until) std::this_thread::sleep_for(1ms);
      EXPECT_FALSE(warm.keeps());
    }
    warm.keep_all_but(1);  // and ends in the middle of it
  }
}

TEST(IdleCores, LetsInNoMoreThanItMay) {
  IdleCores none(0);
  EXPECT_FALSE(none.enter());
  IdleCores one(1);
  const bool first = one.enter();  // false where this machine is busy
  EXPECT_FALSE(first && one.enter());
  if (first) one.leave();
}

}  // namespace
}  // namespace smalti::net
