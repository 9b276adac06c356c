// Shelves: a server's tiers, and beside them the folder that named images go to.
#pragma once

#include <memory>
#include <shared_mutex>
#include <unordered_set>

#include "smalti/store/store.h"

namespace smalti::server {

// Thread-safe. An image is in the folder from keep() on until it is dropped; all others are in the tiers.
class Shelves final : public TileStore {
 public:
  Shelves(std::shared_ptr<TileStore> tiers, std::shared_ptr<TileStore> folder)
      : tiers_(std::move(tiers)), folder_(std::move(folder)) {}

  // Before open(), or for what the folder has open already.
  void keep(const ImageId&);

  Result<void> open(const Call&, const ImageId&, const ImageSpec&) override;
  void get(const Call&, std::span<TileGet>) override;
  void put(const Call&, std::span<TilePut>) override;
  Result<void> drop(const Call&, const ImageId&) override;
  Result<void> sync(const Call&, const std::optional<ImageId>&) override;
  std::vector<TilePut> shed(std::uint64_t bytes) override { return tiers_->shed(bytes); }
  Traits traits() const noexcept override { return tiers_->traits(); }
  void count(const std::function<void(const Count&)>&) const override;
  void use(const std::optional<ImageId>&, const std::function<void(const TierUse&)>&) const override;

 private:
  bool kept(const ImageId&) const;
  TileStore& of(const ImageId& image) const { return kept(image) ? *folder_ : *tiers_; }
  template <class Item, class Act>
  void part(std::span<Item> items, Act act) const;

  const std::shared_ptr<TileStore> tiers_, folder_;
  mutable std::shared_mutex mutex_;
  std::unordered_set<ImageId> kept_;  // guarded by mutex_
};

}  // namespace smalti::server
