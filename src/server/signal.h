// Signal: a condition variable for coroutines of one loop.
#pragma once

#include <algorithm>
#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <vector>

#include "smalti/base/call.h"

namespace smalti::server {

// Used on its loop only. Whoever waits looks again at what it waits for: it may be woken for nothing.
class Signal {
 public:
  explicit Signal(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  // Until notify() is called, or the time has come.
  asio::awaitable<void> wait(Clock::time_point until = Clock::time_point::max()) {
    asio::steady_timer timer(executor_, until);
    const Waiting waiting(*this, timer);
    asio::error_code ignored;
    auto token = asio::redirect_error(asio::use_awaitable, ignored);
    co_await timer.async_wait(token);
  }
  void notify() {
    for (asio::steady_timer* timer : waiting_) timer->cancel();
  }

 private:
  struct Waiting {
    Waiting(Signal& s, asio::steady_timer& t) : signal(s), timer(&t) { signal.waiting_.push_back(timer); }
    ~Waiting() { std::erase(signal.waiting_, timer); }
    Signal& signal;
    asio::steady_timer* timer;
  };

  asio::any_io_executor executor_;
  std::vector<asio::steady_timer*> waiting_;
};

}  // namespace smalti::server
