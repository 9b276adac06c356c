// TieredStore: several tiers as one store. See tiered_store() for what it promises.
//
// Tiers before the first one that waits are *straight*: a put goes there within the caller's call, under the lock of the
// key's index shard. What they have no room for is *held* in the index and goes down through the queue: one flight a key
// at a time, many keys a batch. A put that comes while its key is flying changes the entry's version; the flight sees
// that when it lands, and what it wrote is stale and taken away.
#pragma once

#include <array>
#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <unordered_map>
#include <utility>
#include <vector>

#include "smalti/store/stores.h"
#include "store/behind.h"
#include "store/tier_index.h"

namespace smalti {

class TieredStore final : public TileStore {
 public:
  TieredStore(std::vector<Tier> tiers, Pool& background, TieredOptions options);
  ~TieredStore() override;

  Result<void> open(const Call&, const ImageId&, const ImageSpec&) override;
  void get(const Call&, std::span<TileGet>) override;
  void put(const Call&, std::span<TilePut>) override;
  Result<void> drop(const Call&, const ImageId&) override;
  Result<void> sync(const Call&, const std::optional<ImageId>&) override;
  std::vector<TilePut> shed(std::uint64_t bytes) override;
  Traits traits() const noexcept override { return traits_; }
  void count(const std::function<void(const Count&)>&) const override;
  void use(const std::optional<ImageId>&, const std::function<void(const TierUse&)>&) const override;

 private:
  using Reasons = std::vector<Error>;  // why tiers refused a tile

  // What dies after the shard's lock is given up, and before the flight counts as over: who has waited for that finds
  // the room free.
  struct Retired {
    std::vector<Tile> tiles;
    std::unique_ptr<Passage> passage;
  };

  // A key on its way to, or out of, the tiers that wait.
  struct Flight {
    TileKey key;
    TieredImagePtr image;
    Tile tile;                  // none: `stale` is to be taken away
    std::uint64_t version = 0;  // as the entry had it at take-off
    std::size_t first = 0;      // the first tier to try
    bool sinks = false;         // out of a straight tier, where it stays until it has landed
    std::uint8_t stale = 0;
    Reasons reasons;
  };

  // Lets jobs find the store, or find that it is gone.
  struct Gate {
    std::mutex mutex;
    std::condition_variable left;
    TieredStore* store = nullptr;  // guarded by mutex, as all below
    unsigned inside = 0;
  };

  // What a put lacks before it can be tried again.
  enum class Lacks : std::uint8_t { nothing, room_of_copies, passage };

  // Index of a read that a slower tier has to answer, and what the index said of it.
  struct Late {
    std::size_t at = 0;
    std::uint64_t version = 0;
    std::size_t tier = 0;
  };
  enum class Look : std::uint8_t { answered, late, ask };

  bool straight(std::size_t tier) const noexcept { return tier < straight_; }
  bool rests(const Entry& entry) const noexcept {  // at home in a straight tier
    return entry.home >= 0 && straight(static_cast<std::size_t>(entry.home));
  }
  TileStore& tier(std::size_t n) const noexcept { return *tiers_[n].store; }

  // tiered_store.cc
  void look_ahead(const ImageSpec&);
  Result<void> ensure_open(const Call&, const TileKey&, TieredImage&, std::size_t tier);
  Result<Generation> put_tile(const Call&, const TieredImagePtr&, TilePut&);
  Result<Generation> try_put(const Call&, const TieredImagePtr&, const TilePut&, bool copies_gone,
                             std::unique_ptr<Passage>&, Lacks&);
  Result<Generation> place(const Call&, TieredImage&, const TileKey&, const Tile&, std::size_t tier);
  void take(const TileKey&, std::size_t tier);
  void forget_places(const TileKey&, Entry&, Retired&, int except);
  void settle(const TieredImagePtr&, const TileKey&, Entry&, std::size_t tier, Generation, Retired&);
  void send_down(const TieredImagePtr&, const TileKey&, Entry&);
  void set_sinking(Entry&, bool);
  static Error exhausted(std::uint64_t bytes, const Reasons&);
  Result<std::unique_ptr<Passage>> enter(const Call&, std::uint64_t bytes);
  void await_landing(const Call&, TilePut&);

  // tiered_get.cc
  Look look(const Call&, TileGet&, Late&);
  bool look_straight(const Call&, IndexShard&, Entry&, TileGet&);
  void get_late(const Call&, std::span<TileGet>, std::vector<Late>, std::vector<Late>& again);
  void ask_shared(const Call&, std::span<TileGet>, const std::vector<Late>&);

  // tiered_down.cc
  void kick();
  void work();
  bool write_some();
  bool take_off(Behind::Item&, Flight&);
  void fly(std::vector<Flight>);
  void fly_straight(std::vector<Flight*>&, std::size_t tier);
  void fly_batch(std::vector<Flight*>&, std::size_t tier);
  void fly_removals(std::vector<Flight*>&);
  bool land_straight(Flight&, std::size_t tier);
  Result<void> place_in_flight(Flight&, std::size_t tier);
  void landed(Flight&, std::size_t tier, Generation);
  void removed(Flight&);
  void crashed(Flight&, const Error&);
  Entry* arrive(IndexShard&, const Flight&);
  void depart(IndexShard&, Flight&, Entry&);

  // tiered_heat.cc
  void rise(const Call&, const TileGet&, const Late&);
  void relieve();
  bool rise_now(const Call&, const TieredImagePtr&, const TileGet&, const Late&, unsigned& heat);
  std::uint64_t drop_copies(std::uint64_t bytes, unsigned below);
  std::uint64_t drop_copy(const TileKey&, unsigned below, bool& kept);
  std::uint64_t sink_coldest(std::size_t tier, std::uint64_t bytes, unsigned below);
  std::uint64_t sink_from(IndexShard&, std::size_t tier, std::uint64_t bytes, unsigned below);

  const std::vector<Tier> tiers_;
  const std::size_t straight_;  // how many
  const TieredOptions options_;
  const Traits traits_;
  Pool& background_;
  const unsigned most_jobs_;
  std::shared_ptr<Gate> gate_;
  std::stop_source closing_;
  std::once_flag overflow_told_;

  ImagesOf<TieredImage> images_;
  Behind behind_;  // outlives the index, whose passages lead to it
  TierIndex index_;
  std::vector<std::atomic<bool>> used_;  // a tier was opened for some image
  std::atomic<std::uint64_t> clock_{0};
  std::atomic<unsigned> jobs_{0};

  // With TieredOptions::through: why a put found no place, by its version, until whoever waits for it has heard it.
  std::mutex turned_away_mutex_;
  std::unordered_map<std::uint64_t, Error> turned_away_;  // guarded by turned_away_mutex_

  std::mutex copies_mutex_;
  std::deque<TileKey> copies_;  // guarded by copies_mutex_; oldest first; some may be gone already
  std::atomic<std::uint64_t> sinking_{0};  // entries that say so
  std::atomic<std::uint32_t> relief_pause_{0};  // calls to let pass before trying again
  std::atomic<std::size_t> next_victim_{0};
  std::mutex relief_mutex_;

  std::atomic<std::uint64_t> batches_{0}, risen_{0}, sunk_{0};
};

}  // namespace smalti
