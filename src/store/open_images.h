// OpenImages: which images a store was told of. Every store of this folder keeps one.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include "smalti/tile/grid.h"

namespace smalti {

struct OpenImage {
  explicit OpenImage(const ImageSpec& of) : spec(of) {}

  const ImageSpec spec;
  // Set before drop() sweeps the tables. Whoever inserts reads it under the table's lock, so that nothing is left over.
  std::atomic<bool> dropped{false};
};

// Thread-safe. `Record` is what the store keeps of an image: OpenImage or derived from it, made from an ImageSpec.
template <class Record>
class ImagesOf {
 public:
  using Ptr = std::shared_ptr<Record>;

  // Checks the spec; conflict when the image is open with another one.
  template <class... More>
  Result<void> open(const ImageId& image, const ImageSpec& spec, More&&... more) {
    SMALTI_CHECK(spec.check());
    const std::unique_lock lock(mutex_);
    const auto found = images_.find(image);
    if (found == images_.end()) {
      images_.emplace(image, std::make_shared<Record>(spec, std::forward<More>(more)...));
      return {};
    }
    if (found->second->spec == spec) return {};
    return fail(Errc::conflict, "image " + image.text() + " is open with another geometry; drop it first");
  }

  Ptr find(const ImageId& image) const {
    const std::shared_lock lock(mutex_);
    const auto found = images_.find(image);
    return found == images_.end() ? nullptr : found->second;
  }

  // Marks it dropped and hands it over for the sweep; null when it is not open.
  Ptr drop(const ImageId& image) {
    const std::unique_lock lock(mutex_);
    const auto found = images_.find(image);
    if (found == images_.end()) return nullptr;
    Ptr out = std::move(found->second);
    images_.erase(found);
    out->dropped = true;
    return out;
  }

  std::vector<std::pair<ImageId, Ptr>> all() const {
    const std::shared_lock lock(mutex_);
    return {images_.begin(), images_.end()};
  }

 private:
  mutable std::shared_mutex mutex_;
  std::unordered_map<ImageId, Ptr> images_;  // guarded by mutex_
};

using OpenImages = ImagesOf<OpenImage>;

// What a put answers for an image that is not open.
tl::unexpected<Error> not_open(const TileKey&);

}  // namespace smalti
