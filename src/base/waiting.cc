#include "smalti/base/waiting.h"

namespace smalti {

namespace {
thread_local int marks = 0;
}

bool on_loop_thread() noexcept { return marks > 0; }
LoopThreadMark::LoopThreadMark() noexcept { ++marks; }
LoopThreadMark::~LoopThreadMark() { --marks; }

}  // namespace smalti
