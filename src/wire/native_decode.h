// Decoder: bytes in, messages out. No socket, no clock, no store.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "wire/native.h"

namespace smalti::wire::native {

struct Frame {
  Meta meta;
  Message message;
  std::uint32_t body_bytes = 0;  // the payloads of the message's items, to be claimed before the next frame
};

// One peer's bytes, in any pieces. Used by one thread at a time. A typical loop:
//
//   next() -> a frame: act on it; claim() each payload and read the rest of it from the socket straight into
//   place
//          -> nothing: read from the socket into space(), call filled()
//          -> an error: the peer speaks something else, or lies; close. The decoder repeats the error ever
//          after.
class Decoder {
 public:
  // Whom we listen to: clients send requests, servers send replies. Anything else is an error.
  enum class From : std::uint8_t { client, server };
  explicit Decoder(From from) noexcept : from_(from) {}

  // Where the transport should read into next; never empty. At most a few KiB more than is known to come, so
  // that little of a payload lands here. Valid until the next call of any member.
  std::span<std::byte> space();
  void filled(std::size_t bytes) noexcept { end_ += bytes; }

  // The next frame, or nullopt when more bytes are needed. REQUIRES: body_left() == 0.
  Result<std::optional<Frame>> next();

  // Bytes that were read and not yet taken: of a frame that is not whole, or read ahead.
  std::size_t buffered() const noexcept { return end_ - begin_; }
  std::uint32_t body_left() const noexcept { return body_left_; }
  // Takes the next into.size() bytes of the body: what was read ahead is copied, and the part that must still
  // be read from the transport is returned. REQUIRES: into.size() <= body_left().
  std::span<std::byte> claim(std::span<std::byte> into) noexcept;

 private:
  Result<std::optional<Frame>> parse();

  const From from_;
  std::vector<std::byte> buffer_;
  std::size_t begin_ = 0;  // buffer_[begin_, end_) is read and not yet taken
  std::size_t end_ = 0;
  std::size_t wanted_ = header_bytes;  // bytes that the frame at begin_ needs, as far as is known
  std::uint32_t body_left_ = 0;
  std::optional<Error> broken_;
};

}  // namespace smalti::wire::native
