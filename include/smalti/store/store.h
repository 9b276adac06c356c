// TileStore: the one interface. Memory, mapped files, plain files, a remote server, many sharded servers: each is a
// TileStore, and composed stores own other stores.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "smalti/base/call.h"
#include "smalti/tile/grid.h"
#include "smalti/tile/tile.h"

namespace smalti {

// got: the tile; nullopt: absent, which is not an error; an error: it may be there, but could not be had.
struct TileGet {
  TileKey key;
  Result<std::optional<Tile>> got = std::optional<Tile>();
};

// only_if: put only while the stored generation is this one (none: only while absent); else Errc::conflict.
// A tile without pixels takes away what is stored under the key, and its room is given back; absent is fine.
// put: the new generation (none after taking away), or why not. Errc::limit means: no room here, try elsewhere; nothing
// was changed.
struct TilePut {
  TileKey key;
  Tile tile;
  std::optional<Generation> only_if;
  Result<Generation> put = Generation::none;
};

// Promises that a caller may rely on.
struct Traits {
  bool waits = false;        // get or put may wait for a disk or a network
  bool durable = false;      // after sync() puts survive a crash
  bool conditional = false;  // honours only_if
  bool shared = false;       // other processes may put the same keys: absent here is not known without asking
  bool heap = false;         // its tiles are charged to Resource::memory: shed() them when that runs over
  std::uint64_t capacity = 0;  // bytes; unlimited where the limit lies elsewhere
};

// A counter for people and metrics: "memory.tiles", "memory.bytes", "192.168.100.50:6668.put.bytes".
struct Count {
  std::string name;
  std::uint64_t value = 0;
};

// Where tiles are at this moment, for -verbose and -debug cache.
struct TierUse {
  std::string tier;   // "Memory", "Map", "Disk", "Distributed"
  std::string place;  // a directory, a server's address, or empty
  std::uint64_t tiles = 0;
  std::uint64_t bytes = 0;
};

// Thread-safe. May wait, so never call it on a network loop, except with Reach::hot, which never waits.
class TileStore {
 public:
  virtual ~TileStore() = default;

  // Announces an image before its first put. Idempotent for an equal spec; conflict for a different one.
  virtual Result<void> open(const Call&, const ImageId&, const ImageSpec&) = 0;
  // Fill .got (.put) of each, in any order. A put replaces the whole tile and never reads first.
  // Two puts of one key at the same time: one of them wins whole. A put for an image that is not open is invalid.
  virtual void get(const Call&, std::span<TileGet>) = 0;
  virtual void put(const Call&, std::span<TilePut>) = 0;
  // Every tile of one image, and what open() told. Idempotent; unknown images are fine.
  virtual Result<void> drop(const Call&, const ImageId&) = 0;
  // Waits until all earlier puts of one image (of all images where none is named) have arrived where they belong, and
  // reports the first that failed since the last sync. If traits().durable they survive a crash from here on.
  virtual Result<void> sync(const Call&, const std::optional<ImageId>&) = 0;
  // Under pressure: gives up about `bytes` of the least valuable tiles and returns them; TilePut::put is the generation
  // that each had. What charged them stays charged until the last copy of the returned tile dies.
  virtual std::vector<TilePut> shed(std::uint64_t bytes) = 0;
  virtual Traits traits() const noexcept = 0;
  virtual void count(const std::function<void(const Count&)>&) const = 0;
  // Use by one image, or by all where none is named.
  virtual void use(const std::optional<ImageId>&, const std::function<void(const TierUse&)>&) const = 0;
};

using StorePtr = std::unique_ptr<TileStore>;

// A batch of one.
Result<std::optional<Tile>> get_one(TileStore&, const Call&, const TileKey&);
Result<Generation> put_one(TileStore&, const Call&, const TileKey&, Tile, std::optional<Generation> only_if = {});

}  // namespace smalti
