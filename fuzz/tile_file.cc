// The reader of tile files and names: whatever stands in a folder, no crash, no memory but in proportion to
// it, and no tile that does not fit its checksum. The first byte chooses: a name's file as it is; a tile file
// as it is; or records that are sealed right around the bytes (a check that holds is not something a fuzzer
// finds).
#include <cstdlib>
#include <cstring>
#include <vector>

#include "store/persisted_store.h"
#include "store/tile_file_format.h"
#include "test/store/simulated_disk.h"

namespace {

using namespace smalti;
using namespace smalti::tile_file;
using test::SimulatedDisk;

const ImageId image = {};
constexpr Head head{{}, {{1000, 1000}, {Sample::u8, 1, 0}, {8, 8}}, 7};

template <class Sealed>
void add(std::vector<std::byte>& to, std::size_t at, const Sealed& bytes) {
  if (to.size() < at + bytes.size()) to.resize(at + bytes.size());
  std::memcpy(to.data() + at, bytes.data(), bytes.size());
}

// Of every ten bytes: what it is, place, size, generation's growth, gap behind.
std::vector<std::byte> sealed(std::span<const std::byte> in) {
  std::vector<std::byte> out(records_at);
  add(out, 0, encode(head));
  std::uint64_t generation = 0;
  Mark mark;
  for (; in.size() >= 10; in = in.subspan(10)) {
    const auto byte = [&](std::size_t n) { return std::to_integer<std::uint8_t>(in[n]); };
    Record record{.taken_away = (byte(0) & 1) != 0,
                  .replaces = (byte(0) & 2) != 0,
                  .cell = {0, byte(1), byte(2)},
                  .generation = generation += byte(3),
                  .checksum = byte(4),
                  .offset = out.size()};
    if (!record.taken_away) {
      record.size = {byte(5), byte(6)};
      record.format = {static_cast<Sample>(byte(0) >> 2), byte(7), 0};
    }
    add(out, out.size(), encode(record, head.salt));
    out.resize(out.size() + (byte(8) + 63) / 64 * 64);
    mark = {byte(9), out.size() - byte(9) / 2 * 64, generation, byte(8), byte(7)};
  }
  mark.end = std::max(mark.end, records_at);
  add(out, mark_at(mark.serial), encode(mark, head.salt));
  return out;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 1) return 0;
  const auto in = std::as_bytes(std::span(data + 1, size - 1));
  const auto disk = std::make_shared<SimulatedDisk>();
  const auto inode = std::make_shared<SimulatedDisk::Inode>();
  if (data[0] % 3 == 2)
    inode->now = sealed(in);
  else
    inode->now.assign(in.begin(), in.end());
  disk->files()[data[0] % 3 == 0 ? "0000000000000001.name" : image.text() + ".tiles"] = inode;
  Limits limits;
  limits.most.fill(unlimited);
  Ledger ledger(limits);
  TileHeap heap;
  const Call call;
  for (int twice = 0; twice < 2; ++twice) {
    auto life = open_persisted(ledger, heap, disk);
    if (!life) std::abort();
    (void)life->names->all();
    for (std::uint32_t n = 0; n < 64; ++n) {
      const auto got = get_one(*life->store, call, {image, 0, n % 8, n / 8});
      if (got && *got && (*got)->checksum() != (*got)->computed_checksum()) std::abort();
    }
    (void)put_one(*life->store, call, {image, 0, 1, 1}, {});
    (void)life->store->sync(call, {});
  }
  return 0;
}
