// NativeConnection: frames to and from one native client. What they mean is decided in native_session.cc.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "net/loop.h"
#include "net/shared_memory.h"
#include "net/tls.h"
#include "server/budget.h"
#include "server/shared_room.h"
#include "server/signal.h"
#include "wire/copy_sum.h"
#include "wire/native_decode.h"

namespace smalti::server {

struct ConnectionOptions {
  // For a peer that neither sends what it announced nor reads what it asked for.
  std::chrono::milliseconds stall{30000};
  std::uint64_t in_flight_bytes = 8u << 20;
  net::Ends ends = {};
};

// What a frame's payloads took of the budgets. Member order: given back in reverse.
class Shares {
 public:
  Shares() = default;
  void join(Shares other) {
    server.join(std::move(other.server));
    own.join(std::move(other.own));
  }
  Budget::Share server;
  Budget::Share own;
};

// Used on its loop only. One coroutine reads; any may send. Held by every coroutine that works for this
// client.
class NativeConnection : public std::enable_shared_from_this<NativeConnection> {
 public:
  NativeConnection(net::Loop&, net::Tasks&, Budget& server, std::unique_ptr<net::SecureStream>,
                   ConnectionOptions);
  ~NativeConnection() { server_budget_.unwatch(this); }

  // The next frame, its header by `deadline`, the rest of it within the stall. Errc::unavailable: the peer
  // has gone; Errc::corrupt and others: it speaks nonsense.
  net::Task<wire::native::Frame> next(Clock::time_point deadline);
  // The next part of the body, straight from the stream into place; summed as it comes, where that is wanted.
  net::Task<void> payload(std::span<std::byte> into, wire::RunningSum* sum = nullptr);
  // The same, for nobody.
  net::Task<void> skip(std::uint32_t bytes);

  // Queues a frame, and its payloads in the order of the message's items; the shares are held until they are
  // written.
  void send(const wire::native::Meta& request, const wire::native::Message&, std::vector<Tile> payloads = {},
            Shares shares = {});
  // So much is queued (beside payloads, which the budgets bound) that nothing more should be asked for.
  bool backlogged() const noexcept { return queued_bytes_ > 1u << 20; }
  // Until everything queued is written, or the connection is closed.
  asio::awaitable<void> flushed();
  // What is left queued is lost. Requests under way are told to stop.
  void close();
  bool closed() const noexcept { return closed_; }
  // The server wants it gone: says goodbye where the peer listens, and closes soon.
  void hang_up();
  // Both sides agreed to leave TLS, and nothing has been sent after that. Errc::corrupt where the peer did.
  net::Task<void> leave_tls(Clock::time_point deadline);

  // Room for so many bytes of payload, on this connection and on the server; waits for both.
  asio::awaitable<Shares> take(std::uint64_t bytes);
  bool try_take(std::uint64_t bytes, Shares& into);

  // Memory that the client maps, too; it lives as long as the connection does.
  void share(std::unique_ptr<SharedRoom::Part> memory) noexcept { shared_ = std::move(memory); }
  bool shares() const noexcept { return bool(shared_); }
  // A part of it; none where there is no such part. May be used on other threads while the connection is held.
  std::optional<std::span<std::byte>> shared_part(std::uint32_t at, std::uint64_t bytes) const noexcept;
  // To be told of copies that were made on the loop, and to be asked after: whether others should run now.
  void copied(std::uint64_t bytes) noexcept { copied_ += bytes; }
  bool owes_a_turn() noexcept;
  const net::Ends& ends() const noexcept { return options_.ends; }

  std::string peer() const { return stream_->peer(); }
  std::stop_token stop() const noexcept { return stop_.get_token(); }
  net::Tasks& tasks() noexcept { return tasks_; }

  std::uint32_t running = 0;  // requests that are being worked on
  Signal changed;             // `running` fell, or frames were written

 private:
  struct Outgoing {
    std::vector<std::byte> head;
    std::vector<Tile> payloads;
    Shares shares;
  };
  static asio::awaitable<void> part(std::shared_ptr<NativeConnection> self);
  static asio::awaitable<void> flush(std::shared_ptr<NativeConnection> self);
  Clock::time_point stall_for(std::uint64_t bytes) const;
  void press(Budget::Patience);
  net::Task<void> fill(std::span<std::byte> into, Clock::time_point deadline, wire::RunningSum* sum);

  net::Tasks& tasks_;
  Budget& server_budget_;
  Budget own_budget_;
  const ConnectionOptions options_;
  std::unique_ptr<net::Stream> stream_;
  net::SecureStream* secure_;  // stream_, while it is that
  wire::native::Decoder decoder_{wire::native::Decoder::From::client};
  std::unique_ptr<SharedRoom::Part> shared_;
  std::uint64_t copied_ = 0;  // since others could run
  std::vector<Outgoing> outbox_;
  std::size_t queued_bytes_ = 0;  // of heads, until they are written
  bool flushing_ = false;
  bool filling_ = false;         // a payload is being read
  Clock::time_point progress_{};  // when a part of a payload last came or went
  bool closed_ = false;
  std::stop_source stop_;
};

}  // namespace smalti::server
