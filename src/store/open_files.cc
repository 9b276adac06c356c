#include "store/open_files.h"

#include <utility>

namespace smalti {

namespace {

struct Counted {
  Hold hold;
  std::unique_ptr<DiskFile> file;
};

}  // namespace

std::shared_ptr<DiskFile> OpenFiles::close_oldest() {
  const std::lock_guard lock(mutex_);
  if (order_.empty()) return nullptr;
  auto out = std::move(order_.back().file);
  by_image_.erase(order_.back().image);
  order_.pop_back();
  return out;
}

Result<Hold> OpenFiles::room() {
  Hold hold;
  while (!ledger_.try_take(Resource::file, 1, hold))
    if (!close_oldest()) return ledger_.take(Resource::file, 1);
  return hold;
}

Result<std::shared_ptr<DiskFile>> OpenFiles::open(const std::string& name, DiskFolder::Make how) {
  SMALTI_TRY(Hold hold, room());
  SMALTI_TRY(auto file, folder_->open(name, how));
  auto counted = std::make_shared<Counted>(Counted{std::move(hold), std::move(file)});
  return std::shared_ptr<DiskFile>(counted, counted->file.get());
}

Result<std::shared_ptr<DiskFile>> OpenFiles::get(const ImageId& image, const std::string& name) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_image_.find(image); found != by_image_.end()) {
      order_.splice(order_.begin(), order_, found->second);
      return found->second->file;
    }
  }
  SMALTI_TRY(auto file, open(name, DiskFolder::Make::existing));
  keep(image, file);
  return file;
}

Result<std::shared_ptr<DiskFile>> OpenFiles::make(const std::string& name) {
  return open(name, DiskFolder::Make::fresh);
}

void OpenFiles::keep(const ImageId& image, std::shared_ptr<DiskFile> file) {
  std::shared_ptr<DiskFile> closing;  // dies after the lock is given up
  const std::lock_guard lock(mutex_);
  if (const auto found = by_image_.find(image); found != by_image_.end()) {
    closing = std::exchange(found->second->file, std::move(file));
    order_.splice(order_.begin(), order_, found->second);
    return;
  }
  order_.push_front({image, std::move(file)});
  by_image_.emplace(image, order_.begin());
  if (order_.size() <= most_) return;
  closing = std::move(order_.back().file);
  by_image_.erase(order_.back().image);
  order_.pop_back();
}

void OpenFiles::forget(const ImageId& image) {
  std::shared_ptr<DiskFile> closing;  // dies after the lock is given up
  const std::lock_guard lock(mutex_);
  const auto found = by_image_.find(image);
  if (found == by_image_.end()) return;
  closing = std::move(found->second->file);
  order_.erase(found->second);
  by_image_.erase(found);
}

}  // namespace smalti
