// WarmCore: on a machine of two cores, keeps one busy with nothing while a client and its server take turns
// on the other. The system moves whoever is woken to a core that idles; then each message has to wake the
// other core, which costs more than the message.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>

namespace smalti::net {

// Thread-safe. Its thread is the last that anybody has to wait for (nice 19), and exists from the first use
// on.
class WarmCore {
 public:
  WarmCore();
  ~WarmCore();
  WarmCore(const WarmCore&) = delete;
  WarmCore& operator=(const WarmCore&) = delete;

  // For the next millisecond, every core but this one. False where that would be more than one core.
  bool keep_all_but(int core) noexcept;
  bool keeps() const noexcept;
  bool may_keep() const noexcept { return two_; }

 private:
  void run();

  const bool two_;  // this machine has two cores, and we may use both
  std::atomic<std::int64_t> until_ns_{0};
  std::atomic<int> spared_{-1};
  std::mutex mutex_;
  std::condition_variable wanted_;
  bool asleep_ = false;  // guarded by mutex_, as all below
  bool closing_ = false;
  std::thread thread_;
};

}  // namespace smalti::net
