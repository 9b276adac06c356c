#include "net/sim_pipe.h"

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <deque>
#include <random>

#include "net/loop.h"

namespace smalti::net {

namespace {

struct Packet {
  std::vector<std::byte> bytes;
  Clock::time_point arrives;
};

// One direction. Both ends look again whenever `changed` is cancelled.
struct Lane {
  explicit Lane(const asio::any_io_executor& executor) : reader(executor), writer(executor) {}
  std::deque<Packet> packets;
  std::size_t taken = 0;     // of the first packet
  std::size_t on_the_way = 0;
  bool ended = false;        // by its writer
  asio::steady_timer reader; // woken when something changes
  asio::steady_timer writer;
};

struct Pipe {
  Pipe(const asio::any_io_executor& executor, const SimOptions& o)
      : options(o), random(o.seed), left(o.cut_after), lanes{Lane(executor), Lane(executor)} {}

  void wake() {
    for (Lane& lane : lanes) {
      lane.reader.cancel();
      lane.writer.cancel();
    }
  }

  const SimOptions options;
  std::mt19937_64 random;
  std::uint64_t left;  // bytes until the cut
  std::array<Lane, 2> lanes;
  bool lost = false;
  std::array<bool, 2> closed{};
};

asio::awaitable<void> nap(asio::steady_timer* timer, Clock::time_point until) {
  timer->expires_at(until);
  asio::error_code ignored;
  auto token = asio::redirect_error(asio::use_awaitable, ignored);
  co_await timer->async_wait(token);
}

class End final : public Stream {
 public:
  End(std::shared_ptr<Pipe> pipe, std::size_t side) : pipe_(std::move(pipe)), side_(side) {}
  ~End() override { close(); }

  Task<std::size_t> read_some(std::span<std::byte> into, Clock::time_point deadline, std::size_t) override {
    const std::shared_ptr<Pipe> pipe = pipe_;
    Lane& lane = pipe->lanes[1 - side_];
    while (true) {
      const auto now = Clock::now();
      if (pipe->closed[side_]) co_return fail(Errc::cancelled, "sim: the connection was closed");
      if (!lane.packets.empty() && lane.packets.front().arrives <= now) co_return take(*pipe, lane, into);
      if (lane.packets.empty() && lane.ended) co_return std::size_t{0};
      if (lane.packets.empty() && pipe->lost) co_return fail(Errc::unavailable, "sim: the connection is lost");
      if (now >= deadline) co_return fail(Errc::timeout, "sim: no answer in time");
      const auto until = lane.packets.empty() ? deadline : std::min(deadline, lane.packets.front().arrives);
      co_await nap(&lane.reader, until);
    }
  }

  Task<void> write(std::span<const Bytes> parts, Clock::time_point deadline) override {
    const std::shared_ptr<Pipe> pipe = pipe_;
    Lane& lane = pipe->lanes[side_];
    for (Bytes part : parts) {
      while (!part.empty()) {
        if (pipe->closed[side_]) co_return fail(Errc::cancelled, "sim: the connection was closed");
        if (pipe->lost || pipe->closed[1 - side_]) co_return fail(Errc::unavailable, "sim: the connection is lost");
        if (lane.on_the_way < pipe->options.window) {
          part = part.subspan(send(*pipe, lane, part));
        } else if (Clock::now() >= deadline) {
          co_return fail(Errc::timeout, "sim: no progress in time");
        } else {
          co_await nap(&lane.writer, deadline);
        }
      }
    }
    co_return Result<void>();
  }

  void close() noexcept override {
    if (pipe_->closed[side_]) return;
    pipe_->closed[side_] = true;
    pipe_->lanes[side_].ended = true;
    pipe_->wake();
  }

  std::string peer() const override { return side_ == 0 ? "sim:server" : "sim:client"; }

 private:
  std::size_t send(Pipe& pipe, Lane& lane, Bytes part) {
    const std::size_t room = pipe.options.window - lane.on_the_way;
    const std::size_t size = std::min({part.size(), room, static_cast<std::size_t>(std::min<std::uint64_t>(pipe.left, room))});
    pipe.left -= size;
    if (size > 0) {
      const auto most = pipe.options.most_delay.count();
      auto arrives = Clock::now() + std::chrono::microseconds(most > 0 ? pipe.random() % (most + 1) : 0);
      if (!lane.packets.empty()) arrives = std::max(arrives, lane.packets.back().arrives);
      lane.packets.push_back({{part.begin(), part.begin() + static_cast<std::ptrdiff_t>(size)}, arrives});
      lane.on_the_way += size;
    }
    if (pipe.left == 0) pipe.lost = true;
    pipe.wake();
    return size;
  }

  static std::size_t take(Pipe& pipe, Lane& lane, std::span<std::byte> into) {
    Packet& packet = lane.packets.front();
    const std::size_t there = std::min(packet.bytes.size() - lane.taken, into.size());
    const std::size_t most = std::min(there, pipe.options.most_a_read);
    const std::size_t size = most == there && pipe.options.most_a_read >= packet.bytes.size()
                                 ? there
                                 : 1 + static_cast<std::size_t>(pipe.random() % most);
    std::copy_n(packet.bytes.begin() + static_cast<std::ptrdiff_t>(lane.taken), size, into.begin());
    lane.taken += size;
    lane.on_the_way -= size;
    if (lane.taken == packet.bytes.size()) {
      lane.packets.pop_front();
      lane.taken = 0;
    }
    pipe.wake();
    return size;
  }

  const std::shared_ptr<Pipe> pipe_;
  const std::size_t side_;
};

}  // namespace

std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> sim_pipe(Loop& loop, SimOptions options) {
  auto pipe = std::make_shared<Pipe>(loop.executor(), options);
  return {std::make_unique<End>(pipe, 0), std::make_unique<End>(pipe, 1)};
}

}  // namespace smalti::net
