// Images that outlive the process: tiles and names in a folder that a server is given with -define
// cache:persist=FOLDER. doc/disk-format.md says byte for byte what stands there.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "smalti/policy/limits.h"
#include "smalti/store/store.h"
#include "store/disk.h"
#include "store/name_book.h"

namespace smalti {

struct PersistOptions {
  std::uint32_t open_files =
      64;  // tile files kept open, at most; each takes one of Resource::file while it is
  std::uint64_t waste = 4u << 20;  // bytes of replaced tiles that an image may have beyond what it holds,
                                   // before its file is written anew
};

struct PersistedImage {
  ImageId image;
  ImageSpec spec;  // all zero where not even that can be read
  std::uint64_t tiles = 0;
  std::uint64_t bytes = 0;  // pixels
  std::string damage;       // empty: none that shows without reading the pixels
};

// What a folder holds. The store has every image of `images` open already. Those that nothing refers to are
// the caller's to drop.
struct Persisted {
  StorePtr store;
  std::unique_ptr<NameBook> names;
  std::vector<PersistedImage> images;
  std::vector<std::string> complaints;  // for the log: each names a file and what became of it
};

// The store: durable and conditional; waits. Room is taken from Resource::disk, for all that is in the files.
//
// An image has a file of its own from open() on. After sync(image) the image and all tiles put before survive
// a crash. An image that was never synced is gone after a restart, and so may be what was put since the last
// sync; but what is got is never torn, never older than what was synced, and no byte of it differs from what
// was put. Damage is an error and never pixels: a tile whose bytes are not those that were put is
// Errc::corrupt and names file, image and tile; so is every tile that may have stood in a damaged part of the
// file; so is all of an image whose file's head is damaged. drop() removes a damaged image, too.
//
// Fails when the folder cannot be had, belongs to another process, or is of another format. REQUIRES: Ledger
// outlives the store, TileHeap also the tiles.
Result<Persisted> open_persisted(Ledger&, TileHeap&, const std::filesystem::path& folder,
                                 PersistOptions options = {});
// The same over a folder of any kind: for tests.
Result<Persisted> open_persisted(Ledger&, TileHeap&, std::shared_ptr<DiskFolder>,
                                 PersistOptions options = {});

}  // namespace smalti
