// Tiles at rest in the heap.
#include "smalti/store/stores.h"
#include "store/tile_table.h"

namespace smalti {

namespace {

// A tile at rest and the room it fills: also on its way out, until the last copy of it dies.
struct Resting {
  Tile tile;
  Hold hold;
};

class MemoryStore final : public TileStore {
 public:
  explicit MemoryStore(Ledger& ledger) : ledger_(ledger) {}

  Result<void> open(const Call&, const ImageId& image, const ImageSpec& spec) override {
    SMALTI_CHECK(ledger_.fits(Resource::area, spec.size.area()));
    return images_.open(image, spec);
  }

  void get(const Call&, std::span<TileGet> batch) override {
    for (TileGet& one : batch) {
      one.got = std::optional<Tile>();
      table_.see(one.key, [&](const Resting& found) { *one.got = found.tile; });
    }
  }

  void put(const Call&, std::span<TilePut> batch) override {
    for (TilePut& one : batch) {
      const auto image = images_.find(one.key.image);
      one.put = image ? table_.put(*image, one, [&](const Resting* old) { return rest(one.tile, old); })
                      : Result<Generation>(not_open(one.key));
    }
  }

  Result<void> drop(const Call&, const ImageId& image) override {
    if (images_.drop(image)) table_.drop(image);
    return {};
  }

  Result<void> sync(const Call&, const std::optional<ImageId>&) override { return {}; }

  std::vector<TilePut> shed(std::uint64_t bytes) override {
    std::vector<TilePut> out;
    table_.shed(bytes, [&](const TileKey& key, Resting&& value, Generation generation) {
      const auto leaving = std::make_shared<Resting>(std::move(value));
      Tile tile(leaving->tile.pixels(), leaving);
      if (leaving->tile.marked()) tile = tile.marked_with(leaving->tile.checksum());
      out.push_back({key, std::move(tile), {}, generation});
    });
    return out;
  }

  Traits traits() const noexcept override {
    return {.conditional = true, .heap = true, .capacity = ledger_.limit(Resource::memory)};
  }

  void count(const std::function<void(const Count&)>& tell) const override { table_.count("memory", tell); }

  void use(const std::optional<ImageId>& image, const std::function<void(const TierUse&)>& tell) const override {
    const TableFigures sum = image ? table_.figures(*image) : table_.figures();
    tell({"Memory", "", sum.tiles, sum.bytes});
  }

 private:
  // A tile that replaces one at least as large always fits: the old one's room becomes its own.
  Result<Resting> rest(const Tile& tile, const Resting* old) {
    Resting fresh{tile, {}};
    const std::uint64_t bytes = tile.charge();
    if (ledger_.try_take(Resource::memory, bytes, fresh.hold)) return fresh;
    Hold more;
    const bool fits = old && (bytes <= old->hold.amount() ||
                              ledger_.try_take(Resource::memory, bytes - old->hold.amount(), more));
    if (!fits) return pass(ledger_.exhausted(Resource::memory, bytes));
    fresh.hold = ledger_.charge(Resource::memory, bytes);
    return fresh;
  }

  Ledger& ledger_;
  OpenImages images_;
  TileTable<Resting> table_;
};

}  // namespace

StorePtr memory_store(Ledger& ledger) { return std::make_unique<MemoryStore>(ledger); }

}  // namespace smalti
