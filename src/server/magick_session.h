// MagickSession: one admitted client of ImageMagick's, from its first request to its last.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "net/direct.h"
#include "server/magick_image.h"
#include "smalti/base/log.h"
#include "wire/magick_dialect.h"

namespace smalti {

struct MagickOptions {
  // In the middle of a message a client must go on sending (or taking its answer) within so long, and be
  // through with it after so long and a millisecond more for every 64 bytes. Between messages it may be
  // silent for as long as it likes.
  std::chrono::milliseconds stall{10000};
  bool spin = true;   // look for the next request on an idle core for some microseconds before sleeping
  bool local = true;  // no tier of ours is remote: what does not fit here is refused when it is opened
};

// What the sessions of a process share. REQUIRES: outlives them.
struct MagickParts {
  CacheParts cache;
  Log& log;
  net::IdleCores& cores;
  MagickOptions options;
};

// Runs on a thread of its own: the client sends one request at a time and waits for the answer.
class MagickSession {
 public:
  // `first`: what the client sent beyond the handshake. REQUIRES: parts outlive the session.
  MagickSession(const MagickParts& parts, net::DirectSocket& socket, const wire::magick::Greeter& greeter,
                std::vector<std::byte> first);

  // Until the client is done or gone, misbehaves, or the socket is shut. Ends our side of the connection.
  void run();

 private:
  enum class Next : std::uint8_t { request, end };

  std::span<const std::byte> waiting() const noexcept {
    return std::span(in_).subspan(begin_, end_ - begin_);
  }
  Result<bool> receive(bool mid_message);
  void serve();
  Next perform(const wire::magick::Step&);
  Next open(const wire::magick::Step&);
  Next transfer(const wire::magick::Access&);
  Result<void> take(const wire::magick::Access&);
  Result<void> give(const wire::magick::Access&);
  Next say(std::span<const std::byte>);
  void say_no(std::string_view why, std::span<const std::byte> reply);
  Clock::time_point patience(std::uint64_t bytes) const noexcept;
  Clock::time_point patience_until(Clock::time_point end) const noexcept;

  const MagickParts& parts_;
  net::DirectSocket& socket_;
  wire::magick::Talk talk_;
  std::unique_ptr<MagickImage> image_;
  std::vector<std::byte> in_;  // waiting() is what has come and is not consumed
  std::size_t begin_ = 0, end_ = 0;
  std::vector<std::byte> out_;
  Hold buffers_;
  std::uint64_t requests_ = 0, bytes_in_ = 0, bytes_out_ = 0;  // what it asked for, and pixels moved
  Clock::time_point message_deadline_ = Clock::time_point::max();
};

}  // namespace smalti
