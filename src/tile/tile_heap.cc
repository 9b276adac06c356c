// Buffers of one size are cut from slabs of a few MiB, which are mapped directly: the C library's heap keeps what is freed
// in an arena a thread, in pieces that only the same thread can use again. A slab of which nothing is used goes back to
// the system, beyond a bound of idle bytes; so do the pages of idle buffers of one size before slabs are mapped for another.
// The process never has more pages than its tiles had at their most, and the bound. Small buffers come from the C library.
#include "smalti/tile/tile_heap.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <list>
#include <map>
#include <mutex>
#include <numeric>
#include <vector>

namespace smalti {

namespace {

constexpr std::size_t alignment = 64;
constexpr std::size_t page = 4096;
constexpr std::size_t large_page = 2u << 20;
constexpr std::size_t slab_bytes = 4u << 20;  // at least, of large ones
constexpr std::size_t most_slab_bytes = 8u << 20;
constexpr std::size_t first_slab_bytes = 256u << 10;
constexpr std::size_t growth = 3;  // a slab's, against all before it
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SMALTI_ADDRESS_SANITIZER  // as clang says it
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define SMALTI_ADDRESS_SANITIZER
#endif
#if defined(SMALTI_ADDRESS_SANITIZER)
constexpr std::size_t least_mapped = ~std::size_t{0};  // so that the sanitizer sees the end of every buffer
#else
constexpr std::size_t least_mapped = 32u << 10;
#endif

std::size_t rounded(std::size_t bytes, std::size_t to) { return (bytes + to - 1) / to * to; }

// How many buffers a large slab has: so many that it is all large pages, where a few more than slab_bytes hold do that.
std::size_t count_of_large(std::size_t size) {
  const std::size_t least = std::max<std::size_t>(1, slab_bytes / size);
  const std::size_t whole = rounded(least, large_page / std::gcd(size, large_page));
  return whole * size <= most_slab_bytes ? whole : least;
}

// Begins where a large page could; null when there is no memory.
std::byte* map_large(std::size_t bytes) {
  void* const data = ::mmap(nullptr, bytes + large_page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return nullptr;
  auto* const begin = static_cast<std::byte*>(data);
  const std::size_t before = (large_page - reinterpret_cast<std::uintptr_t>(data) % large_page) % large_page;
  if (before > 0) ::munmap(begin, before);
  if (before < large_page) ::munmap(begin + before + rounded(bytes, page), large_page - before);
  ::madvise(begin + before, bytes, MADV_HUGEPAGE);
  return begin + before;
}

std::byte* map_small(std::size_t bytes) {
  void* const data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

std::shared_ptr<std::byte> small_buffer(std::size_t bytes) {
  auto* data = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded(bytes, alignment)));
  if (!data) return nullptr;
  return {data, [](std::byte* done) { std::free(done); }};
}

}  // namespace

struct TileHeap::Shelf {
  struct Slab {
    std::byte* base = nullptr;
    std::size_t count = 0;  // buffers in all
    std::vector<std::byte*> warm, cold;  // free buffers; the cold have no pages

    std::size_t idle() const noexcept { return warm.size() + cold.size(); }
  };
  // Buffers of one size. The slabs that have free buffers stand first.
  struct Class {
    std::list<Slab> slabs;
    std::size_t mapped = 0;  // bytes
  };
  using Place = std::list<Slab>::iterator;

  explicit Shelf(std::uint64_t bound) : idle_bound(bound) {}
  ~Shelf() {
    for (auto& [size, all] : classes)
      for (Slab& slab : all.slabs) unmap(slab, size);
  }

  std::byte* take(std::size_t size, Place& from) {
    const std::lock_guard lock(mutex);
    Class& of = classes[size];
    if (of.slabs.empty() || of.slabs.front().idle() == 0) {
      cool_others(size);
      if (!add_slab(of, size)) return nullptr;
    }
    from = of.slabs.begin();
    auto& stack = from->warm.empty() ? from->cold : from->warm;
    std::byte* const buffer = stack.back();
    stack.pop_back();
    if (&stack == &from->warm) warm_bytes -= size;
    if (from->idle() == 0) of.slabs.splice(of.slabs.end(), of.slabs, from);
    return buffer;
  }

