// Every tier, one line each; the classes hide in .cc files. Factories return an owning pointer.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "smalti/base/log.h"
#include "smalti/base/pool.h"
#include "smalti/policy/limits.h"
#include "smalti/store/store.h"

namespace smalti {

// Tiles at rest in the heap. Room is taken from Resource::memory; an image whose area exceeds Resource::area is
// refused (Errc::limit). REQUIRES (all of these): Ledger and TileHeap outlive the store and every tile got from it.
StorePtr memory_store(Ledger&);

// Tiles in mapped, unlinked, preallocated files; a Tile's owner is its mapping. Room is taken from Resource::map, a file
// an image from Resource::file. Fails (as does the next one) when no file can be made in the folder; a full disk is
// Errc::limit on put.
Result<StorePtr> mapped_store(Ledger&, std::filesystem::path folder);

// Tiles in unlinked, preallocated files, by pread and pwrite. Room is taken from Resource::disk, a file an
// image from Resource::file. Written tiles carry a checksum that each get verifies (Errc::corrupt).
Result<StorePtr> disk_store(Ledger&, TileHeap&, std::filesystem::path folder);

struct Tier {
  std::string name;  // "Memory", "Map", "Disk", "Distributed"
  StorePtr store;
};

struct TieredOptions {
  // Most bytes of puts on their way to a tier that waits, charged to the ledger's memory; with a ledger at most a quarter
  // of its memory limit, but 8 MiB in any case. Tiles come a row at a time, which is up to an eighth: while one row is on
  // its way the next is made.
  std::uint64_t behind_bytes = 64u << 20;
  // When its memory runs over (a working set grew), tiles at rest in the heap sink. Null: no such pressure.
  Ledger* ledger = nullptr;
  // A put returns when the tile is where it stays, or says why it found no place: for a server, whose answer its clients
  // rely on. Else a put that goes to a tier that waits is only reported by a later put or sync.
  bool through = false;
  // Called, once, when an image is opened for which memory, map and disk have no room left by the ledger: so that what a
  // last tier needs long for can begin while the first tiles are made. On the opener's thread; must not wait.
  std::function<void()> overflows;
  bool rise = true;                        // hot tiles rise to a faster tier that has room, or colder tiles
};

// Fastest first, at most eight. A put goes to the first tier with room: the tile that no longer fits goes down, the rest
// stay. Puts to a tier that waits go behind the caller's back, through `background`, in a bounded queue: such a tile stays
// readable until the lower put is acknowledged. One that fails makes further puts of its image fail with the same error
// until a sync has reported it; reading that tile stays an error. A lower tier is opened for an image only when the
// image's first tile goes there. Keys that were not put through this store are looked for only in tiers that are shared.
StorePtr tiered_store(std::vector<Tier> fastest_first, Pool& background, TieredOptions options = {});

}  // namespace smalti
