// Whether a server that owes an answer still lives. Its loop answers pings however busy its disks are, so that what
// tells a stalled server from a busy one is silence, not slowness.
#include <fmt/format.h>

#include <algorithm>

#include "client/connection.h"

namespace smalti::client {

using namespace wire::native;

namespace {

constexpr std::chrono::milliseconds look_every{25};
constexpr unsigned times_usual = 4;
constexpr unsigned decay_of = 256;  // of the usual silence, each time: halved in some four seconds

Clock::rep ticks(Clock::time_point at) { return at.time_since_epoch().count(); }

}  // namespace

bool Link::owed() const noexcept {
  if (!queue_.empty()) return true;
  return std::any_of(connections_.begin(), connections_.end(), [](const auto& c) { return !c->sent.empty(); });
}

Clock::duration Link::silence() const noexcept {
  const Clock::rep since = quiet_since_;
  return since == 0 ? Clock::duration::zero() : Clock::now() - Clock::time_point(Clock::duration(since));
}

Clock::duration Link::stall_after() const noexcept {
  const Clock::duration usual = usual_silence();
  const auto bounded = std::clamp<Clock::duration>(usual * times_usual, options_.stall_floor, options_.stall_cap);
  return std::max(bounded, usual * 2);
}

// A byte came.
void Link::heard(Connection& connection) {
  // A stall teaches little at a time: one is an accident, many are how this server, or the way to it, is.
  longest_ = std::max(longest_, stalled_ ? std::min(silence(), usual_silence() * 2) : silence());
  connection.pinged = false;
  stalled_ = false;
  if (quiet_since_ != 0) quiet_since_ = ticks(Clock::now());
}

void Link::ping(const ConnectionPtr& connection) {
  if (connection->pinged) return;
  connection->pinged = true;
  auto ping = std::make_shared<Request>();
  ping->message = Ping{};
  connection->pings.push_back(std::move(ping));
  connection->wake.cancel();
  if (quiet_since_ == 0) quiet_since_ = ticks(Clock::now());
  if (!watch_ || looking_out_) return;
  looking_out_ = true;
  tasks_.spawn(look_out());
}

void Link::tell(LinkEvent::Kind kind, Error why) {
  if (!shut_ && options_.told) options_.told({kind, std::move(why)});
}

// What its callers have put elsewhere meanwhile, and is still to be sent, need not keep its pixels.
void Link::drop_abandoned() {
  const auto waiting = std::exchange(queue_, {});
  for (const RequestPtr& request : waiting) {
    if (request->abandoned)
      finish(request, Error{Errc::cancelled, "nobody waits for the answer"});
    else
      queue_.push_back(request);
  }
}

// Runs while the server owes an answer.
asio::awaitable<void> Link::look_out() {
  while (!shut_) {
    const auto next = Clock::now() + look_every;
    co_await rest(&look_out_timer_, next);
    const auto late = Clock::now() - next;
    const bool pinging = std::any_of(connections_.begin(), connections_.end(), [](auto& c) { return !c->pings.empty(); });
    if (shut_ || (!owed() && !pinging)) break;
    // Where we were asleep ourselves, that was not the server's silence.
    if (late > look_every && quiet_since_ != 0) quiet_since_ += late.count();
    const Clock::duration usual = usual_silence();
    usual_ = std::max(usual - usual / decay_of, std::exchange(longest_, {})).count();
    const Clock::duration quiet = silence();
    if (quiet > stall_after() / 4)
      for (const ConnectionPtr& connection : connections_)
        if (connection->ready && !connection->leaving) ping(connection);
    if (stalled_) drop_abandoned();
    if (quiet <= stall_after() || stalled_) continue;
    stalled_ = true;
    const double seconds = std::chrono::duration<double>(quiet).count();
    tell(LinkEvent::Kind::stalled, named({Errc::unavailable, fmt::format("no answer for {:.1f} s", seconds)}));
  }
  looking_out_ = false;
}

}  // namespace smalti::client
