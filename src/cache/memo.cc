#include "cache/memo.h"

#include <functional>
#include <thread>
#include <utility>

namespace smalti::cache {

const Memo::Slot& Memo::slot() const noexcept {
  // Thread ids are addresses, alike in their low bits.
  const std::uint64_t id = std::hash<std::thread::id>()(std::this_thread::get_id());
  return slots_[(id * 0x9e3779b97f4a7c15) >> 61];
}

MemoPagePtr Memo::mine(std::uint64_t version) const {
  const Slot& here = slot();
  const std::lock_guard lock(here.mutex);
  return here.page && here.page->version == version ? here.page : nullptr;
}

void Memo::keep(MemoPagePtr page) {
  Slot& here = const_cast<Slot&>(slot());
  const std::lock_guard lock(here.mutex);
  here.page.swap(page);
}

void Memo::clear() {
  for (Slot& each : slots_) {
    const std::lock_guard lock(each.mutex);
    each.page.reset();
  }
}

}  // namespace smalti::cache
