// A server is a store with a network in front.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "smalti/base/log.h"
#include "smalti/base/pool.h"
#include "smalti/base/secret.h"
#include "smalti/policy/limits.h"
#include "smalti/store/store.h"

namespace smalti {

namespace net {
class Loop;
}

struct ServerOptions {
  std::string address = "";  // empty: all, IPv4 and IPv6
  std::uint16_t port = 6668;  // 0: any free one
  std::chrono::milliseconds grace{30000};      // an image outlives its client's last connection by so long
  std::chrono::milliseconds handshake{5000};   // a peer that never speaks is closed
  std::uint32_t clients = 1024;                // connections
  std::uint32_t strangers = 64;                // of these, not yet authenticated
  std::uint64_t in_flight_bytes = 64u << 20;   // payload being received or sent, over all connections
};

}  // namespace smalti
