// How ImageMagick's peers prove that they belong together: a keyed hash of a nonce (new), or a checksum over the
// build and the secret or a nonce (old). Pure; values only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "smalti/base/result.h"
#include "smalti/base/secret.h"

namespace smalti::wire::magick {

// n16, n8: the client answers a random nonce of so many bytes with its SipHash under a key made from the secret.
// s: the server sends a checksum of build and secret, and that is the key. l: the key is a checksum of build and nonce.
// s and l prove nothing about the client: whoever connects is handed all it takes.
enum class Handshake : std::uint8_t { n16, n8, s, l };

// The generation of the library: they differ in the open request and in what `R` and `W` carry.
enum class Family : std::uint8_t { im6, im7 };

// What an old client's checksum is made over, besides the secret or the nonce.
struct Build {
  Family family = Family::im7;
  std::uint32_t depth = 16;  // bits of a quantum: 8, 16, 32 or 64
  bool hdri = false;
  std::uint32_t interface = 10;  // the library's interface number
  bool wide_masks = false;       // channel masks of 64 bits
  bool little_endian = true;
  auto operator<=>(const Build&) const = default;
};

// "ImageMagick 7 Q16-HDRI, interface 10"
std::string text_of(const Build&);

// Follows every command letter.
using Key = std::array<std::byte, 8>;
using Bytes = std::span<const std::byte>;

// The answer to a nonce, and from then on the key. Fails only where the system's library offers no SipHash.
Result<Key> answer_to(const Secret&, Bytes nonce);

// The key of the handshakes s (data: the secret's bytes) and l (data: the nonce): a CRC-32, extended with zeros.
Key signature(const Build&, Bytes data) noexcept;

// Constant time.
bool same(const Key&, const Key&) noexcept;

}  // namespace smalti::wire::magick
