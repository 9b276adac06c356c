// ImageRecord: what this client knows of one image: where each of its tiles was put.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "client/placement.h"
#include "store/open_images.h"

namespace smalti::client {

// Thread-safe. Servers are indices into the store's list. Two bytes a tile, so that an exception to the placement costs
// no more than the rule.
class ImageRecord : public OpenImage {
 public:
  // `first`: whole on that server; none: sharded by `rendezvous`.
  ImageRecord(const ImageSpec&, std::optional<std::uint32_t> first, const Rendezvous&, std::uint32_t servers);

  const Grid& grid() const noexcept { return grid_; }
  // Where a tile belongs, best first.
  std::uint32_t home(const TileKey&) const noexcept;
  std::vector<std::uint32_t> order(const TileKey&) const;
  // Those that hold some of it if nothing goes wrong.
  std::vector<std::uint32_t> expected_servers() const;

  // Where it was put. REQUIRES, here and below: grid().has(key).
  std::optional<std::uint32_t> holder(const TileKey&) const;
  // A put has succeeded; the server that had it before, if another.
  std::optional<std::uint32_t> placed(const TileKey&, std::uint32_t server);
  // It was taken away there.
  void removed(const TileKey&, std::uint32_t server);

  // The life of a server in which the image was opened there; 0: not yet.
  std::uint64_t epoch(std::uint32_t server) const;
  void opened(std::uint32_t server, std::uint64_t epoch);
  // To be opened there: never was, or the server was restarted before it held a tile.
  bool needs_opening(std::uint32_t server, std::uint64_t epoch_now) const;
  std::vector<std::uint32_t> opened_servers() const;

  struct Part {
    std::uint64_t epoch = 0, tiles = 0, bytes = 0;
  };
  Part part(std::uint32_t server) const;

 private:
  void count(const TileKey&, std::uint32_t server, bool more);

  const Grid grid_;
  const std::optional<std::uint32_t> first_;
  const Rendezvous rendezvous_;
  const std::uint32_t servers_;
  mutable std::mutex mutex_;
  std::vector<std::uint16_t> holders_;  // by grid index: the server's index and one; 0: not put. Guarded by mutex_
  std::vector<Part> parts_;             // by server. Guarded by mutex_
};

}  // namespace smalti::client
