#include "client/claims.h"

#include <algorithm>
#include <chrono>

namespace smalti::client {

std::vector<std::size_t> Claims::take_free(std::span<const TileKey> keys) {
  std::erase_if(lingering_, [this](const Lingering& one) {
    if (!std::all_of(one.requests.begin(), one.requests.end(), [](const auto& r) { return r->over.load(); })) return false;
    for (const TileKey& key : one.keys) claimed_.erase(key);
    return true;
  });
  std::vector<std::size_t> out;
  for (std::size_t i = 0; i < keys.size(); ++i)
    if (claimed_.insert(keys[i]).second) out.push_back(i);
  return out;
}

Result<std::vector<std::size_t>> Claims::take(const Call& call, std::span<const TileKey> keys) {
  // The caller's end, and that of a request that lingers, are looked for.
  constexpr std::chrono::milliseconds look_every{10};
  std::unique_lock lock(mutex_);
  while (true) {
    auto out = take_free(keys);
    if (!out.empty()) return out;
    SMALTI_CHECK(call.alive());
    changed_.wait_for(lock, look_every);
  }
}

std::vector<std::size_t> Claims::try_take(std::span<const TileKey> keys) {
  const std::lock_guard lock(mutex_);
  return take_free(keys);
}

void Claims::release(std::span<const TileKey> keys) {
  {
    const std::lock_guard lock(mutex_);
    for (const TileKey& key : keys) claimed_.erase(key);
  }
  changed_.notify_all();
}

void Claims::release_after(std::vector<TileKey> keys, std::vector<RequestPtr> requests) {
  const std::lock_guard lock(mutex_);
  lingering_.push_back({std::move(keys), std::move(requests)});
}

}  // namespace smalti::client
