// House: the objects of a process, built from a Config. The one place that calls every constructor.
#pragma once

#include <memory>

#include "house/config.h"
#include "net/loop.h"
#include "net/psk.h"
#include "ops/engine.h"
#include "ops/picture.h"
#include "smalti/base/log.h"
#include "smalti/base/pool.h"
#include "smalti/policy/limits.h"
#include "smalti/store/stores.h"
#include "smalti/tile/tile_heap.h"

namespace smalti::client {
class Names;
}

namespace smalti::house {

// Members die bottom-up: whoever uses another stands below it. REQUIRES: every picture and cache dies before
// the house, and the Log after it.
struct House {
  House(Config c, Log& l);
  ~House();

  const Config config;
  Log& log;
  Ledger ledger;
  TileHeap heap;
  const net::Psk key;  // of the shared secret
  std::unique_ptr<ops::Engine> engine;  // null in a server
  std::unique_ptr<net::Loop> loop;      // null where nothing leaves this host
  std::unique_ptr<Pool> behind;         // puts on their way down
  std::unique_ptr<Pool> ahead;          // reads on their way up
  std::shared_ptr<TileStore> store;     // memory, map, disk, servers
  std::unique_ptr<client::Names> names;  // images on the servers that have names; null: no servers, or not a client
};

// What the house is for: a client works on pictures, a server keeps tiles for others.
enum class Purpose : std::uint8_t { client, server };

Result<std::unique_ptr<House>> build(Config, Purpose, Log&);
// The named images of these servers.
std::unique_ptr<client::Names> names_on(House&, std::vector<HostPort> hosts);
// Whether what fits no tier here goes on to servers. A server goes on only where the command line says so: a
// policy's hosts are meant for clients, and would make every server of a site a gateway to itself.
bool goes_further(const Config&, Purpose) noexcept;

// What operators need of the house. A `throttle` limit makes every report of progress pause for that long.
ops::Workshop workshop_of(House&, ops::Progress, ops::CacheWatch, ops::PassWatch = {});

// A time limit as a deadline from now on; and the error of a call whose deadline has passed as that limit's.
Call call_for(const House&, std::stop_token);
Error explained(const House&, const Call&, Error);

}  // namespace smalti::house
