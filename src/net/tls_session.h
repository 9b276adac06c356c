// What a SecureStream holds: a connection, its handshake, and then its records.
// Only net/ sees it.
#pragma once

#include <openssl/ssl.h>

#include <optional>
#include <string>
#include <vector>

#include "net/tls.h"
#include "net/tls_records.h"

namespace smalti::net {

struct Freed {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
  void operator()(SSL* ssl) const noexcept { SSL_free(ssl); }
};

enum class Role : std::uint8_t { client, server };

// Bytes that gather to be sent. Its memory stays, and is not zeroed again.
class Gathered {
 public:
  // Room for so many more bytes, behind those that are there.
  std::byte* room(std::size_t more) {
    if (used_ + more > memory_.size()) memory_.resize(used_ + more);
    return memory_.data() + used_;
  }
  void took(std::size_t more) noexcept { used_ += more; }
  void clear() noexcept { used_ = 0; }
  Bytes bytes() const noexcept { return {memory_.data(), used_}; }

 private:
  std::vector<std::byte> memory_;
  std::size_t used_ = 0;
};

// OpenSSL makes the handshake; records are sealed and opened here (tls_records.h). Those to be sent gather in `out`, so
// that one system call sends many; `flush` sends them.
struct SecureStream::Session {
  static Result<std::unique_ptr<Session>> make(std::unique_ptr<TcpStream>, Psk, Role, std::uint64_t rekey_bytes);
  Session(std::unique_ptr<TcpStream>, Psk, Role, std::uint64_t rekey_bytes);
  ~Session();

  Task<void> handshake(Clock::time_point deadline);
  Task<void> flush(Clock::time_point deadline);
  // Seals one record into `out`, of at most record_plain bytes.
  Result<void> seal(RecordKind, std::span<const Bytes> plain);
  // The announcement that our side ends.
  Result<void> seal_end();
  // Sends what can be sent without waiting: for the last words of a connection.
  void try_flush() noexcept;
  // What there is of content, spilt or in whole records, moves to `into`; how much. 0 at the `ended`, or where there is
  // no whole record.
  Result<std::size_t> open_into(std::span<std::byte> into);
  // Receives some more of what is sealed. `sure`: so many bytes of content are certain to come.
  Task<void> fill(Clock::time_point deadline, std::size_t sure);
  // What the failure of OpenSSL's last call means. Empties its error queue.
  tl::unexpected<Error> failure(int result);
  tl::unexpected<Error> handshake_failure(int result);

  std::unique_ptr<TcpStream> tcp;
  const Psk psk;
  const Role role;
  const std::uint64_t rekey_bytes;
  std::unique_ptr<SSL_CTX, Freed> context;  // until the handshake is over, as below
  std::unique_ptr<SSL, Freed> ssl;
  TrafficSecret of_client{}, of_server{};   // wiped behind it
  bool hold_reads = false;                  // a greeting is still to be skipped
  int sys = 0;                              // errno of the descriptor's last failure

  const std::string peer;      // for messages
  RecordKeys sealing{RecordKeys::For::sealing}, opening{RecordKeys::For::opening};
  Gathered out;                // sealed records
  Gathered sending;            // records on their way
  std::uint64_t sealed = 0;    // plain bytes since the last key
  bool renewal_owed = false;   // the peer wants us to use the next key
  bool closed = false;

  std::vector<std::byte> in;   // received; records begin at in_begin
  std::size_t in_begin = 0, in_end = 0;
  std::vector<std::byte> spilt;  // content that its reader had no room for
  std::size_t spilt_begin = 0, spilt_end = 0;
  std::uint64_t opened = 0;    // plain bytes ever
  bool ended = false;          // the peer has announced the end of its side
  std::optional<Error> broken;  // nothing more can be read

 private:
  Result<void> renew_where_due();
  std::size_t take_spilt(std::span<std::byte> into) noexcept;
  Result<std::size_t> open_one(Bytes record, std::span<std::byte> into);
  Result<void> heed(RecordKind, Bytes content);
  Bytes received() const noexcept { return Bytes(in).subspan(in_begin, in_end - in_begin); }
  Result<void> agree_on_keys();
};

}  // namespace smalti::net
