// Which threads may wait. A thread that runs a network loop must not: it would stop every connection it serves.
#pragma once

namespace smalti {

// True on a thread that runs a network loop. Whatever waits (a disk, a network, a full queue) asserts that it is false.
bool on_loop_thread() noexcept;

// Marks the current thread as a loop's for as long as the mark lives.
class LoopThreadMark {
 public:
  LoopThreadMark() noexcept;
  ~LoopThreadMark();
  LoopThreadMark(const LoopThreadMark&) = delete;
  LoopThreadMark& operator=(const LoopThreadMark&) = delete;
};

}  // namespace smalti
