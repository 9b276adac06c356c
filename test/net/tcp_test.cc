#include "net/tcp.h"

#include <gmock/gmock.h>

#include "test/net/pairs.h"

namespace smalti::net {
namespace {

using namespace std::chrono_literals;

TEST(Loop, OffloadsToAPoolAndComesBack) {
  Loop loop;
  Pool pool(2, 1);
  struct Script {
    static Task<int> go(Pool* pool) {
      int sum = 0;
      for (int i = 1; i <= 100; ++i) {
        auto work = [i] { return on_loop_thread() ? -1000 : i; };
        sum += co_await offload(*pool, work);
        if (!on_loop_thread()) co_return -1;
      }
      auto nothing = [] {};
      co_await offload(*pool, nothing);
      co_return sum;
    }
  };
  EXPECT_FALSE(on_loop_thread());
  EXPECT_EQ(loop.run(Script::go(&pool)), 5050);
}

TEST(Loop, OffloadWaitsForAFullPoolWithoutBlocking) {
  Loop loop;
  Pool pool(1, 1);
  std::promise<void> open;
  auto gate = open.get_future().share();
  pool.post([gate] { gate.wait(); });
  struct Script {
    static Task<int> go(Pool* pool) {
      auto work = [] { return 7; };
      co_return co_await offload(*pool, work);
    }
    static Task<int> other() { co_return 1; }
  };
  std::vector<std::future<Result<int>>> waiting;
  for (int i = 0; i < 4; ++i)
    waiting.push_back(std::async(std::launch::async, [&] { return loop.run(Script::go(&pool)); }));
  EXPECT_EQ(loop.run(Script::other()), 1);  // the loop is not held up
  open.set_value();
  for (auto& one : waiting) EXPECT_EQ(one.get(), 7);
}

TEST(Loop, TasksAreWaitedFor) {
  Loop loop;
  Tasks tasks(loop);
  std::atomic<int> ended = 0;
  struct Script {
    static asio::awaitable<void> go(std::atomic<int>* count) {
      const auto then = Clock::now() + 20ms;
      co_await pause_until(then);
      ++*count;
    }
  };
  for (int i = 0; i < 10; ++i) tasks.spawn(Script::go(&ended));
  tasks.wait();
  EXPECT_EQ(ended, 10);
  EXPECT_EQ(tasks.running(), 0u);
}

TEST(Tcp, CarriesWhatWasGatheredInOrder) {
  Loop loop;
  auto pair = tcp_pair(loop);
  ASSERT_TRUE(pair.server);
  std::vector<std::vector<std::byte>> sent;
  std::vector<std::byte> whole;
  for (std::uint32_t i = 0; i < 300; ++i) {  // more parts than one system call takes, some of them empty
    sent.push_back(pattern(i % 7 == 0 ? 0 : i * 97, i));
    whole.insert(whole.end(), sent.back().begin(), sent.back().end());
  }
  const std::vector<Bytes> parts(sent.begin(), sent.end());
  auto [wrote, read] = both(loop, pair.client->write(parts, soon()), read_exactly(pair.server.get(), whole.size()));
  ASSERT_TRUE(wrote) << wrote.error().what;
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_TRUE(*read == whole);
}

TEST(Tcp, HalfCloseLetsTheOtherSideFinish) {
  Loop loop;
  auto pair = tcp_pair(loop);
  ASSERT_TRUE(loop.run(write_all(pair.client.get(), bytes_of("last words"))));
  pair.client->end_writing();
  auto read = loop.run(read_exactly(pair.server.get(), 100));
  ASSERT_TRUE(read) << read.error().what;
  EXPECT_EQ(read->size(), 10u);
  ASSERT_TRUE(loop.run(write_all(pair.server.get(), bytes_of("answer"))));
  auto answer = loop.run(read_exactly(pair.client.get(), 6));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->size(), 6u);
}

TEST(Tcp, ReadsTimeOutAndMayBeTriedAgain) {
  Loop loop;
  auto pair = tcp_pair(loop);
  for (int i = 0; i < 3; ++i) {
    auto read = loop.run(read_exactly(pair.server.get(), 1, soon(10ms)));
    ASSERT_FALSE(read);
    EXPECT_EQ(read.error().code, Errc::timeout);
    EXPECT_THAT(read.error().what, testing::HasSubstr("127.0.0.1:"));
  }
  ASSERT_TRUE(loop.run(write_all(pair.client.get(), bytes_of("x"))));
  EXPECT_TRUE(loop.run(read_exactly(pair.server.get(), 1)));
}

TEST(Tcp, AWriteThatNobodyReadsTimesOutWhileReadingGoesOn) {
  Loop loop;
  auto pair = tcp_pair(loop);
  const auto much = pattern(64u << 20);
  auto reading = std::async(std::launch::async, [&] { return loop.run(read_exactly(pair.client.get(), 1)); });
  auto wrote = loop.run(write_all(pair.client.get(), much, soon(50ms)));
  ASSERT_FALSE(wrote);
  EXPECT_EQ(wrote.error().code, Errc::timeout);
  ASSERT_TRUE(loop.run(write_all(pair.server.get(), bytes_of("y"))));  // the reader was woken in vain, and waits on
  EXPECT_TRUE(reading.get());
}

TEST(Tcp, CloseEndsWhatWaits) {
  Loop loop;
  auto pair = tcp_pair(loop);
  auto reading = std::async(std::launch::async, [&] { return loop.run(read_exactly(pair.server.get(), 1)); });
  struct Script {
    static Task<void> close(Stream* stream) {
      const auto then = Clock::now() + 20ms;
      co_await pause_until(then);
      stream->close();
      co_return Result<void>();
    }
  };
  ASSERT_TRUE(loop.run(Script::close(pair.server.get())));
  auto read = reading.get();
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, Errc::cancelled);
  EXPECT_EQ(loop.run(read_exactly(pair.client.get(), 1))->size(), 0u);
}

