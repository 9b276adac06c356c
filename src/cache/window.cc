#include "cache/window.h"

#include <utility>

namespace smalti::cache {

bool Window::take_if_here(Ask& ask) {
  const auto at = panes_.find(ask.index);
  if (at == panes_.end()) return false;
  Pane& pane = *at->second;
  used_.splice(used_.end(), pane.ahead ? ahead_ : used_, at->second);
  ask.tile = pane.tile;
  ask.was_ahead = std::exchange(pane.ahead, false);
  if (ask.was_ahead) ahead_bytes_ -= pane.tile.charge();
  return true;
}

void Window::look(std::span<Ask> asks) {
  const std::lock_guard lock(mutex_);
  for (Ask& ask : asks) take_if_here(ask);
}

void Window::start(Ask& ask, bool ahead) {
  ask.mine = true;
  ask.flight = std::make_shared<Flight>();
  ask.flight->bytes = ask.bytes;
  ask.flight->ahead = ahead;
  if (ahead) ahead_bytes_ += ask.bytes;
  flights_.emplace(ask.index, ask.flight);
  set_.add(ask.bytes);
}

void Window::claim(std::span<Ask> asks) {
  Panes leaving;  // the death of a tile may free a large buffer: outside the lock
  const std::lock_guard lock(mutex_);
  std::uint64_t coming = 0;
  for (Ask& ask : asks) {
    if (take_if_here(ask)) continue;
    if (const auto at = flights_.find(ask.index); at != flights_.end()) {
      ask.flight = at->second;
      ask.was_ahead = std::exchange(ask.flight->ahead, false);
      if (ask.was_ahead) ahead_bytes_ -= ask.flight->bytes;
    } else {
      coming += ask.bytes;
    }
  }
  trim_locked(coming, leaving);
  for (Ask& ask : asks)
    if (!ask.tile && !ask.flight) start(ask, false);
  recount();
}

void Window::claim_ahead(std::span<Ask> asks, const std::function<bool(std::uint64_t)>& wanted) {
  Panes leaving;
  const std::lock_guard lock(mutex_);
  for (Ask& ask : asks) {
    if (panes_.contains(ask.index) || flights_.contains(ask.index) || !wanted(ask.index)) continue;
    if (ahead_bytes_ + ask.bytes > set_.guess_share()) break;
    trim_locked(ask.bytes, leaving);
    start(ask, true);
  }
  recount();
}

void Window::land(std::span<Ask> asks) {
  Panes leaving;
  bool waited_for = false;
  {
    const std::lock_guard lock(mutex_);
    for (const Ask& ask : asks)
      if (ask.mine && end(ask)) waited_for = true;
    trim_locked(0, leaving);
    recount();
  }
  if (waited_for) landed_.notify_all();
}

// True when somebody waits for it.
bool Window::end(const Ask& ask) {
  Flight& flight = *ask.flight;
  flight.landed = true;
  flight.failed = !ask.tile;
  flight.tile = ask.tile;
  if (flight.ahead) ahead_bytes_ -= flight.bytes;
  set_.remove(flight.bytes);
  if (!flight.detached) {
    flights_.erase(ask.index);
    if (ask.tile) {
      if (flight.ahead) ahead_bytes_ += ask.tile.charge();
      set_.add(ask.tile.charge());
      Panes& list = flight.ahead ? ahead_ : used_;
      list.push_back({ask.index, ask.tile, flight.ahead, ++landings_});
      panes_.insert_or_assign(ask.index, std::prev(list.end()));
    }
  }
  return flight.waiters != 0;
}

Result<Tile> Window::wait(const Call& call, const FlightPtr& flight) {
  std::unique_lock lock(mutex_);
  const auto done = [&flight] { return flight->landed; };
  ++flight->waiters;
  if (call.deadline == Clock::time_point::max())
    landed_.wait(lock, call.stop, done);
  else
    landed_.wait_until(lock, call.stop, call.deadline, done);
  --flight->waiters;
  if (flight->landed) return flight->failed ? Tile() : flight->tile;
  lock.unlock();
  SMALTI_CHECK(call.alive());
  return Tile();
}

void Window::drop(Panes::iterator at, Panes& leaving) {
  if (at->ahead) ahead_bytes_ -= at->tile.charge();
  set_.remove(at->tile.charge());
  panes_.erase(at->index);
  leaving.splice(leaving.end(), at->ahead ? ahead_ : used_, at);
}

void Window::forget(std::uint64_t index) {
  if (idle()) return;
  Panes leaving;
  const std::lock_guard lock(mutex_);
  if (const auto at = panes_.find(index); at != panes_.end()) drop(at->second, leaving);
  if (const auto at = flights_.find(index); at != flights_.end()) {
    at->second->detached = true;
    flights_.erase(at);
  }
  recount();
}

void Window::tell(std::span<const std::uint64_t> indices, Pace pace) {
  const std::lock_guard lock(mutex_);
  plan_.tell(indices, pace);
  planned_.store(true, std::memory_order_release);
  any_due_.store(plan_.any_due(), std::memory_order_release);
}

void Window::end_plan() {
  const std::lock_guard lock(mutex_);
  plan_.end();
  planned_.store(false, std::memory_order_release);
  any_due_.store(false, std::memory_order_release);
}

std::vector<std::uint64_t> Window::due(std::size_t done, std::uint64_t tile_bytes) {
  constexpr std::uint64_t worth_a_trip = 16;  // tiles
  Panes leaving;
  const std::lock_guard lock(mutex_);
  handed_out_ -= done;
  std::vector<std::uint64_t> out;
  if (!plan_.any_due()) return out;
  const auto whole = [tile_bytes](std::uint64_t most, std::uint64_t used) {
    return used < most ? (most - used) / tile_bytes : 0;
  };
  // What was read ahead in vain must not keep the rest from being.
  for (auto pane = ahead_.begin(); pane != ahead_.end();) {
    const auto next = std::next(pane);
    if (!live(*pane)) drop(pane, leaving);
    pane = next;
  }
  std::uint64_t dead = 0;
  for (const Pane& pane : used_) dead += live(pane) ? 0 : pane.tile.charge();
  const std::uint64_t pending = handed_out_ * tile_bytes;
  std::uint64_t room = std::min(whole(ahead_bound(), ahead_bytes_ + pending),
                                whole(set_.most_bound() + dead, set_.used() + pending));
  const std::uint64_t trip =
      std::min(worth_a_trip, std::max<std::uint64_t>(1, ahead_bound() / 2 / tile_bytes));
  if (room < trip && ahead_bytes_ + pending != 0) return out;
  for (; room != 0; --room) {
    const std::uint64_t index = plan_.next_due();
    if (index == Plan::no_tile) break;
    if (panes_.contains(index) || flights_.contains(index)) continue;
    out.push_back(index);
  }
  any_due_.store(plan_.any_due(), std::memory_order_release);
  handed_out_ += out.size();
  return out;
}

void Window::give_up(std::size_t tiles) {
  const std::lock_guard lock(mutex_);
  handed_out_ -= tiles;
}

void Window::claim_due(std::span<Ask> asks) {
  Panes leaving;
  const std::lock_guard lock(mutex_);
  for (Ask& ask : asks) {
    if (panes_.contains(ask.index) || flights_.contains(ask.index) || plan_.last_use(ask.index) == 0)
      continue;
    trim_locked(ask.bytes, leaving);
    start(ask, true);
  }
  recount();
}

void Window::trim_locked(std::uint64_t coming, Panes& leaving) {
  while (set_.used() + coming > set_.bound() && !panes_.empty()) {
    const Panes::iterator goes = plan_.active() ? planned_victim() : victim();
    if (plan_.active() && live(*goes)) {
      set_.need(set_.used() + coming);
      if (set_.used() + coming <= set_.bound()) return;
    }
    drop(goes, leaving);
  }
}

// A scan of what is kept, which is some hundred tiles: little beside the fetch that makes it necessary.
Window::Panes::iterator Window::planned_victim() {
  Panes::iterator last_wanted = used_.empty() ? ahead_.begin() : used_.begin();
  std::uint64_t last = 0;
  for (Panes* list : {&used_, &ahead_}) {
    for (auto pane = list->begin(); pane != list->end(); ++pane) {
      const std::uint64_t use = plan_.last_use(pane->index);
      if (use == 0) return pane;
      if (use > last) {
        last_wanted = pane;
        last = use;
      }
    }
  }
  return last_wanted;
}

Window::Panes::iterator Window::victim() {
  const bool stale = !ahead_.empty() && landings_ - ahead_.front().born > 2 * panes_.size();
  if (stale || used_.empty()) return ahead_.begin();
  auto furthest = used_.begin();
  std::uint64_t distance = front_.distance(furthest->index);
  for (auto pane = std::next(furthest); pane != used_.end(); ++pane) {
    if (const std::uint64_t other = front_.distance(pane->index); other > distance) {
      furthest = pane;
      distance = other;
    }
  }
  return furthest;
}

void Window::face(const Front& front) {
  const std::lock_guard lock(mutex_);
  front_ = front;
}

void Window::trim() {
  if (!set_.over() || idle()) return;
  Panes leaving;
  const std::lock_guard lock(mutex_);
  trim_locked(0, leaving);
  recount();
}

void Window::clear() {
  Panes leaving;
  const std::lock_guard lock(mutex_);
  while (!panes_.empty()) drop(panes_.begin()->second, leaving);
  recount();
}

}  // namespace smalti::cache
