#include "store/slots.h"

#include <algorithm>

namespace smalti {

namespace {
constexpr std::uint64_t most_ahead = 64u << 20;  // bytes reserved in one piece
constexpr std::uint64_t least_ahead = 1u << 20;
}  // namespace

Result<std::shared_ptr<const Slot>> SlotFile::take(std::uint64_t bytes, Hold hold, std::uint64_t room) {
  const std::uint64_t size = (bytes + align_ - 1) / align_ * align_;
  std::uint64_t offset = 0;
  {
    const std::lock_guard lock(mutex_);
    auto& free = free_[size];
    if (!free.empty()) {
      offset = free.back();
      free.pop_back();
    } else {
      if (end_ - next_ < size) SMALTI_CHECK(grow(size, room));
      offset = next_;
      next_ += size;
    }
  }
  return std::make_shared<const Slot>(shared_from_this(), offset, size, std::move(hold));
}

// By half of what is there, so that a large image grows in few steps and a small one takes little; less on a full disk.
// What is left over at the end of the last piece is too small for a tile and stays unused.
Result<void> SlotFile::grow(std::uint64_t size, std::uint64_t room) {
  std::uint64_t wanted = std::clamp(end_ / 2, least_ahead, most_ahead);
  if (expected_ > end_) wanted = std::min(wanted, expected_ - end_);
  wanted = std::min(wanted, room) / size * size;
  wanted = std::max(wanted, size);
  auto grown = medium_->extend(wanted);
  if (!grown && grown.error().code == Errc::limit && wanted > size) {
    wanted = size;
    grown = medium_->extend(wanted);
  }
  if (!grown) return grown;
  next_ = end_;
  end_ += wanted;
  return {};
}

void SlotFile::give_back(std::uint64_t offset, std::uint64_t bytes) noexcept {
  const std::lock_guard lock(mutex_);
  free_[bytes].push_back(offset);
}

}  // namespace smalti