TEST(Tcp, APeerThatVanishesIsUnavailable) {
  Loop loop;
  auto pair = tcp_pair(loop);
  ASSERT_TRUE(loop.run(write_all(pair.server.get(), bytes_of("unread"))));
  pair.client.reset();  // with bytes unread: the system resets the connection
  Result<void> wrote;
  for (int i = 0; i < 1000 && wrote; ++i) wrote = loop.run(write_all(pair.server.get(), bytes_of("more")));
  ASSERT_FALSE(wrote);
  EXPECT_EQ(wrote.error().code, Errc::unavailable);
}

TEST(Tcp, PeekLeavesTheByte) {
  Loop loop;
  auto pair = tcp_pair(loop);
  ASSERT_TRUE(loop.run(write_all(pair.client.get(), bytes_of("ab"))));
  EXPECT_EQ(loop.run(pair.server->peek(soon())), std::byte{'a'});
  auto read = loop.run(read_exactly(pair.server.get(), 2));
  ASSERT_TRUE(read);
  EXPECT_EQ((*read)[0], std::byte{'a'});
  pair.client->end_writing();
  auto ended = loop.run(pair.server->peek(soon()));
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code, Errc::unavailable);
}

TEST(Listener, TakesBothFamiliesOnOnePort) {
  Loop loop;
  auto listener = Listener::open(loop, {});
  ASSERT_TRUE(listener) << listener.error().what;
  for (const char* host : {"127.0.0.1", "::1", "localhost"}) {
    auto client = loop.run(connect({host, (*listener)->port()}, soon()));
    ASSERT_TRUE(client) << client.error().what;
    auto server = loop.run((*listener)->accept());
    ASSERT_TRUE(server);
    EXPECT_TRUE((*server)->from_loopback());
    if (host == std::string("127.0.0.1")) {
      EXPECT_THAT((*server)->peer(), testing::StartsWith("127.0.0.1:"));
    }
  }
}

TEST(Listener, NamesAPortThatIsTaken) {
  Loop loop;
  auto first = Listener::open(loop, {.address = "127.0.0.1"});
  ASSERT_TRUE(first);
  auto second = Listener::open(loop, {.address = "127.0.0.1", .port = (*first)->port()});
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().what, testing::HasSubstr((*first)->text()));
  EXPECT_EQ(second.error().sys, EADDRINUSE);
  EXPECT_FALSE(Listener::open(loop, {.address = "not an address"}));
}

TEST(Connect, SaysWhatToDoWhenNobodyListens) {
  Loop loop;
  std::uint16_t port = 0;
  {
    auto listener = Listener::open(loop, {.address = "127.0.0.1"});
    ASSERT_TRUE(listener);
    port = (*listener)->port();
  }
  auto client = loop.run(connect({"127.0.0.1", port}, soon()));
  ASSERT_FALSE(client);
  EXPECT_EQ(client.error().code, Errc::unavailable);
  const std::string text = std::to_string(port);
  EXPECT_EQ(client.error().what, "127.0.0.1:" + text + ": connection refused; is `smalti -distribute-cache " + text +
                                     "' running there?");
}

TEST(Connect, NamesAHostThatDoesNotExist) {
  Loop loop;
  auto client = loop.run(connect({"no-such-host.invalid", 6668}, soon()));
  ASSERT_FALSE(client);
  EXPECT_THAT(client.error().what, testing::HasSubstr("no-such-host.invalid:6668"));
}

TEST(Connect, MayBeGivenUp) {
  Loop loop;
  struct Script {
    static Task<void> stop(std::stop_source source) {
      const auto then = Clock::now() + 20ms;
      co_await pause_until(then);
      source.request_stop();
      co_return Result<void>();
    }
  };
  std::stop_source source;
  // An address that nobody has: set aside for documents.
  auto [client, stopped] = both(loop, connect({"192.0.2.1", 6668}, soon(), source.get_token()), Script::stop(source));
  ASSERT_FALSE(client);
  EXPECT_TRUE(client.error().code == Errc::cancelled || client.error().code == Errc::unavailable)
      << client.error().what;  // the latter where there is no route
}

TEST(ParseHosts, TakesTheListAsPeopleWriteIt) {
  const auto hosts = parse_hosts(" a:1,b  [::1]:6668\tfe80::2,[::3] ,\n");
  ASSERT_TRUE(hosts) << hosts.error().what;
  EXPECT_THAT(*hosts, testing::ElementsAre(HostPort{"a", 1}, HostPort{"b", 6668}, HostPort{"::1", 6668},
                                           HostPort{"fe80::2", 6668}, HostPort{"::3", 6668}));
  EXPECT_EQ(hosts->at(2).text(), "[::1]:6668");
  EXPECT_TRUE(parse_hosts("")->empty());
}

TEST(ParseHosts, NamesTheEntryThatIsWrong) {
  for (const char* wrong : {"a:0", "a:65536", "a:", ":1", "[::1", "[::1]x", "a:b", "b@d:1", "a:1:2x", "[]:3"}) {
    const auto hosts = parse_hosts(std::string("good:1,") + wrong);
    ASSERT_FALSE(hosts) << wrong;
    EXPECT_EQ(hosts.error().code, Errc::invalid);
    EXPECT_THAT(hosts.error().what, testing::HasSubstr(wrong));
  }
}

}  // namespace
}  // namespace smalti::net
