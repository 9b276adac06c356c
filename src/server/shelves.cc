#include "server/shelves.h"

#include <algorithm>
#include <mutex>
#include <vector>

namespace smalti::server {

void Shelves::keep(const ImageId& image) {
  const std::unique_lock lock(mutex_);
  kept_.insert(image);
}

bool Shelves::kept(const ImageId& image) const {
  const std::shared_lock lock(mutex_);
  return kept_.contains(image);
}

// Most batches are of one image.
template <class Item, class Act>
void Shelves::part(std::span<Item> items, Act act) const {
  std::vector<bool> here(items.size());
  for (std::size_t i = 0; i < items.size(); ++i)
    here[i] = i > 0 && items[i].key.image == items[i - 1].key.image ? here[i - 1] : kept(items[i].key.image);
  const auto count = static_cast<std::size_t>(std::count(here.begin(), here.end(), true));
  if (count == 0) return act(*tiers_, items);
  if (count == items.size()) return act(*folder_, items);
  for (const bool folder : {false, true}) {
    std::vector<Item> some;
    for (std::size_t i = 0; i < items.size(); ++i)
      if (here[i] == folder) some.push_back(std::move(items[i]));
    act(folder ? *folder_ : *tiers_, std::span(some));
    auto next = some.begin();
    for (std::size_t i = 0; i < items.size(); ++i)
      if (here[i] == folder) items[i] = std::move(*next++);
  }
}

Result<void> Shelves::open(const Call& call, const ImageId& image, const ImageSpec& spec) {
  return of(image).open(call, image, spec);
}

void Shelves::get(const Call& call, std::span<TileGet> gets) {
  part(gets, [&call](TileStore& store, std::span<TileGet> some) { store.get(call, some); });
}

void Shelves::put(const Call& call, std::span<TilePut> puts) {
  part(puts, [&call](TileStore& store, std::span<TilePut> some) { store.put(call, some); });
}

Result<void> Shelves::drop(const Call& call, const ImageId& image) {
  auto dropped = of(image).drop(call, image);
  if (!dropped) return dropped;
  const std::unique_lock lock(mutex_);
  kept_.erase(image);
  return {};
}

Result<void> Shelves::sync(const Call& call, const std::optional<ImageId>& image) {
  if (image) return of(*image).sync(call, image);
  SMALTI_CHECK(tiers_->sync(call, image));
  return folder_->sync(call, image);
}

void Shelves::count(const std::function<void(const Count&)>& tell) const {
  tiers_->count(tell);
  folder_->count(tell);
}

void Shelves::use(const std::optional<ImageId>& image, const std::function<void(const TierUse&)>& tell) const {
  if (image) return of(*image).use(image, tell);
  tiers_->use(image, tell);
  folder_->use(image, tell);
}

}  // namespace smalti::server
