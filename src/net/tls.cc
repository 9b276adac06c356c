#include "net/tls.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "net/tls_session.h"

namespace smalti::net {

namespace {

constexpr std::size_t batch = 8 * record_plain;  // bytes sealed before they are sent

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
    auto got = session.open_into(into);
    if (!got) co_return pass(std::move(got.error()));
    if (*got > 0 || session.ended) co_return *got;
    auto filled = co_await session.fill(deadline, sure);
    if (!filled) co_return pass(std::move(filled.error()));
  }
}

namespace {

// One record's worth off the front of `parts`, of which the first has `skip` bytes behind it.
std::vector<Bytes> front(std::span<const Bytes>& parts, std::size_t& skip) {
  std::vector<Bytes> out;
  for (std::size_t room = record_plain; room > 0 && !parts.empty();) {
    const Bytes left = parts.front().subspan(skip);
    const Bytes taken = left.first(std::min(room, left.size()));
    if (!taken.empty()) out.push_back(taken);
    room -= taken.size();
    skip += taken.size();
    if (taken.size() < left.size()) continue;
    parts = parts.subspan(1);
    skip = 0;
  }
  return out;
}

}  // namespace

Task<void> SecureStream::write(std::span<const Bytes> parts, Clock::time_point deadline) {
  Session& session = *session_;
  std::size_t skip = 0;
  while (true) {
    const std::vector<Bytes> plain = front(parts, skip);
    if (plain.empty()) break;
    auto sealed = session.seal(RecordKind::data, plain);
    if (!sealed) co_return pass(std::move(sealed.error()));
    if (session.out.bytes().size() < batch) continue;
    auto sent = co_await session.flush(deadline);
    if (!sent) co_return pass(std::move(sent.error()));
  }
  co_return co_await session.flush(deadline);
}

void SecureStream::close() noexcept {
  if (!session_ || session_->closed) return;
  if (session_->seal_end()) session_->try_flush();
  session_->closed = true;
  if (session_->tcp) session_->tcp->close();
}

std::string SecureStream::peer() const { return session_->peer; }

Task<std::unique_ptr<TcpStream>> SecureStream::plain(Clock::time_point deadline) {
  Session& session = *session_;
  if (session.opened > plain_within)
    co_return fail(Errc::internal, peer() + ": too late to end encryption");
  auto sealed = session.seal_end();
  if (!sealed) co_return pass(std::move(sealed.error()));
  auto sent = co_await session.flush(deadline);
  if (!sent) co_return pass(std::move(sent.error()));
  std::array<std::byte, 1> unread;
  const std::span<std::byte> any(unread);
  while (true) {
    auto got = session.open_into(any);
    if (!got) co_return pass(std::move(got.error()));
    if (*got > 0) co_return fail(Errc::corrupt, peer() + ": bytes where encryption was to end");
    if (session.ended) break;
    auto filled = co_await session.fill(deadline, 1);
    if (!filled) co_return pass(std::move(filled.error()));
  }
  session.closed = true;
  co_return std::move(session.tcp);
}

}  // namespace smalti::net
