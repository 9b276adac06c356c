#include "net/network.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace smalti::net {

namespace {

struct Parsed {
  std::array<std::uint8_t, 16> bytes{};
  bool four = false;
};

constexpr std::uint32_t mapped_bits = 96;  // in front of an IPv4 address within an IPv6 one

std::optional<Parsed> parse_address(std::string_view text) noexcept {
  if (text.starts_with('[') && text.ends_with(']')) text = text.substr(1, text.size() - 2);
  Parsed parsed;
  const std::string terminated(text);
  if (::inet_pton(AF_INET6, terminated.c_str(), parsed.bytes.data()) == 1) return parsed;
  if (::inet_pton(AF_INET, terminated.c_str(), parsed.bytes.data() + 12) != 1) return std::nullopt;
  parsed.bytes[10] = parsed.bytes[11] = 0xff;
  parsed.four = true;
  return parsed;
}

std::optional<Network> parse_network(std::string_view text) noexcept {
  const auto slash = text.find('/');
  const auto parsed = parse_address(text.substr(0, slash));
  if (!parsed) return std::nullopt;
  Network network{parsed->bytes, 128};
  if (slash == std::string_view::npos) return network;
  const std::string_view length = text.substr(slash + 1);
  const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), network.prefix);
  if (length.empty() || error != std::errc() || end != length.data() + length.size()) return std::nullopt;
  if (network.prefix > (parsed->four ? 32u : 128u)) return std::nullopt;
  if (parsed->four) network.prefix += mapped_bits;
  return network;
}

}  // namespace

bool Network::holds(std::string_view text) const noexcept {
  const auto parsed = parse_address(text);
  if (!parsed) return false;
  for (std::uint32_t bit = 0; bit < prefix; bit += 8) {
    const std::uint32_t count = std::min(prefix - bit, 8u);
    const auto mask = static_cast<std::uint8_t>(0xff << (8 - count));
    if (((parsed->bytes[bit / 8] ^ address[bit / 8]) & mask) != 0) return false;
  }
  return true;
}

bool Network::loopback_only() const noexcept {
  for (const Network& loop : loopback_networks()) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    ::inet_ntop(AF_INET6, address.data(), text.data(), text.size());
    if (prefix >= loop.prefix && loop.holds(text.data())) return true;
  }
  return false;
}

Result<std::vector<Network>> parse_networks(std::string_view list) {
  std::vector<Network> networks;
  constexpr std::string_view gaps = ", \t\n";
  while (true) {
    const auto start = list.find_first_not_of(gaps);
    if (start == std::string_view::npos) break;
    list.remove_prefix(start);
    const std::string_view entry = list.substr(0, list.find_first_of(gaps));
    list.remove_prefix(entry.size());
    const auto network = parse_network(entry);
    if (!network)
      return fail(Errc::invalid,
                  fmt::format("`{}' is no address or network such as 192.168.100.0/24 or fd00::/8", entry));
    networks.push_back(*network);
  }
  if (networks.empty()) return fail(Errc::invalid, "a list of networks names none");
  return networks;
}

std::vector<Network> loopback_networks() { return {*parse_network("127.0.0.0/8"), *parse_network("::1")}; }

}  // namespace smalti::net
