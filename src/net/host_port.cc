#include "net/host_port.h"

#include <fmt/format.h>

#include <algorithm>
#include <asio/ip/address_v6.hpp>
#include <charconv>

namespace smalti {

namespace {

constexpr std::size_t longest_name = 253;
constexpr std::size_t most_hosts = 4096;

bool parts(char c) { return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

bool is_port(std::string_view text, std::uint16_t& port) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc() && end == text.data() + text.size() && port != 0;
}

bool name_like(std::string_view host) {
  return !host.empty() && host.size() <= longest_name && std::all_of(host.begin(), host.end(), [](char c) {
    const bool alnum = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return alnum || c == '.' || c == '-' || c == '_';
  });
}

bool is_ipv6(std::string_view host) {
  asio::error_code error;
  asio::ip::make_address_v6(std::string(host), error);
  return !error;
}

tl::unexpected<Error> unclear(std::string_view entry, std::string_view why) {
  return fail(Errc::invalid, fmt::format("host `{}': {}; write HOST, HOST:PORT or [IPV6]:PORT", entry, why));
}

Result<HostPort> parse_host(std::string_view entry) {
  HostPort out;
  std::string_view host = entry;
  std::string_view port;
  bool bracketed = false;
  if (entry.front() == '[') {
    const std::size_t close = entry.find(']');
    if (close == std::string_view::npos) return unclear(entry, "the bracket is not closed");
    host = entry.substr(1, close - 1);
    port = entry.substr(close + 1);
    if (!port.empty() && port.front() != ':') return unclear(entry, "there is text after the bracket");
    bracketed = true;
  } else if (const auto colons = std::count(entry.begin(), entry.end(), ':'); colons == 1) {
    host = entry.substr(0, entry.find(':'));
    port = entry.substr(entry.find(':'));
  } else if (colons > 1) {
    bracketed = true;  // an IPv6 address without brackets, and so without a port
  }
  if (bracketed ? !is_ipv6(host) : !name_like(host)) return unclear(entry, "this is not a host's name or address");
  if (!port.empty() && !is_port(port.substr(1), out.port)) return unclear(entry, "the port must be 1 to 65535");
  out.host = std::string(host);
  return out;
}

}  // namespace

std::string HostPort::text() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

Result<std::vector<HostPort>> parse_hosts(std::string_view list) {
  std::vector<HostPort> hosts;
  while (true) {
    while (!list.empty() && parts(list.front())) list.remove_prefix(1);
    if (list.empty()) return hosts;
    const auto end = static_cast<std::size_t>(std::find_if(list.begin(), list.end(), parts) - list.begin());
    SMALTI_TRY(HostPort host, parse_host(list.substr(0, end)));
    if (hosts.size() == most_hosts) return fail(Errc::invalid, fmt::format("more than {} hosts are listed", most_hosts));
    hosts.push_back(std::move(host));
    list.remove_prefix(end);
  }
}

}  // namespace smalti
