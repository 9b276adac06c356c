// One of a Link's connections. Lives on the loop; its three coroutines (reader, writer, heart) share it.
#pragma once

#include <asio/steady_timer.hpp>
#include <unordered_map>

#include "client/link.h"
#include "client/shared_link.h"

namespace smalti::client {

struct Link::Connection {
  explicit Connection(const asio::any_io_executor& executor) : wake(executor), beat(executor) {}

  void end() noexcept {
    dead = true;
    connecting.request_stop();
    if (stream) stream->close();
    wake.cancel();
    beat.cancel();
  }

  std::stop_source connecting;
  std::unique_ptr<net::Stream> stream;  // none: still connecting
  wire::native::Decoder decoder{wire::native::Decoder::From::server};
  std::unordered_map<std::uint64_t, RequestPtr> sent;  // not answered yet
  std::vector<RequestPtr> pings;                       // to be sent here and nowhere else
  std::uint64_t next_number = 1;
  std::uint64_t in_flight = 0;  // payload bytes of what was sent and not answered
  std::uint64_t most_in_flight = 0;
  std::chrono::milliseconds ping_every{1000};
  std::optional<SharedLink> shared;  // with a server on this host
  net::Ends ends;
  asio::steady_timer wake;  // of the writer
  asio::steady_timer beat;  // of the heart
  bool ready = false;
  bool alone = false;   // made when no other was there: it ends what is left of earlier ones
  bool superseded = false;  // ended by us, for another broke with puts in it
  bool pinged = false;  // a ping is on its way, or about to be
  bool leaving = false;  // its writer says goodbye, and then ends it
  bool dead = false;
};

// Suspends until the timer is cancelled or `when`.
asio::awaitable<void> rest(asio::steady_timer* timer, Clock::time_point when);

}  // namespace smalti::client
