// Loop: the thread that networks run on, and the two bridges to and from it.
//
//   caller -> loop   loop.run(task)             blocks a plain thread until the coroutine is done
//   loop -> pool     co_await offload(pool, f)  runs f on a pool thread, resumes on the loop
//
// House rule (doc/hazards/co-await.md): name a temporary, then co_await it; no capturing-lambda coroutines;
// coroutine parameters by value.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/awaitable.hpp>
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <cassert>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <type_traits>
#include <utility>

#include "net/stream.h"
#include "smalti/base/pool.h"
#include "smalti/base/waiting.h"

namespace smalti::net {

// One thread, started by the constructor; everything on the loop runs there, so that what lives on a loop needs no
// locks. The destructor stops it: coroutines that still wait are destroyed where they wait, so end them first (Tasks)
// where they refer to what dies earlier.
class Loop {
 public:
  // Whether callers that wait() for something run the loop themselves meanwhile. They see to it that the answers they
  // wait for need no other thread; what nobody waits for may lie for some milliseconds behind them. So for clients.
  enum class Lent : std::uint8_t { no, to_callers };
  explicit Loop(Lent lent = Lent::no);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Thread-safe, all of these.
  asio::any_io_executor executor() const noexcept;
  // Detached: nobody waits for it. An exception that escapes it ends the process.
  void spawn(asio::awaitable<void> task);
  // Runs the task on the loop and blocks until it is done. Never on a loop thread. Where the loop dies first:
  // Errc::cancelled.
  template <class T>
  Result<T> run(Task<T> task);
  // Waits on a condition that the loop makes true: see Wheel::wait(). Never on a loop thread.
  void wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Clock::time_point until,
            const std::function<bool()>& over);
  // For whoever makes such a condition true from elsewhere, behind its own notification.
  void look_again();

 private:
  void recall();
  struct Engine;
  std::unique_ptr<Engine> engine_;
};

// Tasks: coroutines that must have ended before what they use may die. Thread-safe.
class Tasks {
 public:
  explicit Tasks(Loop& loop) : loop_(loop) {}
  ~Tasks() { wait(); }
  Tasks(const Tasks&) = delete;
  Tasks& operator=(const Tasks&) = delete;

  void spawn(asio::awaitable<void> task);
  std::size_t running() const;
  // Blocks until none runs. Tell them to end first (close their streams). Never on a loop thread.
  void wait();

 private:
  Loop& loop_;
  mutable std::mutex mutex_;
  std::condition_variable none_;
  std::size_t running_ = 0;  // guarded by mutex_
};

// Suspends the calling coroutine; the loop goes on.
asio::awaitable<void> pause_until(Clock::time_point);
// Lets everything else that is ready run first.
asio::awaitable<void> yield();

// Runs `work` on the pool and hands back what it returned, on the loop again. `work` must not throw. While the pool's
// queue is full the coroutine waits; the loop does not. REQUIRES: the pool's work ends before the loop does.
template <class Work>
asio::awaitable<std::invoke_result_t<Work>> offload(Pool& pool, Work work);

// ---- implementation ----

namespace detail {

void rethrow(std::exception_ptr);

template <class R, class Work>
struct Errand {
  explicit Errand(Work w) : work(std::move(w)) {}
  Work work;
  std::conditional_t<std::is_void_v<R>, char, std::optional<R>> result{};

  void perform() {
    if constexpr (std::is_void_v<R>)
      work();
    else
      result.emplace(work());
  }
};

// Awaits the moment when a pool thread has performed the errand; false when the pool's queue was full.
template <class ErrandPtr>
asio::awaitable<bool> performed(Pool& pool, ErrandPtr errand, asio::any_io_executor executor) {
  auto start = [&pool, errand, executor](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    auto resume = [shared, executor](bool done) {
      asio::post(executor, [shared, done] { std::move (*shared)(done); });
    };
    auto perform = [errand, resume] {
      errand->perform();
      resume(true);
    };
    if (!pool.try_post(perform)) resume(false);
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(bool)>(start, asio::use_awaitable);
}

}  // namespace detail

template <class T>
Result<T> Loop::run(Task<T> task) {
  assert(!on_loop_thread());
  std::promise<Result<T>> promise;
  auto future = promise.get_future();
  recall();
  asio::co_spawn(executor(), std::move(task),
                 [promise = std::move(promise)](std::exception_ptr error, Result<T> result) mutable {
                   if (error) detail::rethrow(error);
                   promise.set_value(std::move(result));
                 });
  try {
    return future.get();
  } catch (const std::future_error&) {
    return fail(Errc::cancelled, "the network loop has ended");
  }
}

template <class Work>
asio::awaitable<std::invoke_result_t<Work>> offload(Pool& pool, Work work) {
  using R = std::invoke_result_t<Work>;
  auto errand = std::make_shared<detail::Errand<R, Work>>(std::move(work));
  auto executor = co_await asio::this_coro::executor;
  while (true) {
    const bool done = co_await detail::performed(pool, errand, executor);
    if (done) break;
    const auto soon = Clock::now() + std::chrono::milliseconds(1);
    co_await pause_until(soon);
  }
  if constexpr (!std::is_void_v<R>) co_return std::move(*errand->result);
}

}  // namespace smalti::net
