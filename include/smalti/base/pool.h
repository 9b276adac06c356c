// Pool: a fixed number of threads and a bounded queue. The one place for work that waits in the background.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace smalti {

// Thread-safe. The destructor runs what is queued, then joins. Work must not throw.
class Pool {
 public:
  using Work = std::function<void()>;

  explicit Pool(std::size_t threads, std::size_t queue_bound = 1024);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Waits while the queue is full. Never call it from the pool's own threads: it could wait for itself.
  void post(Work);
  // False, and the work dropped, when the queue is full: for what is merely useful (read-ahead).
  bool try_post(Work);
  std::size_t threads() const noexcept { return threads_.size(); }

 private:
  void run();

  const std::size_t bound_;
  std::mutex mutex_;
  std::condition_variable work_ready_;
  std::condition_variable room_ready_;
  std::deque<Work> queue_;  // guarded by mutex_
  bool closing_ = false;    // guarded by mutex_
  std::vector<std::jthread> threads_;
};

}  // namespace smalti