  void give_back(std::byte* buffer, std::size_t size, Place slab) {
    const std::lock_guard lock(mutex);
    Class& of = classes[size];
    slab->warm.push_back(buffer);
    warm_bytes += size;
    of.slabs.splice(of.slabs.begin(), of.slabs, slab);
    if (slab->idle() == slab->count && warm_bytes > idle_bound) remove(of, size, slab);
  }

  // The first slabs of a size are small: borders of images have sizes of their own, and few tiles. Large ones are asked
  // for in large pages, which cost a fault, and an entry in the processor's table of pages, for 2 MiB, not for 4 KiB.
  bool add_slab(Class& of, std::size_t size) {
    const std::size_t wanted = std::max(first_slab_bytes, growth * of.mapped);
    const bool large = wanted >= slab_bytes;
    Slab slab;
    slab.count = large ? count_of_large(size) : std::max<std::size_t>(1, wanted / size);
    const std::size_t bytes = slab.count * size;
    slab.base = large ? map_large(bytes) : map_small(bytes);
    if (!slab.base) return false;
    of.mapped += bytes;
    slab.warm.reserve(slab.count);
    slab.cold.reserve(slab.count);
    for (std::size_t n = slab.count; n > 0; --n) slab.cold.push_back(slab.base + (n - 1) * size);
    of.slabs.push_front(std::move(slab));
    return true;
  }

  static void unmap(const Slab& slab, std::size_t size) { ::munmap(slab.base, slab.count * size); }

  void remove(Class& of, std::size_t size, Place slab) {
    warm_bytes -= slab->warm.size() * size;
    of.mapped -= slab->count * size;
    unmap(*slab, size);
    of.slabs.erase(slab);
  }

  void cool_others(std::size_t size) {
    for (auto of = classes.begin(); of != classes.end() && warm_bytes > idle_bound; ++of) {
      if (of->first == size) continue;
      for (Place next = of->second.slabs.begin(); next != of->second.slabs.end() && next->idle() > 0;) {
        const Place slab = next++;
        if (slab->idle() == slab->count)
          remove(of->second, of->first, slab);
        else
          cool(*slab, of->first);
      }
    }
  }

  void cool(Slab& slab, std::size_t size) {
    for (std::byte* buffer : slab.warm) ::madvise(buffer, size, MADV_DONTNEED);
    warm_bytes -= slab.warm.size() * size;
    slab.cold.insert(slab.cold.end(), slab.warm.begin(), slab.warm.end());
    slab.warm.clear();
  }

  const std::uint64_t idle_bound;
  mutable std::mutex mutex;
  // All below is guarded by mutex.
  std::map<std::size_t, Class> classes;  // by size; images have few tile sizes
  std::uint64_t warm_bytes = 0;          // in free buffers
};

TileHeap::TileHeap(std::uint64_t idle_bytes) : shelf_(std::make_shared<Shelf>(idle_bytes)) {}

std::shared_ptr<std::byte> TileHeap::take(std::size_t bytes) {
  if (bytes < least_mapped) return small_buffer(bytes);
  const std::size_t size = rounded(bytes, page);
  Shelf::Place slab;
  std::byte* buffer = shelf_->take(size, slab);
  if (!buffer) return nullptr;
  return {buffer, [shelf = shelf_, size, slab](std::byte* done) { shelf->give_back(done, size, slab); }};
}

TileHeap::Idle TileHeap::idle() const {
  const std::lock_guard lock(shelf_->mutex);
  Idle sum{shelf_->warm_bytes, 0};
  for (const auto& [size, of] : shelf_->classes)
    for (const Shelf::Slab& slab : of.slabs) sum.cold += slab.cold.size() * size;
  return sum;
}

}  // namespace smalti
