// TcpStream: a connected TCP socket. No Nagle delay, no copies: reads land in the caller's memory, writes gather.
#pragma once

#include <memory>

#include "net/stream.h"

namespace smalti::net {

// A system call is tried at once; the loop is asked for readiness only where it would block. A stream that always
// finds something to do lets others run from time to time. Lives on the loop whose socket it was given.
class TcpStream final : public Stream {
 public:
  struct Socket;  // asio's socket; see tcp_socket.h
  explicit TcpStream(std::unique_ptr<Socket>);
  ~TcpStream() override;  // from any thread. REQUIRES: no operation is pending (close() it, and let them end)
  TcpStream(const TcpStream&) = delete;
  TcpStream& operator=(const TcpStream&) = delete;

  Task<std::size_t> read_some(std::span<std::byte> into, Clock::time_point deadline, std::size_t sure = 1) override;
  Task<void> write(std::span<const Bytes> parts, Clock::time_point deadline) override;
  void close() noexcept override;
  std::string peer() const override;

  // The next byte to be read, left where it is. Errc::unavailable where the peer has ended its side.
  Task<std::byte> peek(Clock::time_point deadline);
  // Ends our side only: the peer reads what was written, and then the end.
  void end_writing() noexcept;
  bool from_loopback() const noexcept;
  // Both ends have the same address: they share the cores, and there is no wire between them.
  bool within_one_host() const noexcept;

  // For transports on top: the non-blocking descriptor, and when it is worth trying again.
  int descriptor() const noexcept;
  // Readable: about `enough` bytes are there, or the peer has ended its side. More than one only while all of them are
  // sure to come; the system caps it at what its buffers hold.
  Task<void> readable(Clock::time_point deadline, std::size_t enough = 1);
  Task<void> writable(Clock::time_point deadline);
  // The descriptor, no longer the stream's nor its loop's: the caller closes it. REQUIRES: no operation is pending, and
  // none follows. -1 where the stream was closed.
  int release() noexcept;
  // To be awaited after every `bytes` moved without waiting: lets other coroutines run once they add up.
  bool owes_a_turn(std::size_t bytes) noexcept;

 private:
  struct State;
  std::shared_ptr<State> state_;  // shared with its timers' handlers
};

// The error for a failed system call on a connection.
tl::unexpected<Error> connection_error(std::string_view peer, int sys);

}  // namespace smalti::net
