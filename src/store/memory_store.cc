// Tiles at rest in the heap.
//
// Sixteen shards by key, each with its own lock. Within a lock only pointers move: tiles and holds that die are carried
// out first, since the death of a tile may free a large buffer.
#include <fmt/format.h>

#include <array>
#include <atomic>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "smalti/store/stores.h"
#include "store/cell.h"
#include "store/lru.h"
#include "store/open_images.h"

namespace smalti {

namespace {

struct Node : LruLink {
  TileKey key;
  Tile tile;
  Hold hold;
  Generation generation = Generation::none;
};

// A tile on its way out still fills the room it was charged for.
struct Leaving {
  Tile tile;
  Hold hold;
};

struct Figures {
  std::uint64_t hits = 0, misses = 0, puts = 0, refused = 0, shed = 0;
};

class Shard {
 public:
  std::optional<Tile> get(const TileKey& key) {
    const std::lock_guard lock(mutex_);
    Node* node = find(key);
    if (!node) {
      ++figures_.misses;
      return std::nullopt;
    }
    ++figures_.hits;
    lru_.touch(*node);
    return node->tile;
  }

  // `image` was open when the caller looked; drop() marks it before it sweeps, so nothing is put after the sweep.
  Result<Generation> put(Ledger& ledger, const OpenImage& image, TilePut& put, std::atomic<std::uint64_t>& clock) {
    Leaving old;  // dies after the lock is given up
    const std::lock_guard lock(mutex_);
    if (image.dropped.load(std::memory_order_relaxed)) return not_open(put.key);
    Node* node = find(put.key);
    if (put.only_if && *put.only_if != (node ? node->generation : Generation::none))
      return fail(Errc::conflict, fmt::format("{} was changed by another writer", text(put.key)));
    if (!put.tile) {
      if (node) old = take_out(*node);
      return Generation::none;
    }
    Hold hold;
    if (!make_room(ledger, node, put.tile.charge(), hold)) {
      ++figures_.refused;
      return pass(ledger.exhausted(Resource::memory, put.tile.charge()));
    }
    if (node) old = take_out(*node);
    Node& fresh = images_[put.key.image][cell_of(put.key)];
    fresh.key = put.key;
    fresh.tile = put.tile;
    fresh.hold = std::move(hold);
    fresh.generation = Generation{clock.fetch_add(1, std::memory_order_relaxed) + 1};
    lru_.add(fresh, put.tile.charge());
    ++figures_.puts;
    ++tiles_;
    return fresh.generation;
  }

  void drop(const ImageId& image) {
    std::unordered_map<Cell, Node, CellHash> dying;
    const std::lock_guard lock(mutex_);
    const auto found = images_.find(image);
    if (found == images_.end()) return;
    for (auto& [cell, node] : found->second) lru_.remove(node);
    tiles_ -= found->second.size();
    dying.swap(found->second);
    images_.erase(found);
  }

  // The least valuable tile, or false when there is none.
  bool shed_one(std::vector<TilePut>& into) {
    const std::lock_guard lock(mutex_);
    auto* node = static_cast<Node*>(lru_.coldest());
    if (!node) return false;
    TilePut out{node->key};
    out.put = node->generation;
    const auto leaving = std::make_shared<Leaving>(take_out(*node));
    out.tile = Tile(leaving->tile.pixels(), leaving);
    into.push_back(std::move(out));
    ++figures_.shed;
    return true;
  }

  void add_to(Figures& sum, std::uint64_t& tiles, std::uint64_t& bytes) const {
    const std::lock_guard lock(mutex_);
    sum.hits += figures_.hits;
    sum.misses += figures_.misses;
    sum.puts += figures_.puts;
    sum.refused += figures_.refused;
    sum.shed += figures_.shed;
    tiles += tiles_;
    bytes += lru_.bytes();
  }

  void add_image(const ImageId& image, std::uint64_t& tiles, std::uint64_t& bytes) const {
    const std::lock_guard lock(mutex_);
    const auto found = images_.find(image);
    if (found == images_.end()) return;
    tiles += found->second.size();
    for (const auto& [cell, node] : found->second) bytes += node.lru_bytes;
  }

 private:
  Node* find(const TileKey& key) {
    const auto image = images_.find(key.image);
    if (image == images_.end()) return nullptr;
    const auto found = image->second.find(cell_of(key));
    return found == image->second.end() ? nullptr : &found->second;
  }

