// Reading; see tiered.h for the whole.
#include <algorithm>

#include "store/tiered.h"

namespace smalti {

namespace {
constexpr unsigned most_rounds = 16;  // a tile that moves on between index and tier is looked for again
}

void TieredStore::get(const Call& call, std::span<TileGet> batch) {
  relieve();
  std::vector<Late> late, ask;
  for (std::size_t at = 0; at < batch.size(); ++at) {
    Late one{at};
    const Look seen = look(call, batch[at], one);
    if (seen != Look::answered) (seen == Look::late ? late : ask).push_back(one);
  }
  for (unsigned round = 0; !late.empty() && round < most_rounds; ++round) {
    std::vector<Late> again;
    get_late(call, batch, std::move(late), again);
    late.clear();
    for (Late& one : again) {
      const Look seen = look(call, batch[one.at], one);
      if (seen != Look::answered) (seen == Look::late ? late : ask).push_back(one);
    }
  }
  if (!ask.empty()) ask_shared(call, batch, ask);
}

TieredStore::Look TieredStore::look(const Call& call, TileGet& get, Late& late) {
  IndexShard& shard = index_.of(get.key);
  const std::lock_guard lock(shard.mutex);
  Entry* entry = shard.find(get.key);
  get.got = std::optional<Tile>();
  if (!entry) return traits_.shared ? Look::ask : Look::answered;
  if (entry->failed) {
    const TieredImagePtr image = images_.find(get.key.image);
    if (image) get.got = pass(image->lost());
    return Look::answered;
  }
  if (entry->held) {
    shard.touch(*entry);
    get.got = std::optional<Tile>(entry->held->tile);
    return Look::answered;
  }
  if (entry->home < 0) return Look::answered;
  // To ask whether a tile is at hand is no use of it: who really wants it asks again.
  if (rests(*entry) || entry->copy >= 0 || call.reach == Reach::deep) shard.touch(*entry);
  if (look_straight(call, shard, *entry, get)) return Look::answered;
  late.version = entry->version;
  late.tier = static_cast<std::size_t>(entry->home);
  return Look::late;
}

// Under the shard's lock nothing moves in or out of these tiers.
bool TieredStore::look_straight(const Call& call, IndexShard&, Entry& entry, TileGet& get) {
  if (entry.copy >= 0) {
    tier(static_cast<std::size_t>(entry.copy)).get(call, {&get, 1});
    if (get.got && *get.got) return true;
    entry.copy = -1;
  }
  const auto home = static_cast<std::size_t>(entry.home);
  if (!straight(home)) return false;
  tier(home).get(call, {&get, 1});
  return true;
}

// One batch a tier. An answer other than a tile counts only if the index still says the same.
void TieredStore::get_late(const Call& call, std::span<TileGet> batch, std::vector<Late> late,
                           std::vector<Late>& again) {
  for (std::size_t n = straight_; n < tiers_.size(); ++n) {
    std::vector<TileGet> gets;
    std::vector<Late> of;
    for (const Late& one : late)
      if (one.tier == n) {
        gets.push_back({batch[one.at].key});
        of.push_back(one);
      }
    if (gets.empty()) continue;
    tier(n).get(call, gets);
    for (std::size_t i = 0; i < gets.size(); ++i) {
      TileGet& into = batch[of[i].at];
      into.got = std::move(gets[i].got);
      if (into.got && *into.got) {
        rise(call, into, of[i]);
        continue;
      }
      IndexShard& shard = index_.of(into.key);
      const std::lock_guard lock(shard.mutex);
      const Entry* entry = shard.find(into.key);
      if (!entry || entry->version != of[i].version || entry->home != static_cast<int>(n)) again.push_back(of[i]);
    }
  }
}

// Keys that were not put through us: only those tiers are asked where others may have put them.
void TieredStore::ask_shared(const Call& call, std::span<TileGet> batch, const std::vector<Late>& ask) {
  for (std::size_t n = 0; n < tiers_.size(); ++n) {
    if (!tier(n).traits().shared) continue;
    std::vector<TileGet> gets;
    std::vector<std::size_t> of;
    for (const Late& one : ask) {
      TileGet& get = batch[one.at];
      if (!get.got || *get.got) continue;
      const TieredImagePtr image = images_.find(get.key.image);
      if (image)
        if (auto opened = ensure_open(call, get.key, *image, n); !opened) {
          if (opened.error().code != Errc::limit) get.got = pass(std::move(opened.error()));
          continue;
        }
      gets.push_back({get.key});
      of.push_back(one.at);
    }
    if (gets.empty()) continue;
    tier(n).get(call, gets);
    for (std::size_t i = 0; i < gets.size(); ++i) batch[of[i]].got = std::move(gets[i].got);
  }
}

}  // namespace smalti
