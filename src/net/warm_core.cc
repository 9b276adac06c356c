#include "net/warm_core.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <system_error>

#include "smalti/base/call.h"

namespace smalti::net {

namespace {

constexpr std::int64_t keep_ns = 1'000'000;
constexpr int naps_a_clock = 200;  // of some ten nanoseconds
constexpr int last_in_line = 19;

std::int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now().time_since_epoch()).count();
}

bool two_cores() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  return ::sysconf(_SC_NPROCESSORS_ONLN) == 2 && ::sched_getaffinity(0, sizeof set, &set) == 0 &&
         CPU_COUNT(&set) == 2;
}

void nap() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

void leave(int core) noexcept {
  cpu_set_t others;
  CPU_ZERO(&others);
  for (int other = 0; other < 2; ++other)
    if (other != core) CPU_SET(other, &others);
  ::sched_setaffinity(0, sizeof others, &others);
}

}  // namespace

WarmCore::WarmCore() : two_(two_cores()) {}

WarmCore::~WarmCore() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  until_ns_ = 0;
  wanted_.notify_all();
  if (thread_.joinable()) thread_.join();
}

bool WarmCore::keeps() const noexcept { return until_ns_.load(std::memory_order_relaxed) > now_ns(); }

bool WarmCore::keep_all_but(int core) noexcept {
  if (!two_) return false;
  spared_.store(core, std::memory_order_relaxed);
  const std::int64_t now = now_ns();
  const std::int64_t before = until_ns_.exchange(now + keep_ns);
  if (before > now) return true;
  const std::lock_guard lock(mutex_);
  if (!thread_.joinable()) {
    try {
      thread_ = std::thread([this] { run(); });
    } catch (const std::system_error&) {
      return false;
    }
  }
  if (asleep_) wanted_.notify_one();
  return true;
}

void WarmCore::run() {
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), last_in_line);
  int left = -1;
  while (true) {
    {
      std::unique_lock lock(mutex_);
      asleep_ = true;
      wanted_.wait(lock, [this] { return closing_ || keeps(); });
      asleep_ = false;
      if (closing_) return;
    }
    while (keeps()) {
      const int core = spared_.load(std::memory_order_relaxed);
      if (core != left) leave(left = core);
      for (int i = 0; i < naps_a_clock; ++i) nap();
    }
  }
}

}  // namespace smalti::net
