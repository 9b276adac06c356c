#include "ops/foresight.h"

#include <algorithm>
#include <mutex>
#include <set>
#include <utility>

#include "ops/op_lazy.h"

namespace smalti::ops {

namespace {

constexpr const char* key = "smalti-foresight";

constexpr std::uint32_t step_rows = 64;
// How far ahead readers are told of: beyond what libvips' workers have in hand (two buffers of up to 256
// rows), and so much that tiles have time to come. What is fetched of it is the cache's to bound.
constexpr std::uint32_t rows_ahead = 1024;

// Where the readers of one image are. Thread-safe.
class Teller {
 public:
  Teller(Foresee foresee, Extent size) : foresee_(std::move(foresee)), size_(size) {}
  ~Teller() { foresee_({}, {}); }
  Teller(const Teller&) = delete;
  Teller& operator=(const Teller&) = delete;

  // A reader wants rows from `top` on; and is done with them.
  void enter(std::uint32_t top) {
    const std::lock_guard lock(mutex_);
    inside_.insert(top);
    // A reader that was given its rows but has not come for them yet may be a step behind: hence the 1 more
    // of the others.
    const std::uint32_t slowest = *inside_.begin() / step_rows;
    if (told_ == size_.h && slowest != slowest_) foresee_(last_, {told_ / step_rows + 1, slowest});
    slowest_ = slowest;
    while (told_ < size_.h && told_ < top + rows_ahead) {
      last_ = {0, told_, {size_.w, std::min(step_rows, size_.h - told_)}};
      foresee_(last_, {told_ / step_rows + 1, slowest});
      told_ += last_.size.h;
    }
  }
  void leave(std::uint32_t top) {
    const std::lock_guard lock(mutex_);
    inside_.erase(inside_.find(top));
  }

 private:
  const Foresee foresee_;
  const Extent size_;
  std::mutex mutex_;
  // Guarded by mutex_:
  std::multiset<std::uint32_t> inside_;  // first rows of those who read
  std::uint32_t told_ = 0;               // rows told of
  std::uint32_t slowest_ = 0;            // the step of the slowest reader, as last told
  Rect last_;                            // told of last
};

}  // namespace

void set_foresight(const VipsPtr& image, Foresee foresee) {
  g_object_set_data_full(G_OBJECT(image.get()), key, new Foresee(std::move(foresee)),
                         [](gpointer p) { delete static_cast<Foresee*>(p); });
}

const Foresee* foresight_of(const VipsImage* image) {
  return static_cast<const Foresee*>(g_object_get_data(G_OBJECT(const_cast<VipsImage*>(image)), key));
}

void foresee_through(const VipsPtr& of, const VipsPtr& in, Needs needs) {
  if (!foresight_of(in.get())) return;
  const std::shared_ptr<VipsImage> held(share(in).release(), Unref());
  set_foresight(of, [in = held, needs = std::move(needs)](const Rect& wanted, Pace pace) {
    const Foresee& below = *foresight_of(in.get());
    if (wanted.empty() || !needs) return below(wanted, pace);
    needs(wanted, [&](const Rect& rect) {
      const Rect inside = rect.meet(whole(extent_of(in.get())));
      if (!inside.empty()) below(inside, pace);
    });
  });
}

Result<VipsPtr> told_ahead(const VipsPtr& image) {
  const Foresee* foresee = foresight_of(image.get());
  if (!foresee) return share(image);
  auto teller = std::make_shared<Teller>(*foresee, extent_of(image.get()));
  Make make = [teller](VipsRegion* out, VipsRegion* in, Scratch&) {
    const VipsRect& area = out->valid;
    const auto top = static_cast<std::uint32_t>(area.top);
    teller->enter(top);
    const bool made =
        vips_region_prepare(in, &area) == 0 && vips_region_region(out, in, &area, area.left, area.top) == 0;
    teller->leave(top);
    return made;
  };
  return lazy_image(image, shape_of(image), image->dhint, std::move(make));
}

}  // namespace smalti::ops
