// Guest: a connection that did not begin with TLS, so that it is one of ImageMagick's own clients, or
// garbage.
#pragma once

#include <asio/awaitable.hpp>
#include <functional>
#include <memory>

#include "net/tcp.h"
#include "wire/magick_dialect.h"

namespace smalti::server {

// Handed over with nothing read yet: the peer's first byte is still in the stream, and is not that of a TLS
// record.
class Guest {
 public:
  Guest(std::unique_ptr<net::TcpStream> s, const wire::magick::Greeter& g, Clock::time_point d,
        std::function<bool(std::function<void()>)> a)
      : stream(std::move(s)), greeter(g), deadline(d), admitted(std::move(a)) {}

  std::unique_ptr<net::TcpStream> stream;
  wire::magick::Greeter greeter;  // its greeting has been sent
  Clock::time_point deadline;     // by which the guest must have proved itself
  // To be called once it has, on the loop, with what hangs up on it from then on; false: no room, close.
  std::function<bool(std::function<void()> hang_up)> admitted;
};

// Serves the guest to its end, on the loop. The server may close the stream at any time (it is drained, or a
// flood of strangers wants the place): operations then fail with Errc::cancelled, and the coroutine must
// return soon and let the stream die with it.
using GuestHandler = std::function<asio::awaitable<void>(Guest)>;

}  // namespace smalti::server
