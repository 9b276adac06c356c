// TierIndex: where a tiered store keeps each tile, and what is under way with it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "smalti/store/store.h"
#include "store/cell.h"

namespace smalti {

class Passage;

// On its way down; readers are answered from here. The passage is the room that it takes among what is on its way.
struct Held {
  Tile tile;
  std::unique_ptr<Passage> passage;
};

// One key. A tile is in at most one of: held, home. An entry with neither (and not failed) stands for an absent tile of
// which an old copy has yet to be taken away somewhere.
struct Entry {
  std::unique_ptr<Held> held;  // few have one, and there are many entries
  std::uint64_t version = 0;   // of the newest put; unique in the store
  std::uint64_t flying = 0;    // the version that a job is writing to (or taking from) a lower tier; 0: none
  Generation home_at = Generation::none;
  Generation copy_at = Generation::none;
  std::uint32_t last_use = 0;  // the shard's count of uses
  std::int8_t home = -1;       // the tier that has the tile
  std::int8_t copy = -1;       // a faster tier that has a copy, which may go at any time
  std::uint8_t stale = 0;      // bit i: tier i still has an older version, which nobody must see
  std::uint8_t heat = 0;       // uses, halved as time goes by
  std::uint8_t heat_age = 0;
  std::uint32_t place = 0;  // among the residents of its home, where that is a straight tier
  bool queued = false;   // stands in the queue of what goes down
  bool sinking = false;  // ... to a slower tier, while it stays readable in its home
  bool failed = false;   // the newest put could not be stored

  bool idle() const noexcept { return !queued && flying == 0; }
  bool wants_down() const noexcept { return held || sinking || stale != 0; }
  bool empty() const noexcept { return home < 0 && !held && !failed && idle() && stale == 0; }
};

// A shard's lock is held while a tile is put into, or got from, a tier that does not wait: so that index and tier never
// disagree about it. Lock order: shard, then whatever is inside such a tier; never two shards.
struct IndexShard {
  using Cells = std::unordered_map<Cell, Entry, CellHash>;
  static constexpr std::size_t most_tiers = 8;  // bits of Entry::stale

  std::mutex mutex;
  std::unordered_map<ImageId, Cells> images;  // guarded by mutex, as all below
  std::uint32_t uses = 0;
  // What is at home in each of the straight tiers, which come first: so that whoever looks for the coldest tile of a
  // tier does not look at all that went further down, which may be most of a huge image.
  std::array<std::vector<TileKey>, most_tiers> residents;

  Entry* find(const TileKey& key) {
    const auto image = images.find(key.image);
    if (image == images.end()) return nullptr;
    const auto found = image->second.find(cell_of(key));
    return found == image->second.end() ? nullptr : &found->second;
  }
  Entry& make(const TileKey& key) { return images[key.image][cell_of(key)]; }
  void erase_if_empty(const TileKey& key) {
    const auto image = images.find(key.image);
    if (image == images.end()) return;
    const auto found = image->second.find(cell_of(key));
    if (found != image->second.end() && found->second.empty()) image->second.erase(found);
    if (image->second.empty()) images.erase(image);
  }

  // The entry's home becomes a straight tier, or no such tier any more. REQUIRES: it stands in this index.
  void move_in(const TileKey& key, Entry& entry, std::size_t tier) {
    entry.home = static_cast<std::int8_t>(tier);
    entry.place = static_cast<std::uint32_t>(residents[tier].size());
    residents[tier].push_back(key);
  }
  void move_out(Entry& entry) {
    std::vector<TileKey>& all = residents[static_cast<std::size_t>(entry.home)];
    find(all.back())->place = entry.place;
    std::swap(all[entry.place], all.back());
    all.pop_back();
    entry.home = -1;
  }

  // Counts a use. Heat halves each time the shard has seen `period` more uses.
  void touch(Entry& entry) noexcept {
    cool(entry);
    if (entry.heat < 255) ++entry.heat;
    entry.last_use = ++uses;
  }
  void cool(Entry& entry) const noexcept {
    const auto now = static_cast<std::uint8_t>(uses / period);
    const auto missed = static_cast<std::uint8_t>(now - entry.heat_age);
    entry.heat = missed < 8 ? static_cast<std::uint8_t>(entry.heat >> missed) : std::uint8_t{0};
    entry.heat_age = now;
  }

  static constexpr std::uint32_t period = 1024;
};

class TierIndex {
 public:
  static constexpr std::size_t shards = 64;

  IndexShard& of(const TileKey& key) noexcept { return shards_[std::hash<TileKey>{}(key) >> 58]; }
  IndexShard& nth(std::size_t n) noexcept { return shards_[n % shards]; }

 private:
  std::array<IndexShard, shards> shards_;
};

}  // namespace smalti
