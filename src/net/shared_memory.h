// Memory that two processes of one host share: made by one, handed to the other as a descriptor over a Unix socket.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "smalti/base/result.h"

namespace smalti::net {

using Token = std::array<std::byte, 16>;

// Sealed against shrinking and growing, so that no access faults whatever the peer does. What lies in it may change at any
// time: copy first, then look. Its first bytes say whether its maker still keeps it.
class SharedMemory {
 public:
  static constexpr std::size_t head_bytes = 64;

  static Result<SharedMemory> make(std::size_t bytes);
  // A peer's. Takes the descriptor over; refuses what could shrink, is not of this size, or is no plain memory.
  static Result<SharedMemory> adopt(int descriptor, std::size_t bytes);
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory();

  std::span<std::byte> bytes() const noexcept { return bytes_; }
  // Its maker: gives its pages back to the system, though others still map it. They find zeros, and alive() false.
  void retire() noexcept;
  // False: what was copied before this call may be zeros.
  bool alive() const noexcept;

  int descriptor() const noexcept { return descriptor_; }
  // Once it is handed over only the mapping is needed.
  void close_descriptor() noexcept;

 private:
  SharedMemory(int descriptor, std::span<std::byte> bytes) noexcept : descriptor_(descriptor), bytes_(bytes) {}
  static Result<SharedMemory> mapped(int descriptor, std::size_t bytes);
  std::uint32_t& keeper() const noexcept;

  int descriptor_;
  std::span<std::byte> bytes_;
};

// Where a client waits to be handed a server's memory: an abstract Unix socket named after a random id, in the network
// namespace that both are in, or else nobody finds it. It needs no folder, and ends with its owner. Nothing here ever
// waits: the server hands over before it answers.
class SharedDoor {
 public:
  static Result<SharedDoor> open(const Token& id);
  SharedDoor(SharedDoor&& other) noexcept;
  SharedDoor& operator=(SharedDoor&&) = delete;
  ~SharedDoor();

  // What came with this token. Others that knocked are turned away.
  Result<SharedMemory> take(const Token& token, std::size_t bytes);

 private:
  explicit SharedDoor(int descriptor) noexcept : descriptor_(descriptor) {}
  int descriptor_;
};

// Gives the memory to whoever keeps the door of this id, with the token.
Result<void> hand_over(const SharedMemory&, const Token& id, const Token& token);

// A connected socket's two ends, as far as addresses can tell.
struct Ends {
  bool one_host = false;
  std::uint16_t here = 0, there = 0;  // ports
};
Ends ends_of(int descriptor);

}  // namespace smalti::net
