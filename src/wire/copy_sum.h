// copy_and_sum: pixels out of memory that somebody else may change meanwhile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace smalti::wire {

// Copies, and returns the XXH3-64 of what was copied: each piece is summed in its new place, while it is still in the
// processor's nearest cache. REQUIRES: equal sizes.
std::uint64_t copy_and_sum(std::span<std::byte> into, std::span<const std::byte> from);

}  // namespace smalti::wire
