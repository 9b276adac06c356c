// sim_pipe: two connected streams without a network, and with the troubles of one, as a seed decides. For tests.
#pragma once

#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "net/stream.h"

namespace smalti::net {

class Loop;

struct SimOptions {
  std::uint64_t seed = 1;
  std::size_t most_a_read = std::numeric_limits<std::size_t>::max();  // a read returns 1 to so many bytes
  std::uint64_t cut_after = std::numeric_limits<std::uint64_t>::max();  // bytes in both directions; then it is lost
  std::chrono::microseconds most_delay{0};  // bytes arrive 0 to so much later, in order
  std::size_t window = 256u << 10;          // bytes on the way in one direction before a writer must wait
};

// Both ends live on the loop. The same seed gives the same sizes of reads, delays and cut.
std::pair<std::unique_ptr<Stream>, std::unique_ptr<Stream>> sim_pipe(Loop&, SimOptions);

}  // namespace smalti::net
