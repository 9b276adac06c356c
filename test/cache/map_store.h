// MapStore: the plainest store there is, which counts, and waits or fails when told to. A test twin of remote
// tiers.
#pragma once

#include <fmt/format.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <thread>
#include <vector>

#include "smalti/store/store.h"

namespace smalti::test {

class MapStore : public TileStore {
 public:
  struct Figures {
    std::uint64_t get_batches = 0, tiles_got = 0, bytes_got = 0;  // deep ones
    std::uint64_t hot_tiles = 0;
    std::uint64_t put_batches = 0, tiles_put = 0, bytes_put = 0;
    std::uint64_t drops = 0, syncs = 0;
    std::map<TileKey, int> gets;  // deep ones, by key
  };

  // hot: answers Reach::hot, as memory does; else such gets would wait, as for a network.
  explicit MapStore(bool hot) : hot_(hot) {}

  // What happens before a deep get (put) is answered: an error refuses that tile. Set before use by other
  // threads.
  std::function<Result<void>(const Call&, const TileKey&)> before_get;
  std::function<Result<void>(const Call&, const TileKey&)> before_put;

  Figures figures() const {
    const std::lock_guard lock(mutex_);
    return figures_;
  }
  void forget_figures() {
    const std::lock_guard lock(mutex_);
    figures_ = {};
  }
  std::size_t tiles() const {
    const std::lock_guard lock(mutex_);
    return tiles_.size();
  }
  bool lose(std::uint32_t col, std::uint32_t row) {
    const std::lock_guard lock(mutex_);
    return std::erase_if(tiles_,
                         [&](const auto& at) { return at.first.col == col && at.first.row == row; }) != 0;
  }
  // Deep gets wait until the gate opens (or their call ends).
  void close_gate() { set_gate(false); }
  void open_gate() { set_gate(true); }
  // How many deep gets stand before the gate.
  int waiting() const {
    const std::lock_guard lock(mutex_);
    return waiting_;
  }

  Result<void> open(const Call&, const ImageId& id, const ImageSpec&) override {
    const std::lock_guard lock(mutex_);
    open_.insert(id);
    return {};
  }

  void get(const Call& call, std::span<TileGet> gets) override {
    if (call.reach == Reach::hot) return get_hot(gets);
    {
      std::unique_lock lock(mutex_);
      ++waiting_;
      gate_moved_.wait(lock, call.stop, [this] { return gate_open_; });
      --waiting_;
      ++figures_.get_batches;
    }
    for (TileGet& one : gets) {
      if (before_get)
        if (auto go = before_get(call, one.key); !go) {
          one.got = pass(go.error());
          continue;
        }
      const std::lock_guard lock(mutex_);
      one.got = find(one.key);
      ++figures_.tiles_got;
      ++figures_.gets[one.key];
      if (*one.got) figures_.bytes_got += (*one.got)->charge();
    }
  }

  void put(const Call& call, std::span<TilePut> puts) override {
    {
      const std::lock_guard lock(mutex_);
      ++figures_.put_batches;
    }
    for (TilePut& one : puts) {
      if (before_put)
        if (auto go = before_put(call, one.key); !go) {
          one.put = pass(go.error());
          continue;
        }
      const std::lock_guard lock(mutex_);
      if (!open_.contains(one.key.image)) {
        one.put = fail(Errc::invalid, "not open");
        continue;
      }
      tiles_[one.key] = one.tile;
      ++figures_.tiles_put;
      figures_.bytes_put += one.tile.charge();
      one.put = Generation{figures_.tiles_put};
    }
  }

  Result<void> drop(const Call&, const ImageId& id) override {
    const std::lock_guard lock(mutex_);
    ++figures_.drops;
    open_.erase(id);
    std::erase_if(tiles_, [&](const auto& at) { return at.first.image == id; });
    return {};
  }

  Result<void> sync(const Call&, const std::optional<ImageId>&) override {
    const std::lock_guard lock(mutex_);
    ++figures_.syncs;
    return {};
  }
  std::vector<TilePut> shed(std::uint64_t) override { return {}; }
  Traits traits() const noexcept override { return {.waits = !hot_}; }
  void count(const std::function<void(const Count&)>&) const override {}
  void use(const std::optional<ImageId>&, const std::function<void(const TierUse&)>&) const override {}

 private:
  std::optional<Tile> find(const TileKey& key) const {
    const auto at = tiles_.find(key);
    return at == tiles_.end() ? std::nullopt : std::optional(at->second);
  }

  void get_hot(std::span<TileGet> gets) {
    const std::lock_guard lock(mutex_);
    for (TileGet& one : gets) {
      if (hot_) {
        one.got = find(one.key);
        ++figures_.hot_tiles;
      } else {
        one.got = fail(Errc::would_wait, "elsewhere");
      }
    }
  }

  void set_gate(bool open) {
    {
      const std::lock_guard lock(mutex_);
      gate_open_ = open;
    }
    gate_moved_.notify_all();
  }

  const bool hot_;
  mutable std::mutex mutex_;
  std::condition_variable_any gate_moved_;
  // Guarded by mutex_:
  bool gate_open_ = true;
  int waiting_ = 0;
  std::map<TileKey, Tile> tiles_;
  std::set<ImageId> open_;
  Figures figures_;
};

}  // namespace smalti::test
