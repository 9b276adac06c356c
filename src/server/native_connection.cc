#include "server/native_connection.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace smalti::server {

namespace {

namespace native = wire::native;

// The slowest that a peer may be before it counts as stalled.
constexpr std::uint64_t slowest_bytes_a_second = 128u << 10;
constexpr std::size_t write_bytes = 512u << 10;         // written under one deadline
constexpr std::uint64_t turn_bytes = 256u << 10;        // copied before others get their turn
constexpr std::chrono::milliseconds goodbye_time{200};  // for the last words to a peer that may not read

// Takes about write_bytes off the front of `left`.
std::vector<net::Bytes> front(std::span<net::Bytes>& left) {
  std::vector<net::Bytes> out;
  for (std::size_t room = write_bytes; room > 0 && !left.empty();) {
    net::Bytes& part = left.front();
    const std::size_t taken = std::min(room, part.size());
    out.push_back(part.first(taken));
    part = part.subspan(taken);
    room -= taken;
    if (part.empty()) left = left.subspan(1);
  }
  return out;
}

}  // namespace

NativeConnection::NativeConnection(net::Loop& loop, net::Tasks& tasks, Budget& server,
                                   std::unique_ptr<net::SecureStream> stream, ConnectionOptions options)
    : changed(loop.executor()),
      tasks_(tasks),
      server_budget_(server),
      own_budget_(loop.executor(), options.in_flight_bytes),
      options_(options),
      secure_(stream.get()) {
  stream_ = std::move(stream);
  server_budget_.watch(this, [this](Budget::Patience patience) { press(patience); });
}

// Others wait for room, and this one holds some without using it.
void NativeConnection::press(Budget::Patience patience) {
  if ((flushing_ || filling_) && Clock::now() - progress_ > patience) close();
}

Clock::time_point NativeConnection::stall_for(std::uint64_t bytes) const {
  return Clock::now() + options_.stall + std::chrono::seconds(bytes / slowest_bytes_a_second);
}

net::Task<native::Frame> NativeConnection::next(Clock::time_point deadline) {
  while (true) {
    auto frame = decoder_.next();
    if (!frame) co_return pass(std::move(frame.error()));
    if (*frame) co_return std::move(**frame);
    const bool begun = decoder_.buffered() > 0;
    if (begun) deadline = std::min(deadline, stall_for(native::most_head_bytes));
    const auto space = decoder_.space();
    auto got = co_await stream_->read_some(space, deadline);
    if (!got) co_return pass(std::move(got.error()));
    if (*got == 0 && begun) co_return fail(Errc::corrupt, "the connection ended within a frame");
    if (*got == 0) co_return fail(Errc::unavailable, "the client has gone");
    decoder_.filled(*got);
  }
}

net::Task<void> NativeConnection::fill(std::span<std::byte> into, Clock::time_point deadline, wire::RunningSum* sum) {
  progress_ = Clock::now();
  filling_ = !into.empty();
  while (!into.empty()) {
    auto got = co_await stream_->read_some(into, deadline, into.size());
    filling_ = got && *got < into.size();
    progress_ = Clock::now();
    if (!got) co_return pass(std::move(got.error()));
    if (*got == 0) co_return fail(Errc::corrupt, "the connection ended within a payload");
    if (sum) sum->add(into.first(*got));
    into = into.subspan(*got);
  }
  co_return Result<void>();
}

net::Task<void> NativeConnection::payload(std::span<std::byte> into, wire::RunningSum* sum) {
  const auto rest = decoder_.claim(into);
  if (sum) sum->add(into.first(into.size() - rest.size()));
  if (rest.empty()) co_return Result<void>();
  const auto deadline = stall_for(rest.size());
  co_return co_await fill(rest, deadline, sum);
}

