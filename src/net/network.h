// Network: a range of addresses, as an allow list names it.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "smalti/base/result.h"

namespace smalti::net {

// A value. IPv4 addresses are kept as the IPv6 addresses they map to, so that either spelling of one matches.
struct Network {
  std::array<std::uint8_t, 16> address{};
  std::uint32_t prefix = 128;  // leading bits that count

  // "192.168.100.50", "::1", "[::1]". False for anything else.
  bool holds(std::string_view address) const noexcept;
  bool loopback_only() const noexcept;
  auto operator<=>(const Network&) const = default;
};

// "192.168.100.0/24,::1 10.0.0.5": entries parted by commas or white space; without a length an entry is one
// address. Fails with invalid and names the entry.
Result<std::vector<Network>> parse_networks(std::string_view list);
std::vector<Network> loopback_networks();

}  // namespace smalti::net
