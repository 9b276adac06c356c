#include "client/request.h"

#include <cassert>

#include "smalti/base/waiting.h"

namespace smalti::client {

void Latch::done() {
  const std::lock_guard lock(mutex_);
  if (--left_ == 0) all_done_.notify_all();
}

Result<void> Latch::wait(const Call& call) {
  assert(!on_loop_thread());
  const auto finished = [this] { return left_ == 0; };
  std::unique_lock lock(mutex_);
  const bool complete = call.deadline == Clock::time_point::max()
                            ? all_done_.wait(lock, call.stop, finished)
                            : all_done_.wait_until(lock, call.stop, call.deadline, finished);
  if (complete) return {};
  SMALTI_CHECK(call.alive());
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
