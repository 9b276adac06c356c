#include "smalti/tile/tile_heap.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <new>
#include <vector>

namespace smalti {

namespace {
constexpr std::size_t alignment = 64;
}

struct TileHeap::Shelf {
  explicit Shelf(std::uint64_t bound) : idle_bound(bound) {}
  ~Shelf() {
    for (auto& [size, buffers] : free)
      for (std::byte* buffer : buffers) std::free(buffer);
  }

  void give_back(std::byte* buffer, std::size_t size) noexcept {
    {
      const std::lock_guard lock(mutex);
      if (idle + size <= idle_bound) try {
          free[size].push_back(buffer);
          idle += size;
          return;
        } catch (const std::bad_alloc&) {
        }
    }
    std::free(buffer);
  }

  const std::uint64_t idle_bound;
  std::mutex mutex;
  std::map<std::size_t, std::vector<std::byte*>> free;  // by size; images have few tile sizes
  std::uint64_t idle = 0;
};

TileHeap::TileHeap(std::uint64_t idle_bytes) : shelf_(std::make_shared<Shelf>(idle_bytes)) {}

std::shared_ptr<std::byte> TileHeap::take(std::size_t bytes) {
  const std::size_t size = (bytes + alignment - 1) / alignment * alignment;
  std::byte* buffer = nullptr;
  {
    const std::lock_guard lock(shelf_->mutex);
    if (const auto found = shelf_->free.find(size); found != shelf_->free.end() && !found->second.empty()) {
      buffer = found->second.back();
      found->second.pop_back();
      shelf_->idle -= size;
    }
  }
  if (!buffer) buffer = static_cast<std::byte*>(std::aligned_alloc(alignment, size));
  if (!buffer) return nullptr;
  return {buffer, [shelf = shelf_, size](std::byte* done) { shelf->give_back(done, size); }};
}

}  // namespace smalti
