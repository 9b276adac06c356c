// A native client's visit: hello, requests, replies, goodbye.
#pragma once

#include <atomic>
#include <memory>

#include "net/loop.h"
#include "net/psk.h"
#include "server/admission.h"
#include "server/budget.h"
#include "server/catalog.h"
#include "server/complaints.h"
#include "server/identity.h"
#include "server/leases.h"
#include "server/mender.h"
#include "server/native_connection.h"
#include "server/server.h"

namespace smalti::server {

// What all native clients of a server share. REQUIRES: outlives every coroutine of its tasks.
struct NativeHost {
  NativeHost(const ServerParts&, const ServerOptions&, Identity);

  ServerParts parts;
  const ServerOptions options;
  const net::Psk psk;
  const Identity identity;
  Complaints complaints;  // about whoever has not proved the secret, or does not fit
  net::Tasks tasks;
  Budget in_flight;
  SharedRoom shared;
  Leases leases;
  Catalog catalog;
  Mender mender;
};

// Takes in what was kept of an earlier life. Before the first client.
void restore_names(NativeHost& host);

// Serves one connection to its end. TLS has not begun; the peer's first byte says that it will. The ticket is
// a stranger's until the client has proved the secret and fits.
asio::awaitable<void> serve_native(NativeHost& host, std::unique_ptr<net::TcpStream> stream,
                                   Admission::Ticket& ticket, Clock::time_point handshake_deadline);

}  // namespace smalti::server
