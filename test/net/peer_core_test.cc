#include "net/peer_core.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>
#include <vector>

namespace smalti::net {
namespace {

struct Descriptor {
  explicit Descriptor(int f) : fd(f) {}
  ~Descriptor() { ::close(fd); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  const int fd;
};

std::vector<int> usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return cores;
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &set)) cores.push_back(core);
  return cores;
}

void keep_to(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  ASSERT_EQ(::sched_setaffinity(0, sizeof set, &set), 0);
}

// A connection over loopback, whose asker keeps to one core and is answered by the calling thread.
class Exchange {
 public:
  Exchange() : listener_(::socket(AF_INET, SOCK_STREAM, 0)), asker_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* plain = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(listener_.fd, plain, size), 0);
    EXPECT_EQ(::listen(listener_.fd, 1), 0);
    EXPECT_EQ(::getsockname(listener_.fd, plain, &size), 0);
    EXPECT_EQ(::connect(asker_.fd, plain, size), 0);
  }

  // The core on which the answering thread is after `rounds` questions from `core`.
  int answer(PeerCore& peer, int core, int rounds) {
    if (answerer_ < 0) answerer_ = ::accept(listener_.fd, nullptr, nullptr);
    std::jthread asker([&] {
      keep_to(core);
      char word = '?';
      for (int i = 0; i < rounds; ++i) {
        EXPECT_EQ(::send(asker_.fd, &word, 1, 0), 1);
        EXPECT_EQ(::recv(asker_.fd, &word, 1, 0), 1);
      }
    });
    char word = 0;
    for (int i = 0; i < rounds; ++i) {
      EXPECT_EQ(::recv(answerer_, &word, 1, 0), 1);
      if (peer.due())
        if (const int where = peer.of_peer(answerer_); where >= 0) peer.follow(where);
      EXPECT_EQ(::send(answerer_, &word, 1, 0), 1);
    }
    return ::sched_getcpu();
  }

  ~Exchange() {
    if (answerer_ >= 0) ::close(answerer_);
  }

 private:
  Descriptor listener_, asker_;
  int answerer_ = -1;
};

// In a thread of its own, since it moves.
template <class Work>
void aside(Work work) {
  std::jthread thread(work);
}

TEST(PeerCore, GoesWhereThePeerGoes) {
  aside([] {
    Exchange exchange;
    PeerCore peer(true);
    EXPECT_FALSE(peer.shared());
    for (const int core : usable_cores()) {
      EXPECT_EQ(exchange.answer(peer, core, 64), core);
      EXPECT_TRUE(peer.shared());
    }
  });
}

TEST(PeerCore, LetsGo) {
  const auto before = usable_cores();
  aside([&] {
    Exchange exchange;
    PeerCore peer(true);
    exchange.answer(peer, before.front(), 64);
    EXPECT_EQ(usable_cores().size(), 1u);
    peer.release();
    EXPECT_FALSE(peer.shared());
    EXPECT_EQ(usable_cores(), before);
  });
}

// A peer that is never where it was is not chased.
TEST(PeerCore, GivesUpOnOneWhoFlees) {
  const auto cores = usable_cores();
  if (cores.size() < 2) GTEST_SKIP() << "one core only";
  aside([&] {
    PeerCore peer(true);
    Exchange exchange;
    exchange.answer(peer, cores[0], 8);
    EXPECT_TRUE(peer.shared());
    for (std::size_t i = 1; i <= 3; ++i) peer.follow(cores[i % 2]);
    EXPECT_FALSE(peer.shared());
    EXPECT_EQ(usable_cores(), cores);
    for (int i = 0; i < 400; ++i) peer.follow(cores[0]);
    EXPECT_FALSE(peer.shared());
    for (int i = 0; i < 200; ++i) peer.follow(cores[0]);
    EXPECT_TRUE(peer.shared());
  });
}

TEST(PeerCore, LeavesThePeersOfOtherMachinesAlone) {
  aside([] {
    Exchange exchange;
    PeerCore peer(false);
    const auto before = usable_cores();
    exchange.answer(peer, before.front(), 64);
    EXPECT_FALSE(peer.shared());
    EXPECT_EQ(usable_cores(), before);
  });
}

TEST(PeerCore, StaysOnTheCoresItWasGiven) {
  const auto cores = usable_cores();
  if (cores.size() < 2) GTEST_SKIP() << "one core only";
  aside([&] {
    keep_to(cores[0]);
    Exchange exchange;
    PeerCore peer(true);
    EXPECT_EQ(exchange.answer(peer, cores[1], 64), cores[0]);
    EXPECT_FALSE(peer.shared());
  });
}

}  // namespace
}  // namespace smalti::net
