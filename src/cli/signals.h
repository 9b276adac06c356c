// Signals: Ctrl-C and SIGTERM as a stop token. Made first thing in main, before any thread.
#pragma once

#include <atomic>
#include <stop_token>
#include <thread>

namespace smalti::cli {

// Blocks SIGINT, SIGTERM and (unless it is ignored, as under nohup) SIGHUP in this thread and those it
// starts, and waits for them on a thread of its own. The first asks to stop; a second ends the process at
// once. One a process.
class Signals {
 public:
  Signals();
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  std::stop_token stop() const noexcept { return source_.get_token(); }
  // The signal that came first; 0: none.
  int caught() const noexcept { return caught_.load(); }

 private:
  void watch(int descriptor, int done);

  std::stop_source source_;
  std::atomic<int> caught_{0};
  int signals_ = -1;  // signalfd
  int done_ = -1;     // eventfd: the watcher may go
  std::thread watcher_;
};

}  // namespace smalti::cli
