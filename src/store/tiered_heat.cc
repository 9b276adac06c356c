// What is hot rises, what is cold sinks; see tiered.h for the whole.
#include <algorithm>

#include "store/tiered.h"

namespace smalti {

namespace {
constexpr unsigned rises_at = 2;                    // uses
constexpr std::size_t most_copies = 1u << 16;       // keys remembered
constexpr std::size_t most_looked_at = 64;          // copies a call
constexpr std::uint64_t most_sinking = 64;          // tiles at a time
constexpr std::uint64_t most_relief = 4u << 20;     // bytes a call
constexpr std::uint32_t pause_calls = 256;
constexpr unsigned any_heat = ~0u;
}  // namespace

// A tile that came from a tier that waits. Its second use within a while brings a copy up; its home stays where it is, so
// that the copy can go again at no cost.
void TieredStore::rise(const Call& call, const TileGet& got, const Late& from) {
  if (!options_.rise || straight_ == 0) return;
  const TieredImagePtr image = images_.find(got.key.image);
  if (!image) return;
  unsigned heat = 0;
  if (rise_now(call, image, got, from, heat) || heat < rises_at) return;
  const std::uint64_t bytes = (*got.got)->charge();
  if (drop_copies(bytes, heat) >= bytes && rise_now(call, image, got, from, heat)) return;
  // A colder tile that lives above goes down in the background; this one may find its room the next time.
  if (sinking_ < most_sinking / 4 && relief_pause_ == 0) sink_coldest(0, bytes, heat - 1);
}

bool TieredStore::rise_now(const Call& call, const TieredImagePtr& image, const TileGet& got, const Late& from,
                           unsigned& heat) {
  IndexShard& shard = index_.of(got.key);
  const std::lock_guard lock(shard.mutex);
  Entry* entry = image->dropped ? nullptr : shard.find(got.key);
  if (!entry || entry->version != from.version || entry->home != static_cast<int>(from.tier) || entry->copy >= 0)
    return true;  // nothing to rise any more
  heat = entry->heat;
  if (heat < rises_at) return false;
  const std::lock_guard copies(copies_mutex_);
  if (copies_.size() >= most_copies) return false;
  for (std::size_t n = 0; n < straight_; ++n) {
    const auto placed = place(call, *image, got.key, **got.got, n);
    if (!placed) continue;
    entry->copy = static_cast<std::int8_t>(n);
    entry->copy_at = *placed;
    ++risen_;
    copies_.push_back(got.key);
    return true;
  }
  return false;
}

// Takes copies away, oldest first, that are colder than `below`; how many bytes that made free.
std::uint64_t TieredStore::drop_copies(std::uint64_t bytes, unsigned below) {
  std::uint64_t freed = 0;
  for (std::size_t looked = 0; freed < bytes && looked < most_looked_at; ++looked) {
    TileKey key;
    {
      const std::lock_guard lock(copies_mutex_);
      if (copies_.empty()) return freed;
      key = copies_.front();
      copies_.pop_front();
    }
    bool kept = false;
    freed += drop_copy(key, below, kept);
    if (!kept) continue;
    const std::lock_guard lock(copies_mutex_);
    copies_.push_back(key);
  }
  return freed;
}

std::uint64_t TieredStore::drop_copy(const TileKey& key, unsigned below, bool& kept) {
  std::optional<Tile> dying;
  IndexShard& shard = index_.of(key);
  const std::lock_guard lock(shard.mutex);
  Entry* entry = shard.find(key);
  if (!entry || entry->copy < 0) return 0;
  shard.cool(*entry);
  if (entry->heat >= below) {
    kept = true;
    return 0;
  }
  const auto n = static_cast<std::size_t>(entry->copy);
  auto got = get_one(tier(n), Call(), key);
  if (got) dying = std::move(*got);
  take(key, n);
  entry->copy = -1;
  return dying ? dying->charge() : 0;
}

// Called at the start of every get and put: two loads when there is nothing to do. What is charged to memory beyond its
// limit, other than tiles on their way, presses tiles at rest down.
void TieredStore::relieve() {
  if (!options_.ledger) return;
  const std::uint64_t used = options_.ledger->used(Resource::memory);
  const std::uint64_t most = options_.ledger->limit(Resource::memory);
  if (used <= most || used - most <= behind_.bytes()) return;
  if (std::uint32_t pause = relief_pause_; pause > 0) {
    relief_pause_.compare_exchange_strong(pause, pause - 1);
    return;
  }
  const std::unique_lock lock(relief_mutex_, std::try_to_lock);
  if (!lock || sinking_ >= most_sinking) return;
  const std::uint64_t over = std::min(used - most - behind_.bytes(), most_relief);
  std::uint64_t freed = drop_copies(over, any_heat);
  for (std::size_t n = 0; n < straight_ && n + 1 < tiers_.size() && freed < over; ++n)
    if (tier(n).traits().heap) freed += sink_coldest(n, over - freed, any_heat);
  if (freed == 0) relief_pause_ = pause_calls;
  kick();
}

// Sends the coldest tiles of a straight tier down, of those colder than `below`; how many bytes these are.
std::uint64_t TieredStore::sink_coldest(std::size_t n, std::uint64_t bytes, unsigned below) {
  if (n + 1 >= tiers_.size()) return 0;
  std::uint64_t sent = 0;
  for (std::size_t i = 0; i < TierIndex::shards && sent < bytes && sinking_ < most_sinking; ++i)
    sent += sink_from(index_.nth(next_victim_++), n, bytes - sent, below);
  kick();
  return sent;
}

// At most a quarter of what a shard has, so that the coldest of one shard do not take the hot ones along.
std::uint64_t TieredStore::sink_from(IndexShard& shard, std::size_t n, std::uint64_t bytes, unsigned below) {
  struct Candidate {
    unsigned heat;
    std::uint32_t last_use;
    TileKey key;
  };
  std::vector<Candidate> all;
  const std::lock_guard lock(shard.mutex);
  for (const TileKey& key : shard.residents[n]) {
    Entry& entry = *shard.find(key);
    if (!entry.idle() || entry.failed) continue;
    shard.cool(entry);
    if (entry.heat < below) all.push_back({entry.heat, entry.last_use, key});
  }
  const auto colder = [](const Candidate& a, const Candidate& b) {
    return a.heat != b.heat ? a.heat < b.heat : a.last_use < b.last_use;
  };
  std::sort(all.begin(), all.end(), colder);
  std::uint64_t sent = 0;
  for (std::size_t i = 0; i < all.size() && i <= all.size() / 4 && sent < bytes; ++i) {
    Entry& entry = *shard.find(all[i].key);
    const TieredImagePtr image = images_.find(all[i].key.image);
    const auto got = get_one(tier(n), Call(), all[i].key);
    if (!image || !got || !*got) continue;
    sent += (*got)->charge();
    set_sinking(entry, true);
    send_down(image, all[i].key, entry);
  }
  return sent;
}

// For whoever owns this store as a tier of its own: what it gives up leaves index and tier for good.
std::vector<TilePut> TieredStore::shed(std::uint64_t bytes) {
  std::vector<TilePut> out;
  for (std::size_t n = 0; n < straight_; ++n) {
    if (!tier(n).traits().heap) continue;
    for (TilePut& one : tier(n).shed(bytes)) {
      IndexShard& shard = index_.of(one.key);
      const std::lock_guard lock(shard.mutex);
      Entry* entry = shard.find(one.key);
      if (!entry || !one.put) continue;
      if (entry->copy == static_cast<int>(n) && entry->copy_at == *one.put) entry->copy = -1;
      if (entry->home != static_cast<int>(n) || entry->home_at != *one.put) continue;
      const std::uint64_t version = entry->version;
      shard.move_out(*entry);
      set_sinking(*entry, false);
      entry->version = ++clock_;
      shard.erase_if_empty(one.key);
      one.put = Generation{version};
      out.push_back(std::move(one));
    }
  }
  return out;
}

}  // namespace smalti
