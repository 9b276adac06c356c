// TLS 1.3 with the passphrase as an external pre-shared key: encryption, mutual authentication and forward secrecy,
// with nothing to set up but the secret.
#pragma once

#include <cstdint>
#include <memory>

#include "net/psk.h"
#include "net/tcp.h"

namespace smalti::net {

// Lives on its TcpStream's loop. The end of the peer's side is only believed when it was announced: a connection that
// is cut reads as Errc::unavailable, not as an end.
class SecureStream final : public Stream {
 public:
  struct Session;
  explicit SecureStream(std::unique_ptr<Session>);
  ~SecureStream() override;

  Task<std::size_t> read_some(std::span<std::byte> into, Clock::time_point deadline, std::size_t sure = 1) override;
  Task<void> write(std::span<const Bytes> parts, Clock::time_point deadline) override;
  void close() noexcept override;
  std::string peer() const override;

  // Both ends call it at the same point of the conversation, within its first `plain_within` bytes read: encryption
  // ends both ways, and what follows is plain, on the same socket. Bytes that the peer sent and nobody read are an
  // error. *this is spent afterwards.
  Task<std::unique_ptr<TcpStream>> plain(Clock::time_point deadline);
  static constexpr std::uint64_t plain_within = 64u << 10;

 private:
  std::unique_ptr<Session> session_;
};

// The two ends of a handshake. A passphrase that differs is Errc::unauthorized, "authentication failed", on both.
// The client skips the greeting of 0, 8 or 16 bytes before the server's first record. The server is called once the
// peer's first byte has been seen to be that of a TLS record.
inline constexpr std::byte tls_record{0x16};
// Keys are renewed after so many bytes in one direction, well below what AES-GCM may safely encrypt with one key.
inline constexpr std::uint64_t rekey_after = std::uint64_t{64} << 30;

Task<std::unique_ptr<SecureStream>> secure_client(std::unique_ptr<TcpStream>, Psk, Clock::time_point deadline,
                                                  std::uint64_t rekey_bytes = rekey_after);
Task<std::unique_ptr<SecureStream>> secure_server(std::unique_ptr<TcpStream>, Psk, Clock::time_point deadline,
                                                  std::uint64_t rekey_bytes = rekey_after);

}  // namespace smalti::net
