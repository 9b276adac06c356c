#include "cache/draft.h"

#include <utility>

namespace smalti::cache {

Result<void> Draft::open(PixelFormat format, TileHeap& heap) {
  SMALTI_TRY(TileDraft made, TileDraft::make(rect.size, format, heap));
  if (phase == Phase::failed) copy_pixels(frozen.pixels(), made.pixels());
  based = phase == Phase::failed;
  frozen = {};
  covered = Coverage(rect.size);
  pixels = std::move(made);
  phase = Phase::open;
  return {};
}

bool Draft::needs_base(Rect part) const noexcept {
  return phase == Phase::open && !based && !covered.covers(local(part));
}

void Draft::set_base(const Tile& stored) {
  if (phase != Phase::open || based) return;
  covered.fill_rest(stored.pixels(), pixels->pixels());
  based = true;
}

void Draft::freeze() {
  frozen = std::move(*pixels).freeze();
  pixels.reset();
  covered = {};
  phase = Phase::putting;
}

Pixels Draft::now() noexcept { return pixels ? Pixels(pixels->pixels()) : frozen.pixels(); }

DraftPtr DraftTable::find(std::uint64_t index) const {
  if (empty()) return nullptr;
  const std::lock_guard lock(mutex_);
  const auto at = drafts_.find(index);
  return at == drafts_.end() ? nullptr : *at->second;
}

DraftPtr DraftTable::find_or_make(std::uint64_t index, Rect rect) {
  const std::lock_guard lock(mutex_);
  if (const auto at = drafts_.find(index); at != drafts_.end()) return *at->second;
  by_age_.push_back(std::make_shared<Draft>(index, rect));
  drafts_.emplace(index, std::prev(by_age_.end()));
  count_.store(drafts_.size(), std::memory_order_release);
  return by_age_.back();
}

void DraftTable::erase(const DraftPtr& draft) {
  const std::lock_guard lock(mutex_);
  const auto at = drafts_.find(draft->index);
  if (at == drafts_.end() || *at->second != draft) return;
  by_age_.erase(at->second);
  drafts_.erase(at);
  count_.store(drafts_.size(), std::memory_order_release);
}

std::vector<DraftPtr> DraftTable::oldest_first() const {
  const std::lock_guard lock(mutex_);
  return {by_age_.begin(), by_age_.end()};
}

}  // namespace smalti::cache
