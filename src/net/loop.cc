#include "net/loop.h"

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <thread>

#include "net/wheel.h"

namespace smalti::net {

namespace {

// An exception here is a defect (or memory is gone): there is no caller to tell, and going on would lose a task.
void end_of_task(std::exception_ptr error) {
  if (error) detail::rethrow(error);
}

}  // namespace

namespace detail {
void rethrow(std::exception_ptr error) { std::rethrow_exception(error); }
}  // namespace detail

struct Loop::Engine {
  explicit Engine(Lent l) : lent(l) {}

  void step(Clock::time_point until) {
    if (until == Clock::time_point::max())
      context.run_one();
    else
      context.run_one_until(until);
  }

  const Lent lent;
  asio::io_context context{1};
  asio::executor_work_guard<asio::io_context::executor_type> busy{context.get_executor()};
  Wheel wheel{{[this](Clock::time_point until) { step(until); }, [this] { asio::post(context, [] {}); }}};
  std::jthread thread;
};

Loop::Loop(Lent lent) : engine_(std::make_unique<Engine>(lent)) {
  engine_->thread = std::jthread([engine = engine_.get()] {
    if (engine->lent == Lent::to_callers) return engine->wheel.keep();
    const LoopThreadMark mark;
    engine->context.run();
  });
}

Loop::~Loop() {
  engine_->wheel.end();
  engine_->context.stop();
  engine_->thread.join();
}

void Loop::wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Clock::time_point until,
                const std::function<bool()>& over) {
  assert(!on_loop_thread());
  if (engine_->lent == Lent::to_callers) return engine_->wheel.wait(lock, changed, until, over);
  if (until == Clock::time_point::max())
    changed.wait(lock, over);
  else
    changed.wait_until(lock, until, over);
}

void Loop::look_again() {
  if (engine_->lent == Lent::to_callers) engine_->wheel.look_again();
}

void Loop::recall() {
  if (engine_->lent == Lent::to_callers) engine_->wheel.recall();
}

asio::any_io_executor Loop::executor() const noexcept { return engine_->context.get_executor(); }

void Loop::spawn(asio::awaitable<void> task) {
  recall();
  asio::co_spawn(executor(), std::move(task), end_of_task);
}

void Tasks::spawn(asio::awaitable<void> task) {
  {
    const std::lock_guard lock(mutex_);
    ++running_;
  }
  asio::co_spawn(loop_.executor(), std::move(task), [this](std::exception_ptr error) {
    end_of_task(error);
    const std::lock_guard lock(mutex_);
    if (--running_ == 0) none_.notify_all();
  });
}

std::size_t Tasks::running() const {
  const std::lock_guard lock(mutex_);
  return running_;
}

void Tasks::wait() {
  assert(!on_loop_thread());
  std::unique_lock lock(mutex_);
  none_.wait(lock, [this] { return running_ == 0; });
}

asio::awaitable<void> pause_until(Clock::time_point when) {
  auto executor = co_await asio::this_coro::executor;
  asio::steady_timer timer(executor, when);
  asio::error_code ignored;
  auto token = asio::redirect_error(asio::use_awaitable, ignored);
  co_await timer.async_wait(token);
}

asio::awaitable<void> yield() {
  auto executor = co_await asio::this_coro::executor;
  co_await asio::post(executor, asio::use_awaitable);
}

}  // namespace smalti::net
