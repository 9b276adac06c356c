// TileHeap: buffers of tiles, recycled, so that a busy pipeline neither maps nor faults pages anew for each tile; and given
// back to the system when they are not used, so that the process takes no more than its tiles do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace smalti {

// Thread-safe. Copies share their buffers. Buffers may outlive the heap object: they share what they need of it.
class TileHeap {
 public:
  // At most `idle_bytes` of freed buffers keep their pages for reuse.
  explicit TileHeap(std::uint64_t idle_bytes = 16u << 20);

  // 64-byte aligned, not zeroed; null when the system has no memory left.
  std::shared_ptr<std::byte> take(std::size_t bytes);

  // At this moment. Room that was freed, has its pages, and waits for reuse; and room without pages.
  struct Idle {
    std::uint64_t warm = 0, cold = 0;  // bytes
  };
  Idle idle() const;

 private:
  struct Shelf;
  std::shared_ptr<Shelf> shelf_;
};

}  // namespace smalti
