#include "wire/copy_sum.h"

#define XXH_STATIC_LINKING_ONLY  // the state's size
#if defined(__x86_64__)
#include <xxh_x86dispatch.h>  // its XXH3 uses what this very processor has
#else
#include <xxhash.h>
#endif

#include <algorithm>
#include <cstring>

namespace smalti::wire {

namespace {

constexpr std::size_t piece = 16u << 10;

}  // namespace

struct RunningSum::State {
  XXH3_state_t xxh;
};

RunningSum::RunningSum() : state_(std::make_unique<State>()) { XXH3_64bits_reset(&state_->xxh); }
RunningSum::~RunningSum() = default;

void RunningSum::add(std::span<const std::byte> bytes) noexcept {
  XXH3_64bits_update(&state_->xxh, bytes.data(), bytes.size());
}

std::uint64_t RunningSum::value() const noexcept { return XXH3_64bits_digest(&state_->xxh); }

std::uint64_t copy_and_sum(std::span<std::byte> into, std::span<const std::byte> from) {
  RunningSum sum;
  for (std::size_t at = 0; at < into.size(); at += piece) {
    const std::size_t n = std::min(piece, into.size() - at);
    std::memcpy(into.data() + at, from.data() + at, n);
    sum.add(into.subspan(at, n));
  }
  return sum.value();
}

}  // namespace smalti::wire
