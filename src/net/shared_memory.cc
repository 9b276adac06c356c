#include "net/shared_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

namespace smalti::net {

namespace {

constexpr int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
constexpr int most_knocks = 16;
constexpr std::string_view prefix = "smalti/";

tl::unexpected<Error> failed(std::string_view what) {
  return fail(Errc::unsupported, "shared memory: " + std::string(what), errno);
}

// An abstract name begins with a zero: it has no file, and ends with its last user.
socklen_t name_of(const Token& id, sockaddr_un& address) {
  constexpr std::string_view digits = "0123456789abcdef";
  address = {};
  address.sun_family = AF_UNIX;
  std::size_t at = 1;
  for (const char c : prefix) address.sun_path[at++] = c;
  for (const std::byte b : id) {
    address.sun_path[at++] = digits[std::to_integer<unsigned>(b) >> 4];
    address.sun_path[at++] = digits[std::to_integer<unsigned>(b) & 15];
  }
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + at);
}

int unix_socket() { return ::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); }

// A token, with room for one descriptor beside it.
struct Letter {
  Letter() {
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
  Letter(const Letter&) = delete;
  Letter& operator=(const Letter&) = delete;

  Token token{};
  iovec part{token.data(), token.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
};

// Everything that came with a message is ours to close, also what was not expected.
std::vector<int> descriptors_of(msghdr& message) {
  std::vector<int> out;
  for (const cmsghdr* head = CMSG_FIRSTHDR(&message); head; head = CMSG_NXTHDR(&message, const_cast<cmsghdr*>(head))) {
    if (head->cmsg_level != SOL_SOCKET || head->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      out.push_back(-1);
      std::memcpy(&out.back(), CMSG_DATA(head) + i * sizeof(int), sizeof(int));
    }
  }
  return out;
}

// The one descriptor that came with the token; -1 where none, more or another did.
int received(int from, const Token& token) {
  Letter letter;
  const ssize_t got = ::recvmsg(from, &letter.message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return -1;
  const std::vector<int> came = descriptors_of(letter.message);
  if (came.size() == 1 && got == static_cast<ssize_t>(token.size()) && letter.token == token) return came.front();
  for (const int one : came) ::close(one);
  return -1;
}

}  // namespace

Result<SharedMemory> SharedMemory::mapped(int descriptor, std::size_t bytes) {
  void* at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  if (at == MAP_FAILED) {
    auto error = failed("cannot be mapped");
    ::close(descriptor);
    return error;
  }
  return SharedMemory(descriptor, {static_cast<std::byte*>(at), bytes});
}

Result<SharedMemory> SharedMemory::make(std::size_t bytes) {
  if (bytes < head_bytes) return fail(Errc::invalid, "shared memory: too little to share");
  const int descriptor = ::memfd_create("smalti", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return failed("cannot be made");
  if (::ftruncate(descriptor, static_cast<off_t>(bytes)) != 0 || ::fcntl(descriptor, F_ADD_SEALS, seals) != 0) {
    auto error = failed("cannot be made");
    ::close(descriptor);
    return error;
  }
  SMALTI_TRY(SharedMemory made, mapped(descriptor, bytes));
  std::atomic_ref(made.keeper()).store(1, std::memory_order_release);
  return made;
}

// Only memory of the system's own is taken: a file's, or huge pages, might fault for want of room.
Result<SharedMemory> SharedMemory::adopt(int descriptor, std::size_t bytes) {
  struct stat status {};
  struct statfs kind {};
  const int sealed = ::fcntl(descriptor, F_GET_SEALS);
  const bool sound = sealed >= 0 && (sealed & F_SEAL_SHRINK) != 0 && bytes >= head_bytes &&
                     ::fstat(descriptor, &status) == 0 && status.st_size == static_cast<off_t>(bytes) &&
                     ::fstatfs(descriptor, &kind) == 0 && kind.f_type == TMPFS_MAGIC;
  if (sound) return mapped(descriptor, bytes);
  ::close(descriptor);
  return fail(Errc::corrupt, "shared memory: the peer's could shrink, or is of another size or kind than was asked for");
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)), bytes_(std::exchange(other.bytes_, {})) {}

SharedMemory::~SharedMemory() {
  if (!bytes_.empty()) ::munmap(bytes_.data(), bytes_.size());
  close_descriptor();
}

void SharedMemory::close_descriptor() noexcept {
  if (descriptor_ >= 0) ::close(std::exchange(descriptor_, -1));
}

std::uint32_t& SharedMemory::keeper() const noexcept { return *reinterpret_cast<std::uint32_t*>(bytes_.data()); }

// Said before the pages go, so that who copied zeros finds that out.
void SharedMemory::retire() noexcept {
  if (bytes_.empty()) return;
  std::atomic_ref(keeper()).store(0, std::memory_order_seq_cst);
  ::madvise(bytes_.data(), bytes_.size(), MADV_REMOVE);
}

bool SharedMemory::alive() const noexcept {
  std::atomic_thread_fence(std::memory_order_acquire);
  return std::atomic_ref(keeper()).load(std::memory_order_relaxed) != 0;
}

Result<SharedDoor> SharedDoor::open(const Token& id) {
  SharedDoor door(unix_socket());
  sockaddr_un address;
  const socklen_t size = name_of(id, address);
  if (door.descriptor_ < 0 || ::bind(door.descriptor_, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::listen(door.descriptor_, most_knocks) != 0)
    return failed("no socket to receive it by");
  return door;
}

SharedDoor::SharedDoor(SharedDoor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

SharedDoor::~SharedDoor() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

Result<SharedMemory> SharedDoor::take(const Token& token, std::size_t bytes) {
  for (int knocks = 0; knocks < most_knocks; ++knocks) {
    const int visitor = ::accept4(descriptor_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (visitor < 0) return failed("nobody brought it");
    const int descriptor = received(visitor, token);
    ::close(visitor);
    if (descriptor >= 0) return SharedMemory::adopt(descriptor, bytes);
  }
  return fail(Errc::unsupported, "shared memory: strangers at the door");
}

Result<void> hand_over(const SharedMemory& memory, const Token& id, const Token& token) {
  const int to = unix_socket();
  if (to < 0) return failed("no socket to hand it over by");
  sockaddr_un address;
  const socklen_t size = name_of(id, address);
  Letter letter;
  letter.token = token;
  cmsghdr* head = CMSG_FIRSTHDR(&letter.message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof(int));
  const int descriptor = memory.descriptor();
  std::memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
  Result<void> done;
  if (::connect(to, reinterpret_cast<const sockaddr*>(&address), size) != 0 ||
      ::sendmsg(to, &letter.message, MSG_NOSIGNAL | MSG_DONTWAIT) != static_cast<ssize_t>(token.size()))
    done = failed("the client did not take it");
  ::close(to);
  return done;
}

namespace {

// An IPv4 address in its IPv6 clothes, so that both kinds compare.
struct Address {
  std::array<std::byte, 16> raw{};
  std::uint16_t port = 0;
  bool loopback() const noexcept {
    const bool four = std::to_integer<int>(raw[10]) == 0xff && std::to_integer<int>(raw[11]) == 0xff;
    return four && std::to_integer<int>(raw[12]) == 127;
  }
};

bool address_of(const sockaddr_storage& from, Address& to) {
  if (from.ss_family == AF_INET) {
    const auto& four = reinterpret_cast<const sockaddr_in&>(from);
    to.raw[10] = to.raw[11] = std::byte{0xff};
    std::memcpy(to.raw.data() + 12, &four.sin_addr, 4);
    to.port = ntohs(four.sin_port);
    return true;
  }
  if (from.ss_family != AF_INET6) return false;
  const auto& six = reinterpret_cast<const sockaddr_in6&>(from);
  std::memcpy(to.raw.data(), &six.sin6_addr, 16);
  to.port = ntohs(six.sin6_port);
  return true;
}

}  // namespace

Ends ends_of(int descriptor) {
  sockaddr_storage here{}, there{};
  socklen_t here_size = sizeof here, there_size = sizeof there;
  Address mine, theirs;
  if (::getsockname(descriptor, reinterpret_cast<sockaddr*>(&here), &here_size) != 0 ||
      ::getpeername(descriptor, reinterpret_cast<sockaddr*>(&there), &there_size) != 0 || !address_of(here, mine) ||
      !address_of(there, theirs))
    return {};
  return {mine.raw == theirs.raw || (mine.loopback() && theirs.loopback()), mine.port, theirs.port};
}

}  // namespace smalti::net
