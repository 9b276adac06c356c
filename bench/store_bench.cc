// Getting and putting tiles of 192 KiB and 384 KiB (256x256 pixels of three channels, 8 and 16 bits) from memory, map and
// disk, beside memcpy; and how memory scales with threads.
//
//   cmake --preset bench && cmake --build --preset bench --target smalti_bench && build/bench/smalti_bench
#include <benchmark/benchmark.h>

#include <cstring>
#include <filesystem>
#include <vector>

#include "smalti/store/stores.h"

namespace smalti {
namespace {

constexpr std::uint32_t tiles = 256;  // 48 or 96 MiB: more than caches hold, less than memory

ImageSpec spec_of(std::int64_t kib) {
  const Sample sample = kib == 192 ? Sample::u8 : Sample::u16;
  return {{256 * 16, 256 * 16}, {sample, 3, 0}, {256, 256}};
}

enum Kind { memory, map, disk, tiered_memory, tiered_disk };

struct Bed {
  explicit Bed(Kind kind) {
    limits.most.fill(unlimited);
    if (kind == tiered_disk) limits[Resource::memory] = 0;
    ledger = std::make_unique<Ledger>(limits);
    const auto folder = std::filesystem::temp_directory_path();
    switch (kind) {
      case memory: store = memory_store(*ledger); break;
      case map: store = mapped_store(*ledger, folder).value(); break;
      case disk: store = disk_store(*ledger, heap, folder).value(); break;
      case tiered_memory:
      case tiered_disk: {
        std::vector<Tier> all;
        all.push_back({"Memory", memory_store(*ledger)});
        all.push_back({"Disk", disk_store(*ledger, heap, folder).value()});
        store = tiered_store(std::move(all), pool, {.ledger = ledger.get()});
      }
    }
  }
  ~Bed() { store.reset(); }

  void open(const ImageSpec& spec) {
    image = ImageId::fresh();
    if (!store->open({}, image, spec)) std::abort();
  }
  TileKey key(std::uint32_t n) const { return {image, 0, n % 16, n / 16 % 16}; }
  Tile tile(const ImageSpec& spec) {
    auto draft = TileDraft::make(spec.tile, spec.format, heap).value();
    std::memset(draft.bytes().data(), 7, draft.bytes().size());
    return std::move(draft).freeze();
  }
  void fill(const ImageSpec& spec) {
    for (std::uint32_t n = 0; n < tiles; ++n)
      if (!put_one(*store, {}, key(n), tile(spec))) std::abort();
    if (!store->sync({}, image)) std::abort();
  }

  Limits limits;
  std::unique_ptr<Ledger> ledger;
  TileHeap heap;
  Pool pool{2};
  StorePtr store;
  ImageId image;
};

void copy(benchmark::State& state) {
  const std::size_t bytes = static_cast<std::size_t>(state.range(0)) << 10;
  std::vector<std::byte> from(bytes * tiles), into(bytes);
  std::size_t n = 0;
  for (auto _ : state) {
    std::memcpy(into.data(), from.data() + bytes * (n++ % tiles), bytes);
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0) << 10);
}

// Gets a tile and reads it all, as an operator would.
void get(benchmark::State& state, Kind kind) {
  Bed bed(kind);
  const ImageSpec spec = spec_of(state.range(0));
  bed.open(spec);
  bed.fill(spec);
  std::vector<std::byte> into(static_cast<std::size_t>(state.range(0)) << 10);
  std::uint32_t n = 0;
  for (auto _ : state) {
    const auto got = get_one(*bed.store, {}, bed.key(n++ % tiles));
    std::memcpy(into.data(), (**got).bytes().data(), into.size());
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0) << 10);
}

// Fills a draft and puts it; the image is dropped and begun anew when it is full.
void put(benchmark::State& state, Kind kind) {
  Bed bed(kind);
  const ImageSpec spec = spec_of(state.range(0));
  bed.open(spec);
  std::uint32_t n = 0;
  for (auto _ : state) {
    if (n == tiles) {
      if (!bed.store->sync({}, bed.image) || !bed.store->drop({}, bed.image)) std::abort();
      bed.open(spec);
      n = 0;
    }
    if (!put_one(*bed.store, {}, bed.key(n++), bed.tile(spec))) std::abort();
  }
  state.SetBytesProcessed(state.iterations() * state.range(0) << 10);
}

// Many threads get tiles of one image: the cost of the look-up alone.
void look_up(benchmark::State& state, Kind kind) {
  static std::unique_ptr<Bed> bed;
  if (state.thread_index() == 0) {
    bed = std::make_unique<Bed>(kind);
    bed->open(spec_of(192));
    bed->fill(spec_of(192));
  }
  auto n = static_cast<std::uint32_t>(state.thread_index()) * 37;
  for (auto _ : state) benchmark::DoNotOptimize(get_one(*bed->store, {}, bed->key(n++ % tiles)));
  state.SetItemsProcessed(state.iterations());
  if (state.thread_index() == 0) bed.reset();
}

BENCHMARK(copy)->Arg(192)->Arg(384);
BENCHMARK_CAPTURE(get, memory, memory)->Arg(192)->Arg(384);
BENCHMARK_CAPTURE(get, map, map)->Arg(192)->Arg(384);
BENCHMARK_CAPTURE(get, disk, disk)->Arg(192)->Arg(384);
BENCHMARK_CAPTURE(get, tiered_memory, tiered_memory)->Arg(192)->Arg(384);
BENCHMARK_CAPTURE(put, memory, memory)->Arg(192)->Arg(384)->UseRealTime();
BENCHMARK_CAPTURE(put, map, map)->Arg(192)->Arg(384)->UseRealTime();
BENCHMARK_CAPTURE(put, disk, disk)->Arg(192)->Arg(384)->UseRealTime();
BENCHMARK_CAPTURE(put, tiered_disk, tiered_disk)->Arg(192)->Arg(384)->UseRealTime();
BENCHMARK_CAPTURE(look_up, memory, memory)->ThreadRange(1, 8);
BENCHMARK_CAPTURE(look_up, tiered, tiered_memory)->ThreadRange(1, 8);

}  // namespace
}  // namespace smalti
