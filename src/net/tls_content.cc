// A SecureStream's session once its handshake is over: content to records and back.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "net/tls_session.h"

namespace smalti::net {

namespace {

using Session = SecureStream::Session;

constexpr std::size_t read_ahead = 16 * most_record;  // bytes asked of the descriptor at once
constexpr std::byte close_notify{0};
// The one message that may come after a handshake: type, length of 24 bits, and whether the peer asks us to do the same.
constexpr std::array key_update{std::byte{24}, std::byte{0}, std::byte{0}, std::byte{1}, std::byte{0}};

Error broken_by(std::string_view what) {
  return {Errc::corrupt, fmt::format("the encrypted connection is broken: {}", what)};
}

}  // namespace

Result<void> Session::renew_where_due() {
  if (sealed < rekey_bytes && !renewal_owed) return {};
  const std::array<Bytes, 1> message{Bytes(key_update)};
  std::byte* const into = out.room(key_update.size() + record_frame);
  if (!sealing.seal(RecordKind::handshake, message, into) || !sealing.renew())
    return fail(Errc::internal, peer + ": keys could not be renewed");
  out.took(key_update.size() + record_frame);
  sealed = 0;
  renewal_owed = false;
  return {};
}

Result<void> Session::seal(RecordKind kind, std::span<const Bytes> plain) {
  if (closed) return fail(Errc::cancelled, peer + ": the connection was closed");
  SMALTI_CHECK(renew_where_due());
  std::size_t size = 0;
  for (const Bytes part : plain) size += part.size();
  if (!sealing.seal(kind, plain, out.room(size + record_frame)))
    return fail(Errc::internal, peer + ": a record could not be encrypted");
  out.took(size + record_frame);
  sealed += size;
  return {};
}

Result<void> Session::seal_end() {
  constexpr std::array warning{std::byte{1}, close_notify};
  const std::array<Bytes, 1> alert{Bytes(warning)};
  return seal(RecordKind::alert, alert);
}

std::size_t Session::take_spilt(std::span<std::byte> into) noexcept {
  const std::size_t bytes = std::min(into.size(), spilt_end - spilt_begin);
  if (bytes > 0) std::memcpy(into.data(), spilt.data() + spilt_begin, bytes);
  spilt_begin += bytes;
  return bytes;
}

// Straight to its place where that has room for all of it.
Result<std::size_t> Session::open_one(Bytes record, std::span<std::byte> into) {
  const bool fits = record.size() - record_frame <= into.size();
  if (!fits) spilt.resize(most_record);
  std::byte* const target = fits ? into.data() : spilt.data();
  const auto got = opening.open(record, target);
  if (!got) return pass(broken_by("a record was changed on its way"));
  if (got->bytes > record_plain) return pass(broken_by("a record is too long"));
  if (got->kind != RecordKind::data) {
    SMALTI_CHECK(heed(got->kind, {target, got->bytes}));
    return std::size_t{0};
  }
  if (fits) return got->bytes;
  spilt_begin = 0;
  spilt_end = got->bytes;
  return take_spilt(into);
}

// What is not content: the end, new keys, or complaints.
Result<void> Session::heed(RecordKind kind, Bytes content) {
  if (kind == RecordKind::alert && content.size() == 2) {
    ended = content[1] == close_notify;
    if (ended) return {};
    return pass(broken_by(fmt::format("the peer sends alert {}", std::to_integer<int>(content[1]))));
  }
  if (kind == RecordKind::handshake && content.size() == key_update.size() &&
      std::equal(key_update.begin(), key_update.end() - 1, content.begin()) && content.back() <= std::byte{1}) {
    renewal_owed = renewal_owed || content.back() == std::byte{1};
    if (opening.renew()) return {};
  }
  return pass(broken_by("a message that does not belong here"));
}

Result<std::size_t> Session::open_into(std::span<std::byte> into) {
  if (closed) return fail(Errc::cancelled, peer + ": the connection was closed");
  std::size_t total = take_spilt(into);
  while (total < into.size() && !ended && !broken) {
    const Bytes there = received();
    const auto size = record_size(there);
    if (size && (*size == 0 || *size > there.size())) break;
    auto got = size ? open_one(there.first(*size), into.subspan(total)) : Result<std::size_t>(pass(Error(size.error())));
    if (got) {
      in_begin += *size;
      total += *got;
    } else {
      broken = std::move(got.error());
    }
  }
  if (total == 0 && broken) return fail(broken->code, fmt::format("{}: {}", peer, broken->what));
  opened += total;
  return total;
}

// Bytes behind the end of encryption are not ours to receive; so while that may still come, a record at a time.
Task<void> Session::fill(Clock::time_point deadline, std::size_t sure) {
  const bool ahead = opened > plain_within;
  const std::size_t capacity = ahead ? read_ahead : most_record;
  if (in.size() < capacity) in.resize(capacity);
  if (in_begin > 0) {
    const Bytes rest = received();
    std::memmove(in.data(), rest.data(), rest.size());
    in_end = rest.size();
    in_begin = 0;
  }
  const auto size = record_size(received());
  if (!size) co_return pass(Error(size.error()));
  const std::size_t lacking = (*size == 0 ? record_header : *size) - in_end;
  const auto space = std::span(in).subspan(in_end, ahead ? capacity - in_end : lacking);
  const std::size_t certain = std::min(std::max(lacking, sure > in_end ? sure - in_end : 1), space.size());
  auto got = co_await tcp->read_some(space, deadline, certain);
  if (!got) co_return pass(std::move(got.error()));
  if (*got == 0) co_return fail(Errc::unavailable, peer + ": the connection is lost");
  in_end += *got;
  co_return Result<void>();
}

}  // namespace smalti::net
