// The record layer of TLS 1.3 (RFC 8446, section 5) under the secrets of a finished handshake. Records are sealed from
// the caller's memory and opened into it; OpenSSL's own layer copies twice more on either side. Only net/ sees it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "net/record_cipher.h"
#include "net/stream.h"

namespace smalti::net {

inline constexpr std::size_t record_plain = 16384;  // bytes in a full record
inline constexpr std::size_t record_header = 5;
inline constexpr std::size_t record_tag = cipher_tag;
inline constexpr std::size_t record_frame = record_header + 1 + record_tag;        // around the plain bytes
inline constexpr std::size_t most_record = record_header + record_plain + 256;  // bytes of a sealed record

enum class RecordKind : std::uint8_t { alert = 21, handshake = 22, data = 23 };

using TrafficSecret = std::array<unsigned char, 32>;  // of SHA-256

// The size of the record that begins here, header included; 0 while too little of it is there to know. Errc::corrupt
// where it is none of a protected connection.
Result<std::size_t> record_size(Bytes begun);

// The keys of one direction, and how many records went under them. Wiped when it dies. One thread at a time.
class RecordKeys {
 public:
  using For = RecordCipher::For;
  using Maker = std::unique_ptr<RecordCipher> (*)(const CipherKey&, For);
  explicit RecordKeys(For use, Maker cipher = fastest_cipher) : use_(use), make_(cipher) {}
  ~RecordKeys();
  RecordKeys(const RecordKeys&) = delete;
  RecordKeys& operator=(const RecordKeys&) = delete;

  // The keys that follow from this secret, and, renewed, from the next one. False where they cannot be made.
  bool set(const TrafficSecret&);
  bool renew();

  // One record of all the parts together. REQUIRES: no more than record_plain bytes; `into` holds record_frame more.
  bool seal(RecordKind, std::span<const Bytes> parts, std::byte* into);

  struct Opened {
    RecordKind kind;
    std::size_t bytes;  // of content, without padding
  };
  // The content of one whole record; nothing where it was forged or spoilt (then `into` holds rubbish).
  // REQUIRES: record_size(record) == record.size(); `into` holds record.size() - record_frame bytes.
  std::optional<Opened> open(Bytes record, std::byte* into);

 private:
  Nonce next_nonce() noexcept;

  const For use_;
  const Maker make_;
  TrafficSecret secret_{};
  Nonce iv_{};
  std::uint64_t number_ = 0;  // of the next record
  std::unique_ptr<RecordCipher> cipher_;
};

}  // namespace smalti::net
