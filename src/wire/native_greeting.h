// How one port serves two kinds of client: the server speaks first, in a way that both understand.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

namespace smalti::wire {

inline constexpr std::byte tls_record{0x16};  // first byte of a TLS handshake, which a native client sends at once

// The nonce that ImageMagick's clients wait for. A native client skips it.
enum class Greeting : unsigned char { n16, n8, none };

constexpr std::size_t greeting_bytes(Greeting greeting) noexcept {
  return greeting == Greeting::n16 ? 16 : greeting == Greeting::n8 ? 8 : 0;
}

// Random, from the operating system, except that bytes 0 and 8 are never 0x16.
std::vector<std::byte> draw_greeting(Greeting);

// For the client: where in the server's first bytes TLS begins. nullopt: more bytes are needed (17 always suffice).
std::optional<std::size_t> tls_begins(std::span<const std::byte> from_server) noexcept;

}  // namespace smalti::wire
