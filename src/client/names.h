// Names: images in the cluster that have a name: finding, reading, writing, listing and deleting them.
// doc/named-images.md says what is promised, and why it holds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "client/details.h"
#include "client/quorum.h"
#include "client/scouts.h"

namespace smalti::client {

// A version of an image, open for reading: it stays while `store` lives, whatever becomes of its name.
struct NamedImage {
  wire::native::NameRecord record;
  std::vector<std::byte> sidecar;
  std::vector<bool> written;  // by grid index: the tiles that there are
  std::shared_ptr<TileStore> store;  // reads only; has the image open
};

// A new version of a name on its way. The lock is this object's, and ends with it; unless it was committed nothing is left.
// Used by one thread at a time.
class NameWriter {
 public:
  virtual ~NameWriter() = default;
  // Where its tiles go: servers only.
  virtual std::shared_ptr<TileStore> store() const = 0;
  // From here on readers get this image. REQUIRES: the image is open in store(), and synced. conflict: the lock was lost.
  // Where it fails with unavailable, readers see the old version or the new one, all of it.
  virtual Result<void> commit(const Call&, const ImageId&, const ImageSpec&, std::uint32_t depth,
                              std::vector<std::byte> sidecar) = 0;
};

struct ServerLine {
  std::string address;
  std::optional<Error> failed;  // it was not reached
  wire::native::Id id{};
  bool durable = false;
  wire::native::UseReport use;
  std::uint64_t names = 0, quota = 0, used = 0;
};
struct NameLine {
  std::string name;
  wire::native::NameRecord record;  // of the latest version seen; no image: none was ever finished
  bool unfinished = false;
  bool deleted = false;         // but some server has missed that, and still keeps what it had
  std::string writer;           // who holds its lock; empty: nobody
  std::uint64_t held_bytes = 0;  // on all servers, all copies
  std::size_t keepers = 0, reached = 0;
};
struct Listing {
  std::vector<ServerLine> servers;  // as listed
  std::vector<NameLine> names;
};

// Thread-safe: each call has connections of its own. REQUIRES: loop, heap and log outlive it and all that it made.
class Names {
 public:
  Names(net::Loop& loop, TileHeap& heap, Log& log, ClusterOptions options);

  // unavailable: there is no such image, or too few of its servers can be reached. Frees what a writer left that died
  // before it was done.
  Result<NamedImage> open(const Call&, const std::string& name);
  // The same without reading: whoever keeps what a writer left may ask that it be freed.
  Result<void> free_left_over(const Call&, const std::string& name);
  // Takes the lock. conflict: somebody else writes.
  Result<std::unique_ptr<NameWriter>> write(const Call&, const std::string& name);
  // `forced`: also without a majority. The servers that cannot be reached are taken for gone for good: what they have of
  // the name, even if it is later than what is known here, counts for less than the deletion from now on.
  Result<void> erase(const Call&, const std::string& name, bool forced = false);
  // Copies tiles of which servers were lost, until each has its copies, and registers the name on the servers that there
  // are: so it survives the next loss, too. How many were copied. unavailable: some have fewer copies still.
  Result<std::uint64_t> repair(const Call&, const std::string& name);
  Result<Listing> list(const Call&);
  // Of the servers' links, as a cluster's: of all images that were opened or written, closed ones, too.
  void count(const std::function<void(const Count&)>&) const;

 private:
  void sweep(const Call&, const std::string& name, const wire::native::NameRecord&, const std::vector<std::byte>& sidecar,
             const Cluster&) const;

  Result<void> cancel(const Call&, const std::string& name) const;

  class Counters;
  std::shared_ptr<Cluster> counted(std::unique_ptr<Cluster>) const;
  Result<NamedImage> open(const Call&, const std::string& name, std::shared_ptr<Cluster>& store);
  Remember remember(const std::string& name, const wire::native::NameRecord&, const std::vector<std::byte>& sidecar) const;

  net::Loop& loop_;
  TileHeap& heap_;
  Log& log_;
  ClusterOptions options_;  // constant
  std::shared_ptr<Counters> counters_;
};

}  // namespace smalti::client