net::Task<void> NativeConnection::skip(std::uint32_t bytes) {
  std::vector<std::byte> nowhere(std::min<std::uint32_t>(bytes, 64u << 10));
  const auto deadline = stall_for(bytes);
  while (bytes > 0) {
    const auto into = std::span(nowhere).first(std::min<std::size_t>(bytes, nowhere.size()));
    bytes -= static_cast<std::uint32_t>(into.size());
    const auto rest = decoder_.claim(into);
    auto filled = co_await fill(rest, deadline, nullptr);
    if (!filled) co_return pass(std::move(filled.error()));
  }
  co_return Result<void>();
}

void NativeConnection::send(const native::Meta& request, const native::Message& message,
                            std::vector<Tile> payloads, Shares shares) {
  if (closed_) return;
  const native::Meta meta{request.request, request.trace, 0};
  outbox_.push_back({native::encode(meta, message), std::move(payloads), std::move(shares)});
  queued_bytes_ += outbox_.back().head.size();
  if (flushing_) return;
  flushing_ = true;
  progress_ = Clock::now();
  tasks_.spawn(flush(shared_from_this()));
}

asio::awaitable<void> NativeConnection::flush(std::shared_ptr<NativeConnection> self) {
  while (!self->outbox_.empty() && !self->closed_) {
    const std::vector<Outgoing> sending = std::exchange(self->outbox_, {});
    std::vector<net::Bytes> parts;
    for (const Outgoing& one : sending) {
      parts.emplace_back(one.head);
      for (const Tile& tile : one.payloads) parts.push_back(tile.bytes());
    }
    std::span<net::Bytes> left(parts);
    while (!left.empty() && !self->closed_) {
      const std::vector<net::Bytes> now = front(left);
      const std::span<const net::Bytes> gathered(now);
      const auto deadline = self->stall_for(write_bytes);
      const auto written = co_await self->stream_->write(gathered, deadline);
      if (!written) self->close();
      self->progress_ = Clock::now();
    }
    for (const Outgoing& one : sending) self->queued_bytes_ -= one.head.size();
    self->changed.notify();
  }
  self->flushing_ = false;
  self->changed.notify();
}

asio::awaitable<void> NativeConnection::flushed() {
  while (flushing_ && !closed_) co_await changed.wait();
}

void NativeConnection::close() {
  if (closed_) return;
  closed_ = true;
  stop_.request_stop();
  stream_->close();
  outbox_.clear();
  changed.notify();
}

void NativeConnection::hang_up() {
  native::Goodbye goodbye;
  goodbye.text = "the server closes";
  send({}, goodbye);
  tasks_.spawn(part(shared_from_this()));
}

asio::awaitable<void> NativeConnection::part(std::shared_ptr<NativeConnection> self) {
  const auto soon = Clock::now() + goodbye_time;
  while (self->flushing_ && !self->closed_ && Clock::now() < soon) co_await self->changed.wait(soon);
  self->close();
}

net::Task<void> NativeConnection::leave_tls(Clock::time_point deadline) {
  if (decoder_.buffered() > 0) co_return fail(Errc::corrupt, "bytes behind a hello that asks to leave TLS");
  auto plain = co_await secure_->plain(deadline);
  if (!plain) co_return pass(std::move(plain.error()));
  stream_ = std::move(*plain);
  secure_ = nullptr;
  co_return Result<void>();
}

std::optional<std::span<std::byte>> NativeConnection::shared_part(std::uint32_t at, std::uint64_t bytes) const noexcept {
  return shared_ ? shared_->at(at, bytes) : std::nullopt;
}

bool NativeConnection::owes_a_turn() noexcept {
  if (copied_ < turn_bytes) return false;
  copied_ = 0;
  return true;
}

bool NativeConnection::try_take(std::uint64_t bytes, Shares& into) {
  if (own_budget_.try_take(bytes, into.own) && server_budget_.try_take(bytes, into.server)) return true;
  const Budget::Share back = std::move(into.own);
  return false;
}

asio::awaitable<Shares> NativeConnection::take(std::uint64_t bytes) {
  Shares shares;
  shares.own = co_await own_budget_.take(bytes);
  shares.server = co_await server_budget_.take(bytes);
  co_return shares;
}

}  // namespace smalti::server
