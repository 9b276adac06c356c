#include "client/request.h"

#include <algorithm>
#include <cassert>

#include "net/loop.h"
#include "smalti/base/waiting.h"

namespace smalti::client {

void Latch::add(std::size_t requests) {
  const std::lock_guard lock(mutex_);
  left_ += requests;
}

// Told outside the lock, so that the waiter does not wake only to wait for it. Whoever calls holds the latch's request.
void Latch::done() {
  bool last = false;
  {
    const std::lock_guard lock(mutex_);
    last = --left_ == 0;
  }
  if (last) changed_.notify_all();
}

Result<bool> Latch::wait(const Call& call, Clock::time_point until) {
  assert(!on_loop_thread());
  const auto stopped = [this] {
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
    if (loop_) loop_->look_again();
  };
  const std::stop_callback when_stopped(call.stop, stopped);
  const auto over = [&] { return left_ == 0 || call.stop.stop_requested(); };
  std::unique_lock lock(mutex_);
  const auto end = std::min(call.deadline, until);
  if (loop_)
    loop_->wait(lock, changed_, end, over);
  else if (end == Clock::time_point::max())
    changed_.wait(lock, over);
  else
    changed_.wait_until(lock, end, over);
  if (left_ == 0) return true;
  SMALTI_CHECK(call.alive());
  if (until <= call.deadline) return false;
  return fail(Errc::timeout, "the deadline of the request passed");
}

void Request::prepare() {
  if (const auto* put = std::get_if<wire::native::Put>(&message)) {
    unanswered = put->items.size();
    puts.assign(unanswered, Generation::none);
    answered.assign(unanswered, false);
  } else if (const auto* get = std::get_if<wire::native::Get>(&message)) {
    unanswered = get->keys.size();
    gets.assign(unanswered, Arrived{});
  }
}

}  // namespace smalti::client
