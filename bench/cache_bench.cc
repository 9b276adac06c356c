// The pixel cache beside memcpy: strips, rows and single pixels, read and written, from one and two threads.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <vector>

#include "smalti/cache/pixel_cache.h"
#include "smalti/store/stores.h"

namespace smalti {
namespace {

constexpr PixelFormat rgb8{Sample::u8, 3, 0};
constexpr Extent image{8000, 4096};

Limits no_limits() {
  Limits limits{};
  limits.most.fill(unlimited);
  return limits;
}

struct Buffer {
  explicit Buffer(Extent size)
      : bytes(size.area() * 3, std::byte{1}), pixels{bytes.data(), size, size.w * std::ptrdiff_t{3}, rgb8} {}
  std::vector<std::byte> bytes;
  MutablePixels pixels;
};

// A picture in memory, the same for all threads of a run.
struct InMemory {
  InMemory() {
    const Buffer strip({image.w, 256});
    for (std::uint32_t y = 0; cache && y < image.h; y += 256)
      if (!cache->write(Call{}, {0, y, {image.w, 256}}, strip.pixels)) std::abort();
    if (!cache) std::abort();
  }
  Ledger ledger{no_limits()};
  TileHeap heap;
  Pool ahead{1};
  Result<PixelCache> cache =
      PixelCache::create({memory_store(ledger), ledger, heap, ahead}, Call{}, {image, rgb8, {256, 256}});
};

InMemory& shared() {
  static InMemory one;
  return one;
}

// Bytes copied, so that all of them compare with memcpy.
void read_strips(benchmark::State& state) {
  InMemory& picture = shared();
  const auto high = static_cast<std::uint32_t>(state.range(0));
  Buffer into({image.w, high});
  std::uint32_t y = high * 2 * static_cast<std::uint32_t>(state.thread_index());
  for (auto _ : state) {
    if (y + high > image.h) y = 0;
    if (!picture.cache->read(Call{}, {0, y, {image.w, high}}, into.pixels))
      state.SkipWithError("read failed");
    y += high;
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(into.bytes.size()));
}
BENCHMARK(read_strips)->Arg(1)->Arg(16)->Arg(256)->ThreadRange(1, 2)->UseRealTime();

// The same, hanging over all borders by a halo of five pixels.
void read_halo(benchmark::State& state) {
  InMemory& picture = shared();
  const auto high = static_cast<std::uint32_t>(state.range(0));
  Buffer into({image.w + 10, high + 10});
  std::int64_t y = 0;
  for (auto _ : state) {
    if (y + high > image.h) y = 0;
    if (!picture.cache->read(Call{}, {-5, y - 5, into.pixels.size}, into.pixels))
      state.SkipWithError("read failed");
    y += high;
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(into.bytes.size()));
}
BENCHMARK(read_halo)->Arg(16)->Arg(256)->ThreadRange(1, 2)->UseRealTime();

void read_pixel(benchmark::State& state) {
  InMemory& picture = shared();
  Buffer into({1, 1});
  std::uint32_t x = 0;
  for (auto _ : state) {
    x = (x + 1) % image.w;
    if (!picture.cache->read(Call{}, {x, 77, {1, 1}}, into.pixels)) state.SkipWithError("read failed");
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(read_pixel)->ThreadRange(1, 2)->UseRealTime();

void write_strips(benchmark::State& state) {
  Ledger ledger(no_limits());
  TileHeap heap;
  Pool ahead(1);
  auto cache =
      PixelCache::create({memory_store(ledger), ledger, heap, ahead}, Call{}, {image, rgb8, {256, 256}});
  const auto high = static_cast<std::uint32_t>(state.range(0));
  const Buffer from({image.w, high});
  std::uint32_t y = 0;
  for (auto _ : state) {
    if (y + high > image.h) y = 0;
    if (!cache || !cache->write(Call{}, {0, y, {image.w, high}}, from.pixels))
      state.SkipWithError("write failed");
    y += high;
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(from.bytes.size()));
}
BENCHMARK(write_strips)->Arg(1)->Arg(16)->Arg(256);

// What read_strips costs at least: the same bytes, from memory as large.
void copy_strips(benchmark::State& state) {
  const auto high = static_cast<std::uint32_t>(state.range(0));
  static const std::vector<std::byte> whole_picture(image.area() * 3, std::byte{1});
  std::vector<std::byte> into(std::size_t{image.w} * high * 3);
  std::size_t at = 0;
  for (auto _ : state) {
    if (at + into.size() > whole_picture.size()) at = 0;
    std::memcpy(into.data(), whole_picture.data() + at, into.size());
    benchmark::ClobberMemory();
    at += into.size();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(into.size()));
}
BENCHMARK(copy_strips)->Arg(1)->Arg(16)->Arg(256)->ThreadRange(1, 2)->UseRealTime();

}  // namespace
}  // namespace smalti
