// Link: one server, as its client sees it: a few connections, the requests that wait for one, and who the server is.
#pragma once

#include <asio/awaitable.hpp>
#include <asio/steady_timer.hpp>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "client/coding.h"
#include "client/request.h"
#include "net/host_port.h"
#include "net/loop.h"
#include "net/psk.h"
#include "smalti/base/log.h"
#include "smalti/base/pool.h"
#include "wire/native.h"
#include "wire/native_decode.h"

namespace smalti::client {

struct LinkEvent {
  enum class Kind : std::uint8_t {
    lost,      // it cannot be reached, or its connection broke and could not be made anew
    stalled,   // it owes an answer and has said nothing for long; it may still answer
    restarted  // another life of it answers: what it held is gone
  } kind;
  Error why;
};

struct LinkOptions {
  HostPort host;
  net::Psk psk;
  wire::Attributes attributes;
  wire::native::Id session{};
  bool encrypt = true;
  std::uint32_t connections = 2;
  std::chrono::milliseconds connect{5000};
  std::chrono::milliseconds answer{30000};
  std::chrono::milliseconds stall_floor{400};   // a server that owes an answer counts as stalled after a silence of
  std::chrono::milliseconds stall_cap{1500};    // some times its usual one, between these
  // Told on the loop. Whoever hears it must not wait.
  std::function<void(const LinkEvent&)> told;
  Compress compress = Compress::automatic;
  bool share = true;  // memory, with a server on this host
};

// Who answered. `epoch` counts the server's lives as this client has seen them, from 1; a new one means that the
// server has lost everything. 0: not met yet.
struct Identity {
  wire::native::Id server{};
  std::uint64_t incarnation = 0;
  std::uint64_t epoch = 0;
  bool durable = false;  // named images survive its end
};

struct Traffic {
  std::atomic<std::uint64_t> sent = 0, received = 0;  // bytes of frames, and of tiles beside them
  std::atomic<std::uint64_t> shared = 0;              // of these, bytes of tiles in memory that the server shares
  std::atomic<std::uint64_t> put_tiles = 0, got_tiles = 0;
  std::atomic<std::uint64_t> requests = 0, connects = 0;
  std::atomic<std::uint64_t> repaired_tiles = 0;  // were damaged or missing there, and written anew from another server
  std::atomic<std::uint64_t> copied_tiles = 0;    // put there because another server that had them is gone
};

// Connects when the first request comes, and again when one comes after the connections were lost. Requests that were
// not answered when a connection broke are sent again once. A server that says nothing for `answer` is lost; pings
// keep an idle one talking, and the session's images alive.
class Link {
 public:
  Link(net::Loop&, TileHeap&, Log&, LinkOptions);
  // Says goodbye, which frees the session's images, and waits for the connections to end.
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Thread-safe, all of these. Each request's latch is told, whatever becomes of it.
  void submit(std::vector<RequestPtr>);
  Identity identity() const;
  const HostPort& host() const noexcept { return options_.host; }
  const Traffic& traffic() const noexcept { return traffic_; }
  Traffic& traffic() noexcept { return traffic_; }
  // Of payload, at most, that a request should have; a single larger tile is a request of its own.
  std::uint64_t request_bytes() const noexcept;
  // How long it has owed an answer and said nothing; zero while it owes none.
  Clock::duration silence() const noexcept;
  // The longest such silence of late, decaying over some seconds.
  Clock::duration usual_silence() const noexcept { return Clock::duration(usual_); }
  // Whether to notice stalls and to find out at once when an idle server dies; else only what a request meets.
  void watch(bool on) noexcept { watch_ = on; }

 private:
  struct Connection;
  using ConnectionPtr = std::shared_ptr<Connection>;

  // All of these run on the loop.
  void accept(std::vector<RequestPtr>);
  void enqueue(const RequestPtr&);
  bool to_be_packed(const RequestPtr&);
  bool to_be_unpacked(const RequestPtr&);
  Pool& coders();
  void tend();  // connects where needed, wakes who can work
  void connect_one();
  void finish(const RequestPtr&, std::optional<Error>);
  void lost(const ConnectionPtr&, const Error&);
  void shut();
  std::vector<RequestPtr> next_batch(Connection&);
  std::optional<Error> hindrance(const Request&) const;
  Result<void> meet(const wire::native::Welcome&);
  Error named(Error) const;

  bool owed() const noexcept;
  void owe();
  void heard(Connection&);
  void ping(const ConnectionPtr&);
  Clock::duration stall_after() const noexcept;
  void tell(LinkEvent::Kind, Error);

  void drop_abandoned();

  asio::awaitable<void> look_out();
  asio::awaitable<void> pack(RequestPtr);
  asio::awaitable<void> unpack(RequestPtr);
  asio::awaitable<void> live(ConnectionPtr);
  asio::awaitable<void> send_all(ConnectionPtr);
  asio::awaitable<void> keep_alive(ConnectionPtr);
  asio::awaitable<void> say_goodbye(Connection*);
  net::Task<void> establish(ConnectionPtr);
  net::Task<bool> greet(ConnectionPtr, Clock::time_point deadline);
  net::Task<void> send_batch(Connection*, std::vector<RequestPtr>);
  net::Task<void> read_all(ConnectionPtr);
  net::Task<wire::native::Frame> next_frame(Connection*, Clock::time_point deadline);
  net::Task<void> take(Connection*, wire::native::Frame*);
  net::Task<void> take_tiles(Connection*, Request*, wire::native::Tiles*);
  void ask_to_share(Connection&);
  void begin_to_share(Connection&, const Request&);
  Result<void> take_shared(Connection&, std::uint64_t number, Request&, wire::native::Tiles&);
  Result<Arrived*> expected_tile(Request&, wire::native::TileAnswer&);
  net::Task<void> take_payload(Connection*, std::span<std::byte> into);
  Result<void> take_answer(Request&, wire::native::Message&);

  net::Loop& loop_;
  TileHeap& heap_;
  Log& log_;
  const LinkOptions options_;
  Traffic traffic_;
  Coding coding_;
  mutable std::mutex identity_mutex_;
  Identity identity_;  // guarded by identity_mutex_; written on the loop only

  // The loop's own.
  std::deque<RequestPtr> queue_;  // not sent yet
  std::vector<ConnectionPtr> connections_;
  Clock::time_point no_more_before_{};  // when another connection may be tried beside those that work
  bool shut_ = false;
  bool looking_out_ = false;
  bool stalled_ = false;
  Clock::duration longest_{};  // silence since the watch last looked
  asio::steady_timer look_out_timer_;

  std::atomic<bool> watch_ = false;
  std::atomic<bool> shares_ = false;  // memory with its server, or did
  std::atomic<Clock::rep> quiet_since_ = 0;  // the last byte, or when an answer came to be owed; 0: nothing is owed
  std::atomic<Clock::rep> usual_;
  std::unique_ptr<Pool> coders_;  // none until a tile is coded

  net::Tasks tasks_;
};

}  // namespace smalti::client
