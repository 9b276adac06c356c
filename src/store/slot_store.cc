#include "store/slot_store.h"

#include <algorithm>
#include <mutex>

namespace smalti {

namespace {

struct SlotImage : OpenImage {
  using OpenImage::OpenImage;

  std::mutex mutex;
  std::shared_ptr<SlotFile> file;  // guarded by mutex; made with the first put
};

class SlotStore final : public TileStore {
 public:
  SlotStore(Ledger& ledger, SlotStoreOptions options) : ledger_(ledger), options_(std::move(options)) {}

  Result<void> open(const Call&, const ImageId& image, const ImageSpec& spec) override {
    return images_.open(image, spec);
  }

  void get(const Call& call, std::span<TileGet> batch) override {
    for (TileGet& one : batch) one.got = get(call, one.key);
  }

  void put(const Call& call, std::span<TilePut> batch) override {
    for (TilePut& one : batch) one.put = put(call, one);
  }

  Result<void> drop(const Call&, const ImageId& image) override {
    if (images_.drop(image)) table_.drop(image);
    return {};
  }

  Result<void> sync(const Call&, const std::optional<ImageId>&) override { return {}; }

  std::vector<TilePut> shed(std::uint64_t bytes) override {
    std::vector<TilePut> out;
    if (!options_.sheds) return out;
    table_.shed(bytes, [&](const TileKey& key, Slotted&& value, Generation generation) {
      if (auto tile = value.slot->medium().read(key, value)) out.push_back({key, std::move(*tile), {}, generation});
    });
    return out;
  }

  Traits traits() const noexcept override {
    return {.waits = options_.waits, .conditional = true, .capacity = ledger_.limit(options_.resource)};
  }

  void count(const std::function<void(const Count&)>& tell) const override { table_.count(options_.count, tell); }

  void use(const std::optional<ImageId>& image, const std::function<void(const TierUse&)>& tell) const override {
    const TableFigures sum = image ? table_.figures(*image) : table_.figures();
    tell({options_.tier, options_.folder.string(), sum.tiles, sum.bytes});
  }

 private:
  Result<std::optional<Tile>> get(const Call& call, const TileKey& key) {
    if (options_.waits && call.reach == Reach::hot) return fail(Errc::would_wait, "tile files have to be waited for");
    Slotted found;
    if (!table_.see(key, [&](const Slotted& value) { found = value; })) return std::optional<Tile>();
    SMALTI_TRY(Tile tile, found.slot->medium().read(key, found));
    return std::optional<Tile>(std::move(tile));
  }

  // The tile is written to a slot that nobody else knows of, and only then takes the old one's place.
  Result<Generation> put(const Call& call, const TilePut& one) {
    if (options_.waits && call.reach == Reach::hot) return fail(Errc::would_wait, "tile files have to be waited for");
    const auto image = images_.find(one.key.image);
    if (!image) return not_open(one.key);
    Slotted fresh;
    if (one.tile) {
      SMALTI_TRY(Hold hold, room_for(one));
      SMALTI_TRY(const auto file, file_of(*image));
      SMALTI_TRY(fresh.slot, file->take(one.tile.charge(), std::move(hold), ledger_.room(options_.resource)));
      SMALTI_CHECK(file->medium().write(fresh.slot->offset(), one.tile.bytes()));
      fresh.size = one.tile.pixels().size;
      fresh.format = one.tile.pixels().format;
      if (options_.checksums || one.tile.marked()) fresh.checksum = one.tile.checksum();
    }
    return table_.put(*image, one, [&](const Slotted*) { return Result<Slotted>(std::move(fresh)); });
  }

  // What replaces a tile at least as large goes beyond the limit for as long as both are there.
  Result<Hold> room_for(const TilePut& one) {
    Hold hold;
    if (ledger_.try_take(options_.resource, one.tile.charge(), hold)) return hold;
    bool replaces = false;
    table_.see(one.key, [&](const Slotted& old) { replaces = old.slot->charge() >= one.tile.charge(); });
    if (!replaces) return pass(ledger_.exhausted(options_.resource, one.tile.charge()));
    return ledger_.charge(options_.resource, one.tile.charge());
  }

  Result<std::shared_ptr<SlotFile>> file_of(SlotImage& image) {
    const std::lock_guard lock(image.mutex);
    if (!image.file) {
      SMALTI_TRY(auto medium, options_.make_medium());
      image.file = std::make_shared<SlotFile>(std::move(medium), options_.align, image.spec.stored_bytes());
    }
    return image.file;
  }

  Ledger& ledger_;
  const SlotStoreOptions options_;
  ImagesOf<SlotImage> images_;
  TileTable<Slotted> table_;
};

}  // namespace

StorePtr slot_store(Ledger& ledger, SlotStoreOptions options) {
  return std::make_unique<SlotStore>(ledger, std::move(options));
}

}  // namespace smalti
