// Which of ImageMagick's handshakes a port speaks, and both sides of each. No socket, no clock: bytes in,
// verdicts out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "wire/magick_key.h"

namespace smalti::wire::magick {

// A value. `build` matters to s and l only, save that its family says which requests follow.
struct Dialect {
  Handshake handshake = Handshake::n16;
  Build build;

  Family family() const noexcept { return build.family; }
  bool proves_the_client() const noexcept {
    return handshake == Handshake::n16 || handshake == Handshake::n8;
  }
  std::size_t greeting_bytes() const noexcept { return handshake == Handshake::n16 ? 16 : 8; }
  auto operator<=>(const Dialect&) const = default;
};

// "n16", "n8"; "s" and "l", each optionally followed by what differs from Q16 of ImageMagick 7, in any order:
// ":im6" ":q8" ":q32" ":q64" ":hdri" ":masks64" ":interface=N". Without an interface: 10, and for ImageMagick
// 6 the one its releases with that handshake had last (7 for s, 6 for l).
Result<Dialect> parse_dialect(std::string_view text);
std::string text_of(const Dialect&);  // parse_dialect's inverse

// Fills a span with bytes that nobody can foretell.
using Random = std::function<void(std::span<std::byte>)>;

// What a peer's first bytes mean.
struct Arrival {
  enum class Kind : std::uint8_t {
    more,      // not enough bytes yet
    native,    // a TLS record: not ImageMagick's client at all
    admitted,  // `used` bytes were its answer; requests follow
    refused,   // `why` says as much as can be known; close (after a zero status where `status` says so)
  };
  Kind kind = Kind::more;
  std::size_t used = 0;
  bool status = false;
  std::string why;
};

// The server's half of one connection's handshake.
class Greeter {
 public:
  // Draws the nonce so that neither its bytes 0 and 8 nor the right answer's first byte can be taken for the
  // first byte of a TLS record. REQUIRES: secret not empty.
  static Result<Greeter> make(const Dialect&, const Secret&, const Random&);
  // The same with a nonce that is given (and not judged). REQUIRES: nonce.size() >= dialect.greeting_bytes(),
  // but for s, which has none.
  static Result<Greeter> with(const Dialect&, const Secret&, Bytes nonce);

  Bytes greeting() const noexcept { return Bytes(greeting_).first(dialect_.greeting_bytes()); }
  Arrival judge(Bytes first) const;
  const Key& key() const noexcept { return key_; }
  const Dialect& dialect() const noexcept { return dialect_; }

 private:
  Greeter(const Dialect& dialect, Secret secret) : dialect_(dialect), secret_(std::move(secret)) {}
  Arrival judge_answer(Bytes first) const;
  Arrival judge_command(Bytes first) const;
  std::string guess(Bytes first) const;

  Dialect dialect_;
  Secret secret_;
  std::array<std::byte, 16> greeting_{};
  Key key_{};
};

// Whose key this is, where an old client made it from this nonce: of all builds that ever spoke handshake l.
// The family cannot be told from a key. `key_start`: its first bytes, at least four.
std::optional<Build> build_behind(Bytes key_start, Bytes nonce);

// The client's half.
struct Reply {
  Key key{};
  std::vector<std::byte> bytes;  // to send before the first request; may be empty
};
// Errc::unauthorized: the greeting is not what our build and secret make of it (handshake s only).
// REQUIRES: greeting.size() == dialect.greeting_bytes().
Result<Reply> answer_greeting(const Dialect&, const Secret&, Bytes greeting);

}  // namespace smalti::wire::magick
