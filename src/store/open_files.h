// OpenFiles: the tile files that are open at this moment, a bounded number of them; the one used longest ago
// is closed first.
#pragma once

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "smalti/policy/limits.h"
#include "smalti/tile/tile.h"
#include "store/disk.h"

namespace smalti {

// Thread-safe. Each open file takes one of Resource::file. One that is in use stays open, and counted, until
// its last user is done.
class OpenFiles {
 public:
  // REQUIRES: the ledger outlives this and every file.
  OpenFiles(std::shared_ptr<DiskFolder> folder, Ledger& ledger, std::size_t most)
      : folder_(std::move(folder)), ledger_(ledger), most_(most) {}

  // The image's file: the one that is open, else the one of that name. Waits for the disk.
  Result<std::shared_ptr<DiskFile>> get(const ImageId&, const std::string& name);
  // A new, empty one, which nobody gets before it is kept.
  Result<std::shared_ptr<DiskFile>> make(const std::string& name);
  // From now on this is the image's file.
  void keep(const ImageId&, std::shared_ptr<DiskFile>);
  void forget(const ImageId&);

 private:
  struct Open {
    ImageId image;
    std::shared_ptr<DiskFile> file;
  };
  using Order = std::list<Open>;

  Result<Hold> room();
  Result<std::shared_ptr<DiskFile>> open(const std::string& name, DiskFolder::Make);
  std::shared_ptr<DiskFile> close_oldest();

  const std::shared_ptr<DiskFolder> folder_;
  Ledger& ledger_;
  const std::size_t most_;
  std::mutex mutex_;
  // All below is guarded by mutex_. Files are closed without it.
  Order order_;  // the one used last first
  std::unordered_map<ImageId, Order::iterator> by_image_;
};

}  // namespace smalti
