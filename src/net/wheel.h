// Wheel: which thread runs a loop right now: its own, or a caller that would only wait for it otherwise.
//
// A caller that waits for an answer may as well receive it: no other thread need be woken, neither to send the request
// nor to take the answer, and the bytes are in the cache of the core that wants them. While one caller comes and goes the
// loop's own thread keeps away. It comes back when none has been there for a moment, and when several wait at a time: to
// hand the wheel from one to another costs more than is saved.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>

#include "smalti/base/call.h"

namespace smalti::net {

// Thread-safe. At most one thread at a time is within `step`, and each sees all that those before it did.
class Wheel {
 public:
  struct Engine {
    std::function<void(Clock::time_point)> step;  // runs one handler, waiting for one until then
    std::function<void()> interrupt;              // ends a step that waits; thread-safe
  };
  explicit Wheel(Engine engine) : engine_(std::move(engine)) {}

  // The life of the loop's own thread: until end().
  void keep();
  // The engine must be made to return from its step as well.
  void end();

  // Waits until over() holds, at most until then; `over` is called with the lock held. Whoever makes it hold takes the
  // lock, and then notifies `changed`, unless it does so within a step. Meanwhile this thread may run the loop.
  // REQUIRES: the caller holds `lock`, and is not on a loop.
  void wait(std::unique_lock<std::mutex>& lock, std::condition_variable& changed, Clock::time_point until,
            const std::function<bool()>& over);
  // Makes those who wait look again whether it is over: for what happens outside of the loop.
  void look_again() { engine_.interrupt(); }
  // There is work that no caller waits for here: the loop's own thread is to come back as soon as the wheel is free.
  void recall();

 private:
  struct Waiter {
    std::mutex& mutex;  // of whoever waits, taken after mutex_
    std::condition_variable& changed;
    bool called = false;  // to the wheel; guarded by `mutex`
  };
  enum class Hand { nobody, own, caller };

  bool try_take(Waiter&);
  void drive(std::unique_lock<std::mutex>&, Clock::time_point until, const std::function<bool()>& over);
  void let_go();
  void leave(const Waiter&);

  const Engine engine_;
  std::mutex mutex_;
  std::condition_variable own_wakes_;
  // All below is guarded by mutex_.
  Hand hand_ = Hand::nobody;
  std::list<Waiter*> waiting_;   // callers that are not at the wheel
  Clock::time_point left_{};     // when the wheel was last let go
  Clock::time_point crowded_{};  // when several last waited at a time
  bool wanted_ = false;          // its own thread is to let go
  bool recalled_ = false;        // its own thread is to come back
  bool ended_ = false;
};

}  // namespace smalti::net