  // A tile that replaces one at least as large always fits: the old one's room becomes its own.
  static bool make_room(Ledger& ledger, const Node* old, std::uint64_t bytes, Hold& into) {
    if (ledger.try_take(Resource::memory, bytes, into)) return true;
    if (!old) return false;
    Hold more;
    if (bytes > old->hold.amount() && !ledger.try_take(Resource::memory, bytes - old->hold.amount(), more)) return false;
    into = ledger.charge(Resource::memory, bytes);
    return true;
  }

  // The node is gone afterwards.
  Leaving take_out(Node& node) {
    lru_.remove(node);
    --tiles_;
    Leaving out{std::move(node.tile), std::move(node.hold)};
    const auto image = images_.find(node.key.image);
    image->second.erase(Cell(cell_of(node.key)));
    if (image->second.empty()) images_.erase(image);
    return out;
  }

  mutable std::mutex mutex_;
  // All below is guarded by mutex_.
  std::unordered_map<ImageId, std::unordered_map<Cell, Node, CellHash>> images_;
  SegmentedLru lru_;
  std::uint64_t tiles_ = 0;
  Figures figures_;
};

class MemoryStore final : public TileStore {
 public:
  explicit MemoryStore(Ledger& ledger) : ledger_(ledger) {}

  Result<void> open(const Call&, const ImageId& image, const ImageSpec& spec) override {
    SMALTI_CHECK(ledger_.fits(Resource::area, spec.size.area()));
    return images_.open(image, spec);
  }

  void get(const Call&, std::span<TileGet> batch) override {
    for (TileGet& one : batch) one.got = shard(one.key).get(one.key);
  }

  void put(const Call&, std::span<TilePut> batch) override {
    for (TilePut& one : batch) {
      const auto image = images_.find(one.key.image);
      one.put = image ? shard(one.key).put(ledger_, *image, one, clock_) : not_open(one.key);
    }
  }

  Result<void> drop(const Call&, const ImageId& image) override {
    if (images_.drop(image))
      for (Shard& each : shards_) each.drop(image);
    return {};
  }

  Result<void> sync(const Call&, const std::optional<ImageId>&) override { return {}; }

  std::vector<TilePut> shed(std::uint64_t bytes) override {
    std::vector<TilePut> out;
    std::uint64_t given = 0;
    std::size_t empty = 0;  // shards in a row that had nothing
    for (std::size_t at = next_shed_.fetch_add(1); given < bytes && empty < shards_.size(); ++at) {
      if (shards_[at % shards_.size()].shed_one(out)) {
        given += out.back().tile.charge();
        empty = 0;
      } else {
        ++empty;
      }
    }
    return out;
  }

  Traits traits() const noexcept override {
    return {.conditional = true, .heap = true, .capacity = ledger_.limit(Resource::memory)};
  }

  void count(const std::function<void(const Count&)>& tell) const override {
    Figures sum;
    std::uint64_t tiles = 0, bytes = 0;
    for (const Shard& each : shards_) each.add_to(sum, tiles, bytes);
    tell({"memory.tiles", tiles});
    tell({"memory.bytes", bytes});
    tell({"memory.hits", sum.hits});
    tell({"memory.misses", sum.misses});
    tell({"memory.puts", sum.puts});
    tell({"memory.refused", sum.refused});
    tell({"memory.shed", sum.shed});
  }

  void use(const std::optional<ImageId>& image, const std::function<void(const TierUse&)>& tell) const override {
    TierUse sum{"Memory"};
    Figures ignored;
    for (const Shard& each : shards_) {
      if (image)
        each.add_image(*image, sum.tiles, sum.bytes);
      else
        each.add_to(ignored, sum.tiles, sum.bytes);
    }
    tell(sum);
  }

 private:
  // Bits that the tables inside a shard do not use.
  Shard& shard(const TileKey& key) { return shards_[std::hash<TileKey>{}(key) >> 60]; }

  Ledger& ledger_;
  OpenImages images_;
  std::array<Shard, 16> shards_;
  std::atomic<std::uint64_t> clock_{0};
  std::atomic<std::size_t> next_shed_{0};
};

}  // namespace

StorePtr memory_store(Ledger& ledger) { return std::make_unique<MemoryStore>(ledger); }

}  // namespace smalti
