#include "net/tls.h"

#include <fmt/format.h>
#include <openssl/err.h>

#include <algorithm>

#include "net/loop.h"
#include "net/tls_session.h"

namespace smalti::net {

namespace {

constexpr std::size_t record = SSL3_RT_MAX_PLAIN_LENGTH;  // plain bytes in a full record
constexpr std::size_t batch = 8 * record;                 // plain bytes sealed before they are sent

Task<std::unique_ptr<SecureStream>> secure(std::unique_ptr<TcpStream> tcp, Psk psk, Role role,
                                           Clock::time_point deadline, std::uint64_t rekey_bytes) {
  auto session = SecureStream::Session::make(std::move(tcp), std::move(psk), role, rekey_bytes);
  if (!session) co_return pass(std::move(session.error()));
  auto done = co_await (*session)->handshake(deadline);
  if (!done) co_return pass(std::move(done.error()));
  co_return std::make_unique<SecureStream>(std::move(*session));
}

}  // namespace

Task<std::unique_ptr<SecureStream>> secure_client(std::unique_ptr<TcpStream> tcp, Psk psk, Clock::time_point deadline,
                                                  std::uint64_t rekey_bytes) {
  return secure(std::move(tcp), std::move(psk), Role::client, deadline, rekey_bytes);
}

Task<std::unique_ptr<SecureStream>> secure_server(std::unique_ptr<TcpStream> tcp, Psk psk, Clock::time_point deadline,
                                                  std::uint64_t rekey_bytes) {
  return secure(std::move(tcp), std::move(psk), Role::server, deadline, rekey_bytes);
}

SecureStream::SecureStream(std::unique_ptr<Session> session) : session_(std::move(session)) {}
SecureStream::~SecureStream() = default;  // an end that was not announced, unless close() was called

Task<std::size_t> SecureStream::read_some(std::span<std::byte> into, Clock::time_point deadline, std::size_t sure) {
  Session& session = *session_;
  while (true) {
    std::size_t total = 0;
    int result = 1;
    ERR_clear_error();
    while (total < into.size() && result == 1) {
      if (session.closed) co_return fail(Errc::cancelled, peer() + ": the connection was closed");
      std::size_t got = 0;
      result = SSL_read_ex(session.ssl.get(), into.data() + total, into.size() - total, &got);
      total += got;
    }
    if (total > 0) {
      // Before that, plain() may still be asked for, and bytes beyond the last record are not ours to read.
      if (session.opened <= plain_within && session.opened + total > plain_within)
        SSL_set_read_ahead(session.ssl.get(), 1);
      session.opened += total;
      if (session.tcp->owes_a_turn(total)) co_await yield();
      co_return total;
    }
    const int state = SSL_get_error(session.ssl.get(), result);
    if (state == SSL_ERROR_ZERO_RETURN) co_return std::size_t{0};
    if (state != SSL_ERROR_WANT_READ) co_return session.failure(result);
    // OpenSSL holds what there is of a record, less than a whole one.
    auto waited = co_await session.tcp->readable(deadline, sure > 2 * record ? sure - record : 1);
    if (!waited) co_return pass(std::move(waited.error()));
  }
}

namespace {

// Moves bytes from the front of `part` into records; small pieces share one.
Result<void> seal_front(SecureStream::Session& session, Bytes& part) {
  if (session.small.empty() && part.size() >= record) {
    const std::size_t size = std::min(part.size() / record * record, batch);
    SMALTI_CHECK(session.seal(part.first(size)));
    part = part.subspan(size);
    return {};
  }
  const std::size_t size = std::min(part.size(), record - session.small.size());
  session.small.insert(session.small.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(size));
  part = part.subspan(size);
  if (session.small.size() < record) return {};
  auto sealed = session.seal(session.small);
  session.small.clear();
  return sealed;
}

}  // namespace

Task<void> SecureStream::write(std::span<const Bytes> parts, Clock::time_point deadline) {
  Session& session = *session_;
  session.small.clear();
  for (Bytes part : parts) {
    while (!part.empty()) {
      auto sealed = seal_front(session, part);
      if (!sealed) co_return pass(std::move(sealed.error()));
      if (session.out.size() < batch) continue;
      auto sent = co_await session.flush(deadline);
      if (!sent) co_return pass(std::move(sent.error()));
    }
  }
  if (!session.small.empty()) {
    auto sealed = session.seal(session.small);
    session.small.clear();
    if (!sealed) co_return pass(std::move(sealed.error()));
  }
  co_return co_await session.flush(deadline);
}

void SecureStream::close() noexcept {
  if (!session_ || session_->closed) return;
  ERR_clear_error();
  if (SSL_shutdown(session_->ssl.get()) >= 0) session_->try_flush();
  ERR_clear_error();
  session_->closed = true;
  if (session_->tcp) session_->tcp->close();
}

std::string SecureStream::peer() const { return session_->peer; }

Task<std::unique_ptr<TcpStream>> SecureStream::plain(Clock::time_point deadline) {
  Session& session = *session_;
  if (session.opened > plain_within)
    co_return fail(Errc::internal, peer() + ": too late to end encryption");
  ERR_clear_error();
  if (SSL_shutdown(session.ssl.get()) < 0) co_return session.failure(-1);
  auto sent = co_await session.flush(deadline);
  if (!sent) co_return pass(std::move(sent.error()));
  while (true) {
    std::byte unread{};
    std::size_t got = 0;
    ERR_clear_error();
    const int result = SSL_read_ex(session.ssl.get(), &unread, 1, &got);
    if (result == 1) co_return fail(Errc::corrupt, peer() + ": bytes where encryption was to end");
    const int state = SSL_get_error(session.ssl.get(), result);
    if (state == SSL_ERROR_ZERO_RETURN) break;
    if (state != SSL_ERROR_WANT_READ) co_return session.failure(result);
    auto waited = co_await session.tcp->readable(deadline);
    if (!waited) co_return pass(std::move(waited.error()));
  }
  session.closed = true;
  co_return std::move(session.tcp);
}

}  // namespace smalti::net
