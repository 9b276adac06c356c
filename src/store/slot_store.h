// SlotStore: what mapped and disk store have in common. Each image has a file of its own, so that a drop gives the disk
// its room back at once.
#pragma once

#include <filesystem>
#include <functional>

#include "smalti/store/stores.h"
#include "store/slots.h"
#include "store/tile_table.h"

namespace smalti {

struct SlotStoreOptions {
  std::string tier;   // "Disk"
  std::string count;  // "disk"
  std::filesystem::path folder;
  Resource resource = Resource::disk;
  std::uint64_t align = 1;
  bool waits = true;
  bool sheds = false;
  bool checksums = true;
  std::function<Result<std::unique_ptr<Medium>>()> make_medium;  // called with an image's first put
};

StorePtr slot_store(Ledger&, SlotStoreOptions);

}  // namespace smalti
