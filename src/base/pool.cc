#include "smalti/base/pool.h"

#include <utility>

namespace smalti {

Pool::Pool(std::size_t threads, std::size_t queue_bound) : bound_(queue_bound) {
  threads_.reserve(threads);
  for (std::size_t i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  work_ready_.notify_all();
}

void Pool::post(Work work) {
  std::unique_lock lock(mutex_);
  room_ready_.wait(lock, [this] { return queue_.size() < bound_; });
  queue_.push_back(std::move(work));
  lock.unlock();
  work_ready_.notify_one();
}

bool Pool::try_post(Work work) {
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() >= bound_) return false;
    queue_.push_back(std::move(work));
  }
  work_ready_.notify_one();
  return true;
}

void Pool::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    work_ready_.wait(lock, [this] { return closing_ || !queue_.empty(); });
    if (queue_.empty()) return;
    Work work = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    room_ready_.notify_one();
    work();
    work = nullptr;  // what it owns dies outside the lock
    lock.lock();
  }
}

}  // namespace smalti
