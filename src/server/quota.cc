#include "server/quota.h"

#include <fmt/format.h>

#include "policy/units.h"

namespace smalti::server {

Result<void> Quota::take(std::uint64_t bytes) {
  std::uint64_t used = used_.load();
  while (bytes <= most_ - std::min(used, most_))
    if (used_.compare_exchange_weak(used, used + bytes)) return {};
  const auto text = [](std::uint64_t amount) { return print_amount(Resource::memory, amount); };
  return fail(Errc::limit, fmt::format("quota of named images exceeded: quota {}, used {}, needed {}; delete some with "
                                       "-delete-cache, or raise cache:quota on the server",
                                       text(most_), text(used), text(bytes)));
}

}  // namespace smalti::server
