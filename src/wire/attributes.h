// Attributes: what two peers must agree upon before a pixel moves, since pixels travel as they lie in memory.
#pragma once

#include <bit>
#include <cstdint>
#include <string>

namespace smalti::wire {

// A value. The sixth attribute, the passphrase, is proved by the TLS handshake and never compared here.
struct Attributes {
  std::uint32_t interface = 1;       // of this protocol's messages: doc/wire-native.md
  std::uint32_t quantum_depth = 16;  // bits
  bool hdri = false;
  std::uint32_t word_bytes = sizeof(void*);
  bool little_endian = std::endian::native == std::endian::little;  // order of the bytes of a stored sample
  bool operator==(const Attributes&) const = default;
};

// Names each attribute that differs, with both values: "quantum depth 16 here, 8 there; HDRI on here, off
// there". Empty: compatible.
std::string differences(const Attributes& here, const Attributes& there);

}  // namespace smalti::wire
