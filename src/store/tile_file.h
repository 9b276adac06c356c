// TileFile: one image on disk, for as long as it is to live.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "smalti/store/store.h"
#include "store/open_files.h"
#include "store/tile_scan.h"

namespace smalti {

// Thread-safe; waits for the disk. Locks are taken in the order syncing_, writing_, mutex_.
class TileFile {
 public:
  struct Parts {
    DiskFolder& folder;
    OpenFiles& files;
    Ledger& ledger;
    TileHeap& heap;
    std::uint64_t waste = 0;
  };
  struct Figures {
    std::uint64_t tiles = 0, bytes = 0;
  };

  // What files are called. A new one keeps its first name until its first sync, so that a crash before leaves
  // nothing that looks like an image; a copy is one that is being written anew.
  static std::string name_of(const ImageId& image) { return image.text() + ".tiles"; }
  static std::string new_name_of(const ImageId& image) { return image.text() + ".new"; }
  static std::string copy_name_of(const ImageId& image) { return image.text() + ".copy"; }

  static Result<std::unique_ptr<TileFile>> make(Parts, const ImageId&, const ImageSpec&);
  // Of a file that an earlier process left. One that cannot be read becomes an image whose every use is an
  // error.
  static std::unique_ptr<TileFile> recover(Parts, const ImageId&, std::vector<std::string>& complaints);

  const ImageId& image() const noexcept { return image_; }
  const ImageSpec& spec() const noexcept { return head_.spec; }
  std::string damage() const { return broken_ ? broken_->what : damage_; }
  // An error when the image's file cannot be used at all.
  Result<void> usable() const;

  Result<std::optional<Tile>> get(const TileKey&);
  Result<Generation> put(const TilePut&);
  Result<void> sync();
  // Nothing can be put or got afterwards.
  Result<void> remove();
  Figures figures() const;

 private:
  TileFile(Parts parts, const ImageId& image) : parts_(parts), image_(image) {}

  std::string file_name() const { return named_ ? name_of(image_) : new_name_of(image_); }
  std::string place() const { return (parts_.folder.path() / file_name()).string(); }
  tl::unexpected<Error> damaged(const TileKey&, std::string_view how) const;
  Result<std::shared_ptr<DiskFile>> file();
  Result<void> load(std::vector<std::string>& complaints);
  std::uint64_t waste() const;
  Result<Hold> room_for(std::uint64_t bytes, bool frees);
  Result<void> append(DiskFile&, const tile_file::Record&, const Tile&);
  Result<void> put_in_place();
  void rewrite();
  Result<void> rewrite_now();

  const Parts parts_;
  const ImageId image_;
  // Constant after construction.
  tile_file::Head head_;
  std::optional<Error> broken_;
  std::string damage_;
  bool incomplete_ = false;
  std::uint64_t doubt_ = 0;

  std::mutex syncing_;
  // Guarded by syncing_.
  std::uint64_t serial_ = 0;  // of the last mark
  std::uint64_t synced_end_ = 0;
  std::uint64_t waste_found_ = 0;  // when rewriting last failed: not tried again before it has doubled

  std::mutex writing_;
  // Guarded by writing_.
  std::uint64_t end_ = tile_file::records_at;
  std::uint64_t clock_ = 0, records_ = 0, replacing_ = 0;
  std::optional<Error>
      failed_;  // what was written may not have reached the disk: nothing more is acknowledged
  Hold hold_;
  std::atomic<bool> named_{false};  // changed with syncing_

  mutable std::mutex mutex_;  // also held while the file changes its name, or is opened by it
  // Guarded by mutex_.
  tile_file::Index index_;
  std::uint64_t bytes_ = 0;   // of pixels
  std::uint64_t stored_ = 0;  // of records that count
  bool removed_ = false;
};

}  // namespace smalti
