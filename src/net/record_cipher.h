// AES-128-GCM as the records of TLS 1.3 use it, by one of two libraries: whichever is the faster here. Only
// net/tls_records sees it.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>

#include "net/stream.h"

namespace smalti::net {

inline constexpr std::size_t cipher_tag = 16;  // bytes behind what is sealed

using CipherKey = std::array<unsigned char, 16>;
using Nonce = std::array<unsigned char, 12>;

// One direction of one connection, under one key. One thread at a time.
class RecordCipher {
 public:
  enum class For : std::uint8_t { opening, sealing };

  virtual ~RecordCipher() = default;
  // The parts and the byte behind them, encrypted, then the tag, which also vouches for the header. False where the
  // library cannot. REQUIRES: made for sealing; `into` holds the parts, one byte more and the tag.
  virtual bool seal(const Nonce&, Bytes header, std::span<const Bytes> parts, std::byte last, std::byte* into) = 0;
  // The other way: the last byte; nothing where anything was changed (then `into` holds rubbish).
  // REQUIRES: made for opening; `sealed` is a byte and a tag at least; `into` holds what is before these.
  virtual std::optional<std::byte> open(const Nonce&, Bytes header, Bytes sealed, std::byte* into) = 0;
};

// OpenSSL's: everywhere. Null where it cannot.
std::unique_ptr<RecordCipher> openssl_cipher(const CipherKey&, RecordCipher::For);
// Intel's multi-buffer library: on processors that do AES and its hash in vectors of 512 bits, where OpenSSL 3.0 uses those
// of 128 and takes four times as long. Null elsewhere, and where Smalti was built without it.
std::unique_ptr<RecordCipher> vector_cipher(const CipherKey&, RecordCipher::For);
// The faster of those that are there.
std::unique_ptr<RecordCipher> fastest_cipher(const CipherKey&, RecordCipher::For);

}  // namespace smalti::net
