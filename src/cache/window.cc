#include "cache/window.h"

#include <utility>

namespace smalti::cache {

bool Window::take_if_here(Ask& ask) {
  const auto at = panes_.find(ask.index);
  if (at == panes_.end()) return false;
  Pane& pane = *at->second;
  by_use_.splice(by_use_.end(), by_use_, at->second);
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
  for (Ask& ask : asks) {
    if (take_if_here(ask)) continue;
    if (const auto at = flights_.find(ask.index); at != flights_.end()) {
      ask.flight = at->second;
      ask.was_ahead = std::exchange(ask.flight->ahead, false);
      if (ask.was_ahead) ahead_bytes_ -= ask.flight->bytes;
    } else {
      start(ask, false);
    }
  }
  trim_locked(leaving);
  recount();
}

void Window::claim_ahead(std::span<Ask> asks) {
  Panes leaving;
  const std::lock_guard lock(mutex_);
  for (Ask& ask : asks) {
    if (panes_.contains(ask.index) || flights_.contains(ask.index)) continue;
    if (ahead_bytes_ + ask.bytes > set_.bound() / 2) break;
    start(ask, true);
  }
  trim_locked(leaving);
  recount();
}

void Window::land(std::uint64_t index, const FlightPtr& flight, Tile tile) {
  Panes leaving;
  {
    const std::lock_guard lock(mutex_);
    flight->landed = true;
    flight->failed = !tile;
    flight->tile = tile;
    const bool keep = tile && !flight->detached;
    if (flight->ahead) ahead_bytes_ -= flight->bytes;
    if (!flight->detached) flights_.erase(index);
    set_.remove(flight->bytes);
    if (keep) {
      const bool ahead = flight->ahead;
      if (ahead) ahead_bytes_ += tile.charge();
      set_.add(tile.charge());
      by_use_.push_back({index, std::move(tile), ahead});
      panes_.insert_or_assign(index, std::prev(by_use_.end()));
    }
    trim_locked(leaving);
    recount();
  }
  landed_.notify_all();
}

Result<Tile> Window::wait(const Call& call, const FlightPtr& flight) {
  std::unique_lock lock(mutex_);
  const auto done = [&flight] { return flight->landed; };
  if (call.deadline == Clock::time_point::max())
    landed_.wait(lock, call.stop, done);
  else
    landed_.wait_until(lock, call.stop, call.deadline, done);
  if (flight->landed) return flight->failed ? Tile() : flight->tile;
  lock.unlock();
  SMALTI_CHECK(call.alive());
  return Tile();
}

void Window::drop(Panes::iterator at) {
  if (at->ahead) ahead_bytes_ -= at->tile.charge();
  set_.remove(at->tile.charge());
  panes_.erase(at->index);
}

void Window::forget(std::uint64_t index) {
  if (idle()) return;
  Panes leaving;
  const std::lock_guard lock(mutex_);
  if (const auto at = panes_.find(index); at != panes_.end()) {
    const auto pane = at->second;
    drop(pane);
    leaving.splice(leaving.end(), by_use_, pane);
  }
  if (const auto at = flights_.find(index); at != flights_.end()) {
    at->second->detached = true;
    flights_.erase(at);
  }
  recount();
}

void Window::trim_locked(Panes& leaving) {
  while (set_.over() && !by_use_.empty()) {
    drop(by_use_.begin());
    leaving.splice(leaving.end(), by_use_, by_use_.begin());
  }
}

void Window::trim() {
  if (!set_.over() || idle()) return;
  Panes leaving;
  const std::lock_guard lock(mutex_);
  trim_locked(leaving);
  recount();
}

void Window::clear() {
  Panes leaving;
  const std::lock_guard lock(mutex_);
  while (!by_use_.empty()) {
    drop(by_use_.begin());
    leaving.splice(leaving.end(), by_use_, by_use_.begin());
  }
  recount();
}

}  // namespace smalti::cache
