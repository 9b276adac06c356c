// The distributed tier: many servers as one TileStore.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "net/host_port.h"
#include "net/psk.h"
#include "smalti/base/log.h"
#include "smalti/base/secret.h"
#include "smalti/store/store.h"
#include "wire/attributes.h"

namespace smalti {

namespace net {
class Loop;
}

enum class Placement : std::uint8_t {
  automatic,    // whole images up to 16 MiB round robin, larger ones sharded
  round_robin,  // each image whole on one server
  sharded,      // each image over all servers
};

// Of tiles on their way. automatic: zstd or LZ4 where pixels then move faster, as measured; else none.
enum class Compress : std::uint8_t { automatic, none, lz4, zstd };

struct ClusterOptions {
  std::vector<HostPort> hosts;
  Secret secret;
  std::optional<net::Psk> key;  // the secret's, where the process has it already: deriving it takes a while
  wire::Attributes attributes;
  bool encrypt = true;  // false: `cache:encryption` is none
  Placement placement = Placement::automatic;
  std::uint32_t first = 0;         // the server of the first whole image
  bool random_first = true;        // ... drawn at random instead
  std::uint32_t replicas = 1;      // servers that have each tile; at most 8
  bool for_names = false;          // its images are to get names: they count against the servers' quotas
  std::uint32_t connections = 2;   // to each server
  Compress compress = Compress::automatic;
  bool share = true;  // memory, with servers on this host
  std::chrono::milliseconds connect{5000};
  std::chrono::milliseconds answer{30000};  // a server that is silent for so long is lost
};

// Connects to a server only when an image is first opened there. Thread-safe.
// REQUIRES: loop, heap and log outlive the store.
StorePtr cluster_store(net::Loop&, TileHeap&, Log&, ClusterOptions);

namespace client {

struct Placing;

// Of an image that has a name: asked when tiles were copied, or servers were lost, to remember where its tiles are now:
// `holders`, servers that have some. May wait; on a thread of the cluster's, until it ends.
using Remember =
    std::function<Result<void>(const Call&, Placing, const std::vector<std::string>& holders, bool copied)>;

// The same, for images that outlive it.
class Cluster : public TileStore {
 public:
  // Opens an image that somebody else has put and named, for reading. It stays while it is open here. unavailable: it has
  // gone from a server that no other one can stand in for.
  virtual Result<void> adopt(const Call&, const ImageId&, const ImageSpec&, const Placing&, Remember = {}) = 0;
  // Of such an image: makes sure in the background that its tiles have as many copies as they ought to.
  virtual void look_after(const ImageId&) = 0;
  // The same at once, and waits: how many tiles were copied. unavailable: some have fewer copies still.
  virtual Result<std::uint64_t> restore(const Call&, const ImageId&) = 0;
  // Where the tiles of an open image are. invalid: it is not open.
  virtual Result<Placing> describe(const ImageId&) const = 0;
};
std::unique_ptr<Cluster> make_cluster(net::Loop&, TileHeap&, Log&, const ClusterOptions&);

}  // namespace client

}  // namespace smalti
