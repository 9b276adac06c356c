// rotting_store: a store whose memory goes bad: what was put before rot() comes back with a wrong byte, until it is put anew.
#pragma once

#include <algorithm>
#include <memory>
#include <mutex>
#include <unordered_set>
#include <utility>

#include "smalti/store/store.h"

namespace smalti::test {

// Thread-safe.
class RottingStore final : public TileStore {
 public:
  RottingStore(StorePtr inner, TileHeap& heap) : inner_(std::move(inner)), heap_(heap) {}

  // Everything that is there now.
  void rot() {
    const std::lock_guard lock(mutex_);
    bad_ = there_;
  }
  std::size_t bad() const {
    const std::lock_guard lock(mutex_);
    return bad_.size();
  }

  Result<void> open(const Call& call, const ImageId& image, const ImageSpec& spec) override {
    return inner_->open(call, image, spec);
  }
  void get(const Call& call, std::span<TileGet> batch) override {
    inner_->get(call, batch);
    const std::lock_guard lock(mutex_);
    for (TileGet& one : batch)
      if (one.got && *one.got && bad_.contains(one.key)) **one.got = spoilt(**one.got);
  }
  void put(const Call& call, std::span<TilePut> batch) override {
    inner_->put(call, batch);
    const std::lock_guard lock(mutex_);
    for (const TilePut& one : batch) {
      if (!one.put) continue;
      bad_.erase(one.key);
      there_.insert(one.key);
    }
  }
  Result<void> drop(const Call& call, const ImageId& image) override {
    {
      const std::lock_guard lock(mutex_);
      std::erase_if(bad_, [&](const TileKey& key) { return key.image == image; });
      std::erase_if(there_, [&](const TileKey& key) { return key.image == image; });
    }
    return inner_->drop(call, image);
  }
  Result<void> sync(const Call& call, const std::optional<ImageId>& image) override { return inner_->sync(call, image); }
  std::vector<TilePut> shed(std::uint64_t bytes) override { return inner_->shed(bytes); }
  Traits traits() const noexcept override { return inner_->traits(); }
  void count(const std::function<void(const Count&)>& tell) const override { inner_->count(tell); }
  void use(const std::optional<ImageId>& image, const std::function<void(const TierUse&)>& tell) const override {
    inner_->use(image, tell);
  }

 private:
  Tile spoilt(const Tile& good) {
    auto draft = TileDraft::make(good.pixels().size, good.pixels().format, heap_);
    if (!draft) return good;
    std::ranges::copy(good.bytes(), draft->bytes().begin());
    draft->bytes()[draft->bytes().size() / 2] ^= std::byte{4};
    return std::move(*draft).freeze().marked_with(good.checksum());
  }

  const StorePtr inner_;
  TileHeap& heap_;
  mutable std::mutex mutex_;
  std::unordered_set<TileKey> there_, bad_;  // guarded by mutex_
};

}  // namespace smalti::test
