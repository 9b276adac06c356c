#include "ops/row_stream.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <mutex>
#include <utility>

#include "ops/foresight.h"
#include "ops/op_lazy.h"
#include "ops/work.h"

namespace smalti::ops {

namespace {

constexpr int strip_rows = 16;

struct Strip {
  std::vector<std::byte> pixels;
  Hold charge;
  int readers = 0;  // that copy from it
};
using StripPtr = std::unique_ptr<Strip>;

// Thread-safe.
class Rows {
 public:
  Rows(VipsPtr decoded, FlowPtr flow, std::string what, Ledger& ledger, std::vector<Hold> held)
      : decoded_(std::move(decoded)),
        flow_(std::move(flow)),
        what_(std::move(what)),
        ledger_(ledger),
        held_(std::move(held)),
        row_bytes_(VIPS_IMAGE_SIZEOF_LINE(decoded_.get())) {}

  bool fill(VipsRegion* out);
  void foresee(const Rect& wanted, Pace pace);

 private:
  Result<void> decode_to(int bottom);
  Result<void> decode_strip(int top);
  Result<void> copy(VipsRegion* out);
  StripPtr empty_strip(std::size_t bytes);
  void drop_unwanted();
  bool reached(int bottom) {
    const std::lock_guard lock(mutex_);
    return end_ >= bottom;
  }

  const VipsPtr decoded_;
  const FlowPtr flow_;
  const std::string what_;
  Ledger& ledger_;
  const std::vector<Hold> held_;
  const std::size_t row_bytes_;
  std::mutex decoding_;  // one at a time, since a decoder has but one order; taken before mutex_
  std::mutex mutex_;
  // Guarded by mutex_:
  int end_ = 0;                     // rows decoded
  int keep_from_ = 0;               // no row above it is wanted any more
  std::map<int, StripPtr> strips_;  // by first row
  std::vector<StripPtr> spare_;     // let go, to be filled anew: fresh memory would have to be cleared first
  std::map<std::uint64_t, int> steps_;  // the first row that each step wants
};

bool Rows::fill(VipsRegion* out) {
  const Stopwatch reading(nullptr);
  Result<void> done = flow_->call().alive();
  if (done) done = decode_to(out->valid.top + out->valid.height);
  if (done) done = copy(out);
  if (done) return true;
  vips_error("smalti", "%s", done.error().what.c_str());
  flow_->fail_with(std::move(done.error()));
  return false;
}

Result<void> Rows::decode_to(int bottom) {
  if (reached(bottom)) return {};
  const std::lock_guard lock(decoding_);
  while (!reached(bottom)) SMALTI_CHECK(decode_strip(end_));  // end_ moves only under decoding_
  return {};
}

// A region of its own: regions belong to their thread, and whoever comes first decodes.
Result<void> Rows::decode_strip(int top) {
  const VipsRect area{0, top, decoded_->Xsize, std::min(strip_rows, decoded_->Ysize - top)};
  VipsRegion* region = vips_region_new(decoded_.get());
  if (!region || vips_region_prepare(region, &area) != 0) {
    if (region) g_object_unref(region);
    return vips_fail(
        Errc::corrupt,
        what_ + " (the picture is damaged or cut short; -define input:salvage=true reads what there is)");
  }
  StripPtr strip = empty_strip(static_cast<std::size_t>(strip_rows) * row_bytes_);
  for (int y = 0; y < area.height; ++y)
    std::memcpy(strip->pixels.data() + static_cast<std::size_t>(y) * row_bytes_,
                VIPS_REGION_ADDR(region, 0, top + y), row_bytes_);
  g_object_unref(region);
  const std::lock_guard lock(mutex_);
  strips_.emplace(top, std::move(strip));
  end_ = top + area.height;
  drop_unwanted();
  return {};
}

Result<void> Rows::copy(VipsRegion* out) {
  const VipsRect& want = out->valid;
  const std::size_t pixel = VIPS_IMAGE_SIZEOF_PEL(decoded_.get());
  for (int y = want.top; y < want.top + want.height;) {
    Strip* strip = nullptr;
    const int first = y / strip_rows * strip_rows;
    {
      const std::lock_guard lock(mutex_);
      if (const auto at = strips_.find(first); at != strips_.end()) strip = at->second.get();
      if (strip) ++strip->readers;
    }
    if (!strip)
      return fail(Errc::internal, what_ + ": row " + std::to_string(y) +
                                      " was wanted after it was let go (leave out "
                                      "-define cache:stream=auto)");
    const int end = std::min(first + strip_rows, want.top + want.height);
    for (; y < end; ++y)
      std::memcpy(VIPS_REGION_ADDR(out, want.left, y),
                  strip->pixels.data() + static_cast<std::size_t>(y - first) * row_bytes_ +
                      static_cast<std::size_t>(want.left) * pixel,
                  static_cast<std::size_t>(want.width) * pixel);
    const std::lock_guard lock(mutex_);
    --strip->readers;
  }
  return {};
}

void Rows::foresee(const Rect& wanted, Pace pace) {
  if (wanted.empty()) return;
  const std::lock_guard lock(mutex_);
  const auto row = static_cast<int>(wanted.y);
  const auto [at, fresh] = steps_.try_emplace(pace.at, row);
  at->second = std::min(at->second, row);
  steps_.erase(steps_.begin(), steps_.lower_bound(pace.reached));
  if (!steps_.empty()) keep_from_ = std::max(keep_from_, steps_.begin()->second);
  drop_unwanted();
}

StripPtr Rows::empty_strip(std::size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    const auto idle =
        std::find_if(spare_.begin(), spare_.end(), [](const StripPtr& s) { return s->readers == 0; });
    if (idle != spare_.end()) {
      StripPtr strip = std::move(*idle);
      spare_.erase(idle);
      return strip;
    }
  }
  auto strip = std::make_unique<Strip>();
  strip->pixels.resize(bytes);
  strip->charge = ledger_.charge(Resource::memory, bytes);
  return strip;
}

void Rows::drop_unwanted() {
  while (!strips_.empty() && strips_.begin()->first + strip_rows <= keep_from_) {
    spare_.push_back(std::move(strips_.begin()->second));
    strips_.erase(strips_.begin());
  }
}

int generate(VipsRegion* out, void*, void* rows, void*, gboolean*) {
  return static_cast<Rows*>(rows)->fill(out) ? 0 : -1;
}

}  // namespace

Result<VipsPtr> row_stream(const VipsPtr& decoded, FlowPtr flow, std::string what, Ledger& ledger,
                           std::vector<Hold> held) {
  VipsPtr image(vips_image_new());
  if (vips_image_pipelinev(image.get(), VIPS_DEMAND_STYLE_FATSTRIP, decoded.get(), nullptr) != 0)
    return vips_fail(Errc::internal, "a stream of rows");
  auto rows =
      std::make_shared<Rows>(share(decoded), std::move(flow), std::move(what), ledger, std::move(held));
  set_foresight(image, [rows](const Rect& wanted, Pace pace) { rows->foresee(wanted, pace); });
  // Held by the image, and so by every region on it.
  g_object_set_data_full(G_OBJECT(image.get()), "smalti-rows", new std::shared_ptr<Rows>(rows),
                         [](gpointer p) { delete static_cast<std::shared_ptr<Rows>*>(p); });
  if (vips_image_generate(image.get(), nullptr, generate, nullptr, rows.get(), nullptr) != 0)
    return vips_fail(Errc::internal, "a stream of rows");
  return image;
}

}  // namespace smalti::ops
