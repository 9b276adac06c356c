// Psk: the key that a passphrase gives to both ends of a connection.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "smalti/base/result.h"
#include "smalti/base/secret.h"

namespace smalti::net {

inline constexpr std::size_t psk_bytes = 32;

// A value; copies share one key, which is derived (some 90 ms) when it is first asked for, once, and wiped when the
// last copy dies. Thread-safe. Where a passphrase must be tried against many keys, scrypt is what makes it dear; both
// sides must use the same parameters, so they are part of the protocol (doc/wire-native.md).
class Psk {
 public:
  explicit Psk(Secret);

  // Fails with invalid for an empty passphrase. The bytes live as long as any copy.
  Result<std::span<const std::byte, psk_bytes>> key() const;

 private:
  struct Derived;
  std::shared_ptr<Derived> derived_;
};

}  // namespace smalti::net
