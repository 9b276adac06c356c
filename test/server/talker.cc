#include "test/server/talker.h"

namespace smalti::test {

std::uint64_t checksum_of(const std::vector<std::byte>& payload) {
  const Pixels pixels{payload.data(),
                      {static_cast<std::uint32_t>(payload.size()), 1},
                      static_cast<std::ptrdiff_t>(payload.size()),
                      {Sample::u8, 1, 0}};
  return Tile(pixels, nullptr).computed_checksum();
}

}  // namespace smalti::test
