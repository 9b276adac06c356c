// HostPort: where a server is said to be.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "smalti/base/result.h"

namespace smalti {

inline constexpr std::uint16_t default_port = 6668;

struct HostPort {
  std::string host;  // a name, an IPv4 address, or an IPv6 address without brackets
  std::uint16_t port = default_port;
  std::string text() const;  // "192.168.100.50:6668", "[::1]:6668"
  auto operator<=>(const HostPort&) const = default;
};

// "a:1,b [::1]:6668": entries parted by commas or white space; a missing port is 6668.
// Fails with invalid and names the entry.
Result<std::vector<HostPort>> parse_hosts(std::string_view list);

}  // namespace smalti
