// What a SecureStream holds: OpenSSL's view of a connection, fed from and drained to a non-blocking descriptor.
// Only net/ sees it.
#pragma once

#include <openssl/ssl.h>

#include <array>
#include <vector>

#include "net/tls.h"

namespace smalti::net {

struct Freed {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};

enum class Role : std::uint8_t { client, server };

// Records to be sent gather in `out`, so that one system call sends many; `flush` sends them. Reading goes straight
// from the descriptor into OpenSSL's buffer.
struct SecureStream::Session {
  static Result<std::unique_ptr<Session>> make(std::unique_ptr<TcpStream>, Psk, Role, std::uint64_t rekey_bytes);
  ~Session();

  Task<void> handshake(Clock::time_point deadline);
  Task<void> flush(Clock::time_point deadline);
  // Encrypts all of it into `out`.
  Result<void> seal(Bytes plain);
  // Sends what can be sent without waiting: for the last words of a connection.
  void try_flush() noexcept;
  // What the failure of OpenSSL's last call means. Empties its error queue.
  tl::unexpected<Error> failure(int result);
  tl::unexpected<Error> handshake_failure(int result);

  std::unique_ptr<TcpStream> tcp;
  const Psk psk;
  const Role role;
  const std::uint64_t rekey_bytes;
  std::unique_ptr<SSL_CTX, Freed> context;
  std::unique_ptr<SSL, Freed> ssl;

  std::string peer;                // for messages
  std::vector<std::byte> out;      // sealed records; a read may add some (an alert) while others are being sent
  std::vector<std::byte> sending;  // records on their way
  std::vector<std::byte> small;    // plain bytes that do not fill a record yet; empty between writes
  std::uint64_t sealed = 0;        // plain bytes since the last key
  std::uint64_t opened = 0;        // plain bytes ever
  bool hold_reads = false;         // a greeting is still to be skipped
  bool closed = false;
  int sys = 0;                     // errno of the descriptor's last failure
};

}  // namespace smalti::net
