#include "ops/foresight.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "ops/op_lazy.h"

namespace smalti::ops {

namespace {

constexpr const char* key = "smalti-foresight";

constexpr std::uint32_t step_rows = 16;
// How far ahead readers are told of: beyond what libvips' workers have in hand (two buffers of up to 256
// rows), and so much that tiles have time to come. What is fetched of it is the cache's to bound.
constexpr std::uint32_t rows_ahead = 1024;

// Where the readers of one image are: they take areas that tile it, row after row of areas, each once.
// Thread-safe.
class Teller {
 public:
  Teller(Foresee foresee, Extent size) : foresee_(std::move(foresee)), size_(size) {}
  ~Teller() { foresee_({}, {}); }
  Teller(const Teller&) = delete;
  Teller& operator=(const Teller&) = delete;

  // A reader begins with an area; and is done with it.
  void enter(const Rect& area) {
    const std::lock_guard lock(mutex_);
    while (told_ < size_.h && told_ < area.y + rows_ahead) {
      last_ = {0, told_, {size_.w, std::min(step_rows, size_.h - told_)}};
      ++step_;
      foresee_(last_, {step_, reached()});
      told_ += last_.size.h;
    }
  }
  void leave(const Rect& area) {
    const std::lock_guard lock(mutex_);
    Band& band = bands_[area.y];
    band.high = std::max(band.high, area.size.h);
    band.pixels += area.size.area();
    const std::uint64_t before = reached();
    while (!bands_.empty() && bands_.begin()->first == done_ && bands_.begin()->second.whole(size_.w)) {
      done_ += bands_.begin()->second.high;
      bands_.erase(bands_.begin());
    }
    if (reached() != before && step_ != 0) foresee_(last_, {step_, reached()});
  }

 private:
  struct Band {
    std::uint32_t high = 0;
    std::uint64_t pixels = 0;
    bool whole(std::uint32_t wide) const noexcept { return pixels == std::uint64_t{high} * wide; }
  };
  std::uint64_t reached() const noexcept { return static_cast<std::uint64_t>(done_) / step_rows + 1; }

  const Foresee foresee_;
  const Extent size_;
  std::mutex mutex_;
  // Guarded by mutex_:
  std::uint32_t told_ = 0;              // rows told of
  std::uint64_t step_ = 0;              // the last step, from 1
  Rect last_;                           // what it wants
  std::int64_t done_ = 0;               // every row above is computed
  std::map<std::int64_t, Band> bands_;  // areas done from there on, by first row
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
    teller->enter(from_vips(area));
    const bool made =
        vips_region_prepare(in, &area) == 0 && vips_region_region(out, in, &area, area.left, area.top) == 0;
    if (made) teller->leave(from_vips(area));
    return made;
  };
  return lazy_image(image, shape_of(image), image->dhint, std::move(make));
}

}  // namespace smalti::ops
