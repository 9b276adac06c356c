// TileTable: a table of tiles by key, sharded, with an order of who goes first. What a store keeps of a tile is `Value`.
//
// Sixteen shards by key, each with its own lock. Within a lock only pointers move: values that die are carried out first,
// since the death of a tile may free a large buffer or a mapping.
#pragma once

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "smalti/store/store.h"
#include "store/cell.h"
#include "store/lru.h"
#include "store/open_images.h"

namespace smalti {

struct TableFigures {
  std::uint64_t tiles = 0, bytes = 0;  // at this moment
  std::uint64_t hits = 0, misses = 0, puts = 0, refused = 0, shed = 0;
};

template <class Value>
class TileTable {
 public:
  // f(const Value&, Generation) under the shard's lock, so keep it short. False when there is none.
  template <class F>
  bool see(const TileKey& key, F&& f) {
    Shard& shard = of(key);
    const std::lock_guard lock(shard.mutex);
    Node* node = shard.find(key);
    ++(node ? shard.figures.hits : shard.figures.misses);
    if (!node) return false;
    shard.lru.touch(*node);
    f(static_cast<const Value&>(node->value));
    return true;
  }

  // Stores what make(const Value* old) returns (a Result<Value>; called under the shard's lock), billed as put.tile; or
  // takes the tile away if put.tile has no pixels. `image` was open when the caller looked: drop() marks it before it
  // sweeps, so nothing is put after the sweep.
  template <class Make>
  Result<Generation> put(const OpenImage& image, const TilePut& put, Make&& make) {
    std::optional<Value> old;  // dies after the lock is given up
    Shard& shard = of(put.key);
    const std::lock_guard lock(shard.mutex);
    if (image.dropped) return not_open(put.key);
    Node* node = shard.find(put.key);
    if (put.only_if && *put.only_if != (node ? node->generation : Generation::none))
      return fail(Errc::conflict, fmt::format("{} was changed by another writer", text(put.key)));
    if (!put.tile) {
      if (node) old.emplace(shard.take_out(*node));
      return Generation::none;
    }
    Result<Value> made = make(node ? &node->value : nullptr);
    if (!made) {
      ++shard.figures.refused;
      return pass(std::move(made.error()));
    }
    if (node) old.emplace(shard.take_out(*node));
    Node& fresh = shard.images[put.key.image][cell_of(put.key)];
    fresh.key = put.key;
    fresh.value = std::move(*made);
    fresh.generation = Generation{clock_.fetch_add(1, std::memory_order_relaxed) + 1};
    shard.lru.add(fresh, put.tile.charge());
    ++shard.figures.puts;
    ++shard.figures.tiles;
    return fresh.generation;
  }

  void drop(const ImageId& image) {
    for (Shard& shard : shards_) {
      std::unordered_map<Cell, Node, CellHash> dying;
      const std::lock_guard lock(shard.mutex);
      const auto found = shard.images.find(image);
      if (found == shard.images.end()) continue;
      for (auto& [cell, node] : found->second) shard.lru.remove(node);
      shard.figures.tiles -= found->second.size();
      dying.swap(found->second);
      shard.images.erase(found);
    }
  }

  // Takes out the least valuable, about `bytes` in all: f(key, Value&&, generation), with no lock held.
  template <class F>
  void shed(std::uint64_t bytes, F&& f) {
    std::uint64_t given = 0;
    std::size_t empty = 0;  // shards in a row that had nothing
    for (std::size_t at = next_shed_.fetch_add(1); given < bytes && empty < shards_.size(); ++at) {
      Shard& shard = shards_[at % shards_.size()];
      std::optional<Node> out;
      {
        const std::lock_guard lock(shard.mutex);
        if (auto* node = static_cast<Node*>(shard.lru.coldest())) {
          out.emplace();
          out->key = node->key;
          out->generation = node->generation;
          out->lru_bytes = node->lru_bytes;
          out->value = shard.take_out(*node);
          ++shard.figures.shed;
        }
      }
      empty = out ? 0 : empty + 1;
      if (!out) continue;
      given += out->lru_bytes;
      f(out->key, std::move(out->value), out->generation);
    }
  }

  TableFigures figures() const {
    TableFigures sum;
    for (const Shard& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      sum.tiles += shard.figures.tiles;
      sum.bytes += shard.lru.bytes();
      sum.hits += shard.figures.hits;
      sum.misses += shard.figures.misses;
      sum.puts += shard.figures.puts;
      sum.refused += shard.figures.refused;
      sum.shed += shard.figures.shed;
    }
    return sum;
  }

  TableFigures figures(const ImageId& image) const {
    TableFigures sum;
    for (const Shard& shard : shards_) {
      const std::lock_guard lock(shard.mutex);
      const auto found = shard.images.find(image);
      if (found == shard.images.end()) continue;
      sum.tiles += found->second.size();
      for (const auto& [cell, node] : found->second) sum.bytes += node.lru_bytes;
    }
    return sum;
  }

  // "memory.tiles" and so on.
  void count(std::string_view name, const std::function<void(const Count&)>& tell) const {
    const TableFigures all = figures();
    const std::pair<std::string_view, std::uint64_t> each[] = {
        {"tiles", all.tiles}, {"bytes", all.bytes}, {"hits", all.hits},  {"misses", all.misses},
        {"puts", all.puts},   {"refused", all.refused}, {"shed", all.shed}};
    for (const auto& [what, value] : each) tell({fmt::format("{}.{}", name, what), value});
  }

 private:
  struct Node : LruLink {
    TileKey key;
    Value value{};
    Generation generation = Generation::none;
  };

  struct Shard {
    mutable std::mutex mutex;
    // All below is guarded by mutex.
    std::unordered_map<ImageId, std::unordered_map<Cell, Node, CellHash>> images;
    SegmentedLru lru;
    TableFigures figures;

    Node* find(const TileKey& key) {
      const auto image = images.find(key.image);
      if (image == images.end()) return nullptr;
      const auto found = image->second.find(cell_of(key));
      return found == image->second.end() ? nullptr : &found->second;
    }
    // The node is gone afterwards.
    Value take_out(Node& node) {
      lru.remove(node);
      --figures.tiles;
      Value out = std::move(node.value);
      const auto image = images.find(node.key.image);
      image->second.erase(Cell(cell_of(node.key)));
      if (image->second.empty()) images.erase(image);
      return out;
    }
  };

  // By bits that the tables inside a shard do not use.
  Shard& of(const TileKey& key) { return shards_[std::hash<TileKey>{}(key) >> 60]; }

  std::array<Shard, 16> shards_;
  std::atomic<std::uint64_t> clock_{0};
  std::atomic<std::size_t> next_shed_{0};
};

}  // namespace smalti
