// A server is a store with a network in front.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "net/network.h"
#include "net/psk.h"
#include "server/guest.h"
#include "server/names_parts.h"
#include "smalti/base/log.h"
#include "smalti/base/pool.h"
#include "smalti/base/secret.h"
#include "smalti/policy/limits.h"
#include "smalti/store/store.h"
#include "wire/attributes.h"
#include "wire/magick_dialect.h"

namespace smalti {

namespace net {
class Loop;
}

struct ServerOptions {
  std::string address;          // empty: all, IPv4 and IPv6
  std::uint16_t port = 6668;    // 0: any free one
  Secret secret;                // never empty
  std::optional<net::Psk> key;  // the secret's, where the process has it already: deriving it takes a while
  wire::Attributes attributes;
  std::string name = "smalti";  // told to clients, for their logs

  // What ImageMagick's own clients are greeted with; none: the port speaks to Smalti's clients only, and
  // waits for them to speak first. Smalti's own clients do not mind.
  std::optional<wire::magick::Dialect> greeting = wire::magick::Dialect{};
  std::vector<net::Network> guests_from;  // where they may come from; empty: anywhere
  bool plain = false;                     // `cache:encryption` is none: clients that ask for it may leave TLS

  std::chrono::milliseconds grace{30000};  // an image outlives its client's last connection by so long
  // A peer that says nothing at all is closed, or one of ImageMagick's that does not answer its greeting.
  std::chrono::milliseconds silence{1000};
  std::chrono::milliseconds handshake{5000};  // one that does not finish its handshake, too
  // One that stops in the middle, or does not read what it asked for, is closed too.
  std::chrono::milliseconds stall{30000};
  // ... after so long already where others wait for the room that it holds. 512 KiB have to pass in the time.
  std::chrono::milliseconds pressure{4000};
  std::uint32_t clients = 1024;               // connections
  std::uint32_t strangers = 256;              // of these, not yet authenticated
  std::uint64_t in_flight_bytes = 64u << 20;  // payload being received or sent, over all connections
  std::uint64_t shared_bytes = 256u << 20;    // memory lent to clients on this host, over all connections; 0: none
  std::filesystem::path state;                // a folder for the server's id; empty: a new id every time
};

// REQUIRES: all of these outlive the server.
struct ServerParts {
  net::Loop& loop;
  std::shared_ptr<TileStore> store;
  Ledger& ledger;  // width, height and list-length are enforced here, the rest by the store
  TileHeap& heap;
  Pool& waiters;  // its threads wait for the store: as many as may wait at once
  Log& log;
  server::GuestHandler guests;  // serves ImageMagick's clients; empty: they are told no
  server::NamesParts names = {};
};

// Serves from the moment it is made until it is drained. Thread-safe; never on the loop's thread.
class Server {
 public:
  // Fails with invalid without a secret, and with io where the port is taken.
  static Result<std::unique_ptr<Server>> listen(ServerParts, ServerOptions);
  ~Server();  // drains without any grace
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  std::uint16_t port() const;  // the real one
  std::string where() const;   // "[::]:6668", for the ready line
  std::string id() const;      // 32 hex digits

  // No new connections. Waits until all clients have gone, or so long; then tells the rest goodbye, hangs up,
  // and drops what images are left. Idempotent.
  void drain(Clock::duration grace);

  struct Use {
    std::size_t connections = 0, strangers = 0, sessions = 0, images = 0;
    std::uint64_t in_flight_bytes = 0, shared_bytes = 0;
    std::uint64_t evicted = 0;  // strangers that were hung up on to make room
  };
  Use use() const;
  std::vector<server::LeftOver> left_over() const;

 private:
  struct State;
  explicit Server(std::unique_ptr<State>);
  std::unique_ptr<State> state_;
};

}  // namespace smalti
