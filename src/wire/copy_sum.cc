#include "wire/copy_sum.h"

#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // its XXH3 uses what this very processor has
#else
#include <xxhash.h>
#endif

#include <algorithm>
#include <cstring>
#include <memory>

namespace smalti::wire {

namespace {

constexpr std::size_t piece = 16u << 10;

}  // namespace

std::uint64_t copy_and_sum(std::span<std::byte> into, std::span<const std::byte> from) {
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  for (std::size_t at = 0; at < into.size(); at += piece) {
    const std::size_t n = std::min(piece, into.size() - at);
    std::memcpy(into.data() + at, from.data() + at, n);
    XXH3_64bits_update(state.get(), into.data() + at, n);
  }
  return XXH3_64bits_digest(state.get());
}

}  // namespace smalti::wire
