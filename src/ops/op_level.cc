#include "ops/op_level.h"

#include <algorithm>
#include <cmath>
#include <mutex>

#include "ops/op_point.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // vectorises the loops
#endif

namespace smalti::ops {
namespace {

struct Search {
  const Call& call;
  std::mutex mutex;
  Range range{65535, 0};
  Error stopped;  // why the caller gave up
  bool given_up = false;
};

template <class T>
void widen(Range& range, const T* samples, std::size_t count) {
  T least = samples[0], most = samples[0];
  for (std::size_t i = 0; i < count; ++i) {
    least = std::min(least, samples[i]);
    most = std::max(most, samples[i]);
  }
  range = {std::min<std::uint32_t>(range.least, least), std::max<std::uint32_t>(range.most, most)};
}

// A worker's own range, joined to the others' when it stops.
void* start(VipsImage*, void*, void*) { return new Range{65535, 0}; }

int scan(VipsRegion* region, void* sequence, void*, void* search_ptr, gboolean*) {
  auto& search = *static_cast<Search*>(search_ptr);
  if (auto alive = search.call.alive(); !alive) {
    const std::lock_guard lock(search.mutex);
    search.stopped = alive.error();
    search.given_up = true;
    return -1;
  }
  auto& range = *static_cast<Range*>(sequence);
  const VipsRect& area = region->valid;
  const auto count = static_cast<std::size_t>(area.width) * static_cast<std::size_t>(region->im->Bands);
  for (int y = area.top; y < area.top + area.height; ++y) {
    const VipsPel* row = VIPS_REGION_ADDR(region, area.left, y);
    if (region->im->BandFmt == VIPS_FORMAT_USHORT) {
      widen(range, reinterpret_cast<const std::uint16_t*>(row), count);
    } else {
      widen(range, row, count);
    }
  }
  return 0;
}

int join(void* sequence, void*, void* search_ptr) {
  auto& search = *static_cast<Search*>(search_ptr);
  const std::unique_ptr<Range> range(static_cast<Range*>(sequence));
  const std::lock_guard lock(search.mutex);
  search.range = {std::min(search.range.least, range->least), std::max(search.range.most, range->most)};
  return 0;
}

}  // namespace

Result<Range> range_of(const Call& call, const VipsPtr& image) {
  Search search{.call = call};
  if (vips_sink(image.get(), start, scan, join, nullptr, &search) != 0) {
    if (search.given_up) {
      vips_error_clear();
      return pass(search.stopped);
    }
    return vips_fail(Errc::io, "cannot look for the least and the greatest level");
  }
  return search.range;
}

Result<VipsPtr> auto_leveled(const Call& call, const VipsPtr& image, int quantum_depth) {
  SMALTI_TRY(const Range range, range_of(call, image));
  if (range.least >= range.most) return share(image);
  const std::size_t levels = image->BandFmt == VIPS_FORMAT_USHORT ? 65536 : 256;
  std::vector<std::uint16_t> table(levels);
  const double span = range.most - range.least;
  for (std::size_t i = 0; i < levels; ++i) {
    const double part = std::clamp((static_cast<double>(i) - range.least) / span, 0.0, 1.0);
    table[i] = static_cast<std::uint16_t>(std::floor(part * 65535 + 0.5));
  }
  SMALTI_TRY(const VipsPtr done, looked_up(image, std::move(table)));
  return to_depth(done, quantum_depth);
}

}  // namespace smalti::ops
