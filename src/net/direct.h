// DirectSocket: a connected TCP socket in the hands of one thread that waits in it. For a peer that asks,
// waits for the answer, and asks again, ten thousand times: the thread is woken by the kernel with the bytes
// already there, without a loop, a poll and a second system call in between.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "net/peer_core.h"
#include "net/warm_core.h"
#include "smalti/base/call.h"
#include "smalti/base/result.h"

namespace smalti::net {

class TcpStream;

// How long a receive may look for bytes before it lets the kernel put the thread to sleep. Shared by all
// sockets of a process: as many look at once as there are idle cores, and no more. Thread-safe.
class IdleCores {
 public:
  // `most` threads at once; 0: never spin.
  explicit IdleCores(unsigned most);
  // One less than the cores this process may use.
  static unsigned spare();

  bool idle() noexcept;  // nobody else wants them
  // Makes sharing `core` pay between a thread and its peer, where that can be had for one idle core.
  bool hold_peers_on(int core) noexcept { return warm_.keep_all_but(core); }
  bool enter() noexcept;  // true: leave() must follow
  void leave() noexcept { spinning_.fetch_sub(1, std::memory_order_relaxed); }

 private:
  bool somebody_else_wants_them() noexcept;

  const unsigned most_;
  const unsigned cores_;
  std::atomic<unsigned> spinning_{0};
  std::atomic<std::int64_t> looked_ns_{0};  // when the machine's load was last looked at
  std::atomic<bool> busy_{false};           // what was seen then
  std::atomic<unsigned> crowded_{0};        // how many times in a row more threads than cores were seen
  WarmCore warm_;
};

class DirectSocket {
 public:
  // Takes the socket off its loop. nullptr where the stream was closed. `tick`: how often a wait looks at its
  // deadline.
  static std::unique_ptr<DirectSocket> over(TcpStream&,
                                            std::chrono::milliseconds tick = std::chrono::seconds(2));
  ~DirectSocket();
  DirectSocket(const DirectSocket&) = delete;
  DirectSocket& operator=(const DirectSocket&) = delete;

  // From now on the thread that receives runs on the core of a peer of this machine (see PeerCore), until it
  // ends. For a thread that does nothing else.
  void stay_close() noexcept { core_ = PeerCore(local_); }
  // At least one byte; 0 means that the peer has ended its side, or that shut() was called. What has come is
  // acknowledged at once: a peer whose next message waits for the acknowledgement of its last (Nagle) sends
  // it now. `spin` may be null.
  Result<std::size_t> receive(std::span<std::byte> into, Clock::time_point deadline, IdleCores* spin);
  // All of it. Errc::timeout where the deadline passes first.
  Result<void> send(std::span<const std::byte> bytes, Clock::time_point deadline);
  // Ends our side, and takes what the peer still sends for at most so long, so that the last words arrive: a
  // socket closed over unread bytes is reset, and what was sent is lost.
  void part(std::chrono::milliseconds patience);
  // Thread-safe: the peer's side ends once what has come is read; both directions end. Whoever waits in them
  // returns.
  void shut_reading() noexcept;
  void shut() noexcept;

  const std::string& peer() const noexcept { return peer_; }

 private:
  DirectSocket(int fd, std::string peer, bool local) : fd_(fd), peer_(std::move(peer)), local_(local) {}
  void choose_core(IdleCores* spin) noexcept;
  bool spin_for_bytes(std::span<std::byte> into, IdleCores& cores, std::ptrdiff_t& got) noexcept;

  const int fd_;
  const std::string peer_;
  const bool local_;
  PeerCore core_;
  bool unanswered_ = true;       // bytes came after our last word, which would have acknowledged them
  std::int64_t gap_ns_ = 0;      // how long the peer lately took from our last word to its next
  std::uint32_t fruitless_ = 0;  // spins in a row that ended in sleep
};

}  // namespace smalti::net
