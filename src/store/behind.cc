#include "store/behind.h"

#include <algorithm>

namespace smalti {

void TieredImage::fail(const Error& why) {
  const std::lock_guard lock(mutex_);
  if (failed_) return;
  failure_ = lost_ = why;
  failed_ = true;
}

std::optional<Error> TieredImage::failure() const {
  if (!failed_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  return failure_;
}

std::optional<Error> TieredImage::take_failure() {
  if (!failed_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  failed_ = false;
  return std::exchange(failure_, std::nullopt);
}

Error TieredImage::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

Passage::~Passage() {
  hold_.release();
  behind_.bytes_ -= bytes_;
  behind_.change();
}

std::unique_ptr<Passage> Behind::try_enter(std::uint64_t bytes) {
  std::uint64_t seen = bytes_;
  do {
    if (seen != 0 && (seen > bound_ || bytes > bound_ - seen)) return nullptr;
  } while (!bytes_.compare_exchange_weak(seen, seen + bytes));
  return std::make_unique<Passage>(*this, bytes, ledger_ ? ledger_->charge(Resource::memory, bytes) : Hold());
}

void Behind::push(const TileKey& key, TieredImagePtr image) {
  ++image->busy;
  ++busy_;
  const std::lock_guard lock(mutex_);
  queue_.push_back({key, std::move(image)});
}

std::vector<Behind::Item> Behind::pop(std::size_t most) {
  std::vector<Item> out;
  const std::lock_guard lock(mutex_);
  const std::size_t count = std::min(most, queue_.size());
  out.assign(std::make_move_iterator(queue_.begin()),
             std::make_move_iterator(queue_.begin() + static_cast<std::ptrdiff_t>(count)));
  queue_.erase(queue_.begin(), queue_.begin() + static_cast<std::ptrdiff_t>(count));
  return out;
}

void Behind::purge(const TieredImage& image) {
  std::vector<Item> out;
  {
    const std::lock_guard lock(mutex_);
    std::deque<Item> of_others;
    for (Item& item : queue_) {
      if (item.image.get() == &image)
        out.push_back(std::move(item));
      else
        of_others.push_back(std::move(item));
    }
    queue_.swap(of_others);
  }
  for (Item& item : out) resolved(*item.image);
}

void Behind::resolved(TieredImage& image) {
  --image.busy;
  --busy_;
  change();
}

std::uint64_t Behind::epoch() const {
  const std::lock_guard lock(mutex_);
  return epoch_;
}

void Behind::await_change(std::uint64_t seen) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, std::chrono::milliseconds(50), [&] { return epoch_ != seen; });
}

bool Behind::idle_queue() const {
  const std::lock_guard lock(mutex_);
  return queue_.empty();
}

void Behind::change() {
  {
    const std::lock_guard lock(mutex_);
    ++epoch_;
  }
  changed_.notify_all();
}

}  // namespace smalti
