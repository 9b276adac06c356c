// connect: to a host by name, IPv4 or IPv6 address.
#pragma once

#include <memory>
#include <stop_token>

#include "net/host_port.h"
#include "net/tcp.h"

namespace smalti::net {

// Tries every address the name has, each with its share of the time that is left. Must run on a loop. Fails with
// unavailable or timeout, and names host, port and what happened to the last address tried; with cancelled when `stop`
// is requested, which must happen on the loop.
Task<std::unique_ptr<TcpStream>> connect(HostPort host, Clock::time_point deadline, std::stop_token stop = {});

}  // namespace smalti::net
