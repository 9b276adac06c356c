#include "smalti/base/call.h"

#include <algorithm>

namespace smalti {

Result<void> Call::alive() const {
  if (stop.stop_requested()) return fail(Errc::cancelled, "the job was cancelled");
  if (deadline != Clock::time_point::max() && Clock::now() >= deadline)
    return fail(Errc::timeout, "the deadline of the request passed");
  return {};
}

Call Call::within(Clock::duration span) const {
  Call shorter = *this;
  shorter.deadline = std::min(deadline, Clock::now() + span);
  return shorter;
}

Call Call::hot() const {
  Call quick = *this;
  quick.reach = Reach::hot;
  return quick;
}

}  // namespace smalti
