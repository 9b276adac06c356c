#include "net/wheel.h"

#include <algorithm>

#include "smalti/base/waiting.h"

namespace smalti::net {

namespace {

// Callers that come again sooner than this find the wheel free.
constexpr std::chrono::milliseconds absence{4};

}  // namespace

void Wheel::keep() {
  const LoopThreadMark mark;
  std::unique_lock lock(mutex_);
  while (!ended_) {
    const bool due = recalled_ || Clock::now() >= left_ + absence;
    if (hand_ != Hand::nobody || !due) {
      own_wakes_.wait_for(lock, absence);
      continue;
    }
    hand_ = Hand::own;
    recalled_ = false;
    while (!ended_ && !wanted_) {
      lock.unlock();
      engine_.step(Clock::time_point::max());
      lock.lock();
    }
    wanted_ = false;
    hand_ = Hand::nobody;
    left_ = Clock::now();
    if (waiting_.empty()) continue;
    Waiter& next = *waiting_.front();
    const std::lock_guard its(next.mutex);
    next.called = true;
    next.changed.notify_all();
  }
}

void Wheel::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  own_wakes_.notify_all();
}

void Wheel::recall() {
  const std::lock_guard lock(mutex_);
  recalled_ = true;
  if (hand_ == Hand::nobody) own_wakes_.notify_all();
}

void Wheel::let_go() {
  const std::lock_guard lock(mutex_);
  hand_ = Hand::nobody;
  left_ = Clock::now();
  recalled_ = recalled_ || !waiting_.empty();
  if (recalled_) own_wakes_.notify_all();
}

// Takes the wheel where that pays; else joins those who wait.
bool Wheel::try_take(Waiter& waiter) {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  const auto place = std::find(waiting_.begin(), waiting_.end(), &waiter);
  const bool joined = place != waiting_.end();
  if (hand_ == Hand::caller || waiting_.size() > (joined ? 1u : 0u)) crowded_ = now;
  const bool alone = now >= crowded_ + absence;
  if (hand_ == Hand::nobody && alone) {
    if (joined) waiting_.erase(place);
    hand_ = Hand::caller;
    return true;
  }
  if (!joined) waiting_.push_back(&waiter);
  if (hand_ == Hand::nobody) {
    recalled_ = true;
    own_wakes_.notify_all();
  } else if (hand_ == Hand::own && alone && !wanted_) {
    wanted_ = true;
    engine_.interrupt();
  }
  return false;
}

void Wheel::leave(const Waiter& waiter) {
  const std::lock_guard lock(mutex_);
  const auto place = std::find(waiting_.begin(), waiting_.end(), &waiter);
  if (place != waiting_.end()) waiting_.erase(place);
  // Called, perhaps, and not in need of it any more; others may be.
  if (hand_ != Hand::nobody || waiting_.empty()) return;
  recalled_ = true;
  own_wakes_.notify_all();
}

void Wheel::drive(std::unique_lock<std::mutex>& lock, Clock::time_point until, const std::function<bool()>& over) {
  const LoopThreadMark mark;
  while (true) {
    {
      lock.lock();
      const bool enough = over();
      lock.unlock();
      if (enough || (until != Clock::time_point::max() && Clock::now() >= until)) break;
    }
    engine_.step(until);
  }
  let_go();
}

void Wheel::wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Clock::time_point until,
                 const std::function<bool()>& over) {
  Waiter waiter{*lock.mutex(), changed};
  const auto finished = [&] { return over() || (until != Clock::time_point::max() && Clock::now() >= until); };
  bool joined = false;
  while (!finished()) {
    waiter.called = false;
    lock.unlock();
    const bool taken = try_take(waiter);
    joined = !taken;
    if (taken) drive(lock, until, over);
    lock.lock();
    const auto woken = [&] { return over() || waiter.called; };
    if (taken) continue;
    if (until == Clock::time_point::max())
      changed.wait(lock, woken);
    else
      changed.wait_until(lock, until, woken);
  }
  if (!joined) return;
  lock.unlock();
  leave(waiter);
  lock.lock();
}

}  // namespace smalti::net
