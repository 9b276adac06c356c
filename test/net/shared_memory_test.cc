// Memory is handed to whoever it is meant for, and no peer can make an access to it fault.
#include "net/shared_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <string>

#include "test/net/pairs.h"

namespace smalti::net {
namespace {

constexpr std::size_t size = 1u << 20;

Token token(std::uint8_t first) {
  Token out;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<std::byte>(first + i);
  return out;
}

// Tests may run side by side, and names are the host's.
Token fresh() {
  static unsigned count = 0;
  Token out{};
  const auto pid = static_cast<std::uint64_t>(::getpid());
  std::memcpy(out.data(), &pid, sizeof pid);
  std::memcpy(out.data() + 8, &++count, sizeof count);
  return out;
}

std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
}

TEST(SharedMemory, IsHandedOverAndIsTheSame) {
  const Token id = fresh();
  auto door = SharedDoor::open(id);
  ASSERT_TRUE(door) << door.error().what;
  auto made = SharedMemory::make(size);
  ASSERT_TRUE(made) << made.error().what;
  made->bytes()[1000] = std::byte{42};
  ASSERT_TRUE(hand_over(*made, id, token(1)));
  auto taken = door->take(token(1), size);
  ASSERT_TRUE(taken) << taken.error().what;
  EXPECT_EQ(taken->bytes().size(), size);
  EXPECT_EQ(taken->bytes()[1000], std::byte{42});
  taken->bytes()[2000] = std::byte{43};
  EXPECT_EQ(made->bytes()[2000], std::byte{43});
  EXPECT_TRUE(taken->alive());
}

TEST(SharedMemory, CanNeitherShrinkNorGrow) {
  auto made = SharedMemory::make(size);
  ASSERT_TRUE(made);
  EXPECT_NE(::ftruncate(made->descriptor(), 0), 0);
  EXPECT_NE(::ftruncate(made->descriptor(), 2 * size), 0);
  EXPECT_NE(::fcntl(made->descriptor(), F_ADD_SEALS, F_SEAL_WRITE), 0);
  // Holes may be punched: they read as zeros, and fault nobody.
  EXPECT_EQ(::fallocate(made->descriptor(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, size), 0);
  EXPECT_TRUE(std::all_of(made->bytes().begin(), made->bytes().end(), [](std::byte b) { return b == std::byte{0}; }));
  EXPECT_FALSE(made->alive());
}

TEST(SharedMemory, RetiredItIsGivenBackAndSaysSo) {
  const Token id = fresh();
  auto door = SharedDoor::open(id);
  auto made = SharedMemory::make(size);
  ASSERT_TRUE(door && made);
  ASSERT_TRUE(hand_over(*made, id, token(1)));
  auto taken = door->take(token(1), size);
  ASSERT_TRUE(taken);
  std::fill(made->bytes().begin() + SharedMemory::head_bytes, made->bytes().end(), std::byte{7});
  EXPECT_TRUE(taken->alive());
  made->retire();
  EXPECT_FALSE(taken->alive());
  EXPECT_EQ(taken->bytes()[size - 1], std::byte{0});
}

TEST(SharedMemory, WhatMightFaultIsNotAdopted) {
  const int unsealed = ::memfd_create("test", MFD_ALLOW_SEALING);
  ASSERT_EQ(::ftruncate(unsealed, size), 0);
  EXPECT_FALSE(SharedMemory::adopt(unsealed, size));
  const int growing = ::memfd_create("test", MFD_ALLOW_SEALING);
  ASSERT_EQ(::ftruncate(growing, size / 2), 0);
  ASSERT_EQ(::fcntl(growing, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_FALSE(SharedMemory::adopt(growing, size));
  char name[] = "/tmp/smalti-shared-XXXXXX";
  const int file = ::mkstemp(name);
  ::unlink(name);
  ASSERT_EQ(::ftruncate(file, size), 0);
  EXPECT_FALSE(SharedMemory::adopt(file, size));
  EXPECT_FALSE(SharedMemory::adopt(-1, size));
  EXPECT_FALSE(SharedMemory::make(3));
}

// Says so many bytes and descriptors to a door.
void knock(const Token& id, std::span<const std::byte> words, std::size_t descriptors) {
  const int to = ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::string name = "smalti/";
  for (const std::byte b : id) {
    constexpr std::string_view digits = "0123456789abcdef";
    name += digits[std::to_integer<unsigned>(b) >> 4];
    name += digits[std::to_integer<unsigned>(b) & 15];
  }
  std::memcpy(address.sun_path + 1, name.data(), name.size());
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (::connect(to, reinterpret_cast<const sockaddr*>(&address), length) == 0) {
    iovec part{const_cast<std::byte*>(words.data()), words.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    if (descriptors > 0) {
      message.msg_control = control.data();
      message.msg_controllen = CMSG_SPACE(descriptors * sizeof(int));
      cmsghdr* head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(descriptors * sizeof(int));
      const std::array<int, 8> all{1, 1, 1, 1, 1, 1, 1, 1};
      std::memcpy(CMSG_DATA(head), all.data(), descriptors * sizeof(int));
    }
    (void)::sendmsg(to, &message, MSG_NOSIGNAL);
  }
  ::close(to);
}

TEST(SharedDoor, StrangersAreTurnedAwayAndLeaveNothing) {
  const Token id = fresh(), mine = token(9), wrong = token(10);
  const auto before = open_descriptors();
  {
    auto door = SharedDoor::open(id);
    auto made = SharedMemory::make(size);
    ASSERT_TRUE(door && made);
    EXPECT_FALSE(door->take(mine, size));  // nobody
    knock(id, {}, 0);
    knock(id, wrong, 1);
    knock(id, mine, 0);
    knock(id, mine, 2);
    knock(id, std::span(mine).first(8), 1);
    knock(id, std::vector<std::byte>(4096), 8);
    ASSERT_TRUE(hand_over(*made, id, mine));
    EXPECT_TRUE(door->take(mine, size));
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(SharedDoor, ACrowdOfStrangersOnlyEndsTheSharing) {
  const Token id = fresh(), mine = token(9);
  const auto before = open_descriptors();
  {
    auto door = SharedDoor::open(id);
    auto made = SharedMemory::make(size);
    ASSERT_TRUE(door && made);
    for (int i = 0; i < 100; ++i) knock(id, mine, 3);
    EXPECT_FALSE(hand_over(*made, id, mine));
    EXPECT_FALSE(door->take(mine, size));
  }
  EXPECT_EQ(open_descriptors(), before);
}

TEST(SharedDoor, OneThatIsGoneIsNotFoundAndOneThatIsThereIsNotTaken) {
  const Token id = fresh();
  auto made = SharedMemory::make(size);
  ASSERT_TRUE(made);
  {
    auto door = SharedDoor::open(id);
    ASSERT_TRUE(door);
    EXPECT_FALSE(SharedDoor::open(id));
  }
  EXPECT_FALSE(hand_over(*made, id, token(1)));
  EXPECT_TRUE(SharedDoor::open(id));  // no stale name remains
}

TEST(Ends, OfAConnectionWithinOneHostMirrorEachOther) {
  Loop loop;
  for (const char* address : {"127.0.0.1", "127.0.0.2", "::1"}) {
    const TcpPair pair = tcp_pair(loop, address);
    ASSERT_TRUE(pair.client && pair.server);
    const Ends client = ends_of(pair.client->descriptor()), server = ends_of(pair.server->descriptor());
    EXPECT_TRUE(client.one_host && server.one_host) << address;
    EXPECT_EQ(client.here, server.there);
    EXPECT_EQ(client.there, server.here);
  }
  EXPECT_FALSE(ends_of(-1).one_host);
}

}  // namespace
}  // namespace smalti::net
