#include "cache/plan.h"

namespace smalti::cache {

void Plan::tell(std::span<const std::uint64_t> indices, Pace pace) {
  if (pace.at < told_) end();
  active_ = true;
  told_ = pace.at;
  for (const std::uint64_t index : indices) {
    const auto [at, fresh] = last_use_.try_emplace(index, pace.at);
    if (fresh || at->second < reached_) due_.push_back(index);
    at->second = pace.at;
  }
  if (pace.reached > reached_) forget_before(pace.reached);
}

void Plan::end() {
  active_ = false;
  reached_ = told_ = 0;
  last_use_.clear();
  due_.clear();
}

std::uint64_t Plan::last_use(std::uint64_t index) const noexcept {
  const auto at = last_use_.find(index);
  return at == last_use_.end() || at->second < reached_ ? 0 : at->second + 1;
}

std::uint64_t Plan::next_due() noexcept {
  while (!due_.empty()) {
    const std::uint64_t index = due_.front();
    due_.pop_front();
    if (last_use(index) != 0) return index;
  }
  return no_tile;
}

// A scan of what is live and has lately been: some hundred tiles, once a step.
void Plan::forget_before(std::uint64_t reached) {
  reached_ = reached;
  std::erase_if(last_use_, [reached](const auto& entry) { return entry.second < reached; });
}

}  // namespace smalti::cache
