// TileHeap: buffers of tiles, recycled, so that a busy pipeline neither maps nor faults pages anew for each tile.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace smalti {

// Thread-safe. Buffers may outlive the heap object: they share what they need of it.
class TileHeap {
 public:
  // At most `idle_bytes` of freed buffers are kept for reuse.
  explicit TileHeap(std::uint64_t idle_bytes = 16u << 20);

  // 64-byte aligned, not zeroed; null when the system has no memory left.
  std::shared_ptr<std::byte> take(std::size_t bytes);

 private:
  struct Shelf;
  std::shared_ptr<Shelf> shelf_;
};

}  // namespace smalti
