#include "ops/op_frame.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "ops/op_geometry.h"
#include "ops/op_layers.h"
#include "ops/op_lazy.h"
#include "ops/op_place.h"
#include "ops/op_settings.h"

namespace smalti::ops {
namespace {

constexpr int most_bands = 5;
using Pixel = std::array<double, most_bands>;  // 0..65535

// Whether two colours are the same but for -fuzz, as ImageMagick measures it.
struct Alike {
  int bands;
  bool alpha;
  double fuzz;  // squared

  bool operator()(const Pixel& a, const Pixel& b) const {
    double distance = 0, weight = 1;
    if (alpha) {
      const auto last = static_cast<std::size_t>(bands - 1);
      distance = (a[last] - b[last]) * (a[last] - b[last]);
      if (distance > fuzz) return false;
      weight = a[last] / 65535 * (b[last] / 65535);
      if (weight <= 1e-12) return true;
    }
    distance *= 3;
    const auto colors = static_cast<std::size_t>(bands - (alpha ? 1 : 0));
    if (colors == 1) weight *= 3;  // gray is three colours of one level
    for (std::size_t c = 0; c < colors; ++c) {
      distance += weight * (a[c] - b[c]) * (a[c] - b[c]);
      if (distance > 3 * fuzz) return false;
    }
    return true;
  }
};

// The rectangle of what differs from the corners; empty from the start.
struct Bounds {
  int left, top, right = -1, bottom = -1;
};

struct Search {
  const Call& call;
  Alike alike;
  std::array<Pixel, 3> corners;  // top left, top right, bottom left
  std::mutex mutex;
  Bounds bounds;                 // guarded by mutex
  std::optional<Error> stopped;  // guarded by mutex; why the caller gave up
};

template <class T>
Pixel pixel_at(const T* samples, int bands) {
  Pixel pixel{};
  for (int b = 0; b < bands; ++b) pixel[static_cast<std::size_t>(b)] = samples[b] * (sizeof(T) == 1 ? 257.0 : 1.0);
  return pixel;
}

Pixel pixel_of(VipsRegion* region, int x, int y) {
  const VipsPel* at = VIPS_REGION_ADDR(region, x, y);
  return region->im->BandFmt == VIPS_FORMAT_USHORT
             ? pixel_at(reinterpret_cast<const std::uint16_t*>(at), region->im->Bands)
             : pixel_at(at, region->im->Bands);
}

// Only pixels that could widen the bounds are compared: within them nothing is to be found.
void widen(VipsRegion* region, const Search& search, Bounds& bounds) {
  const VipsRect& area = region->valid;
  for (int y = area.top; y < area.top + area.height; ++y)
    for (int x = area.left; x < area.left + area.width; ++x) {
      if (x >= bounds.left && x <= bounds.right && y >= bounds.top && y <= bounds.bottom) {
        x = std::min(bounds.right, area.left + area.width);
        continue;
      }
      const Pixel pixel = pixel_of(region, x, y);
      const bool new_start = !search.alike(pixel, search.corners[0]);
      if (new_start && x < bounds.left) bounds.left = x;
      if (new_start && y < bounds.top) bounds.top = y;
      if (x > bounds.right && !search.alike(pixel, search.corners[1])) bounds.right = x;
      if (y > bounds.bottom && !search.alike(pixel, search.corners[2])) bounds.bottom = y;
    }
}

void* start(VipsImage* image, void*, void*) { return new Bounds{image->Xsize, image->Ysize}; }

int scan(VipsRegion* region, void* sequence, void*, void* search_ptr, gboolean*) {
  auto& search = *static_cast<Search*>(search_ptr);
  if (auto alive = search.call.alive(); !alive) {
    const std::lock_guard lock(search.mutex);
    search.stopped = alive.error();
    return -1;
  }
  widen(region, search, *static_cast<Bounds*>(sequence));
  return 0;
}

int join(void* sequence, void*, void* search_ptr) {
  auto& search = *static_cast<Search*>(search_ptr);
  const std::unique_ptr<Bounds> own(static_cast<Bounds*>(sequence));
  const std::lock_guard lock(search.mutex);
  Bounds& all = search.bounds;
  all = {std::min(all.left, own->left), std::min(all.top, own->top), std::max(all.right, own->right),
         std::max(all.bottom, own->bottom)};
  return 0;
}

// AMOUNT[%], as a distance of colours.
Result<double> fuzz_of(const Settings& settings) {
  std::string text(setting(settings, "fuzz"));
  const bool percent = std::erase(text, '%') > 0;
  double fuzz = 0;
  if (!text.empty()) {
    SMALTI_TRY(fuzz, parse_number("-fuzz", text));
  }
  fuzz = std::max(percent ? fuzz / 100 * 65535 : fuzz, std::sqrt(0.5));
  return fuzz * fuzz;
}

Result<std::array<Pixel, 3>> corners_of(const VipsPtr& image) {
  struct Drop {
    void operator()(VipsRegion* region) const noexcept { g_object_unref(region); }
  };
  const std::unique_ptr<VipsRegion, Drop> region(vips_region_new(image.get()));
  std::array<Pixel, 3> corners;
  const std::array<std::array<int, 2>, 3> at{{{0, 0}, {image->Xsize - 1, 0}, {0, image->Ysize - 1}}};
  for (std::size_t i = 0; i < corners.size(); ++i) {
    const VipsRect one{at[i][0], at[i][1], 1, 1};
    if (vips_region_prepare(region.get(), &one) != 0) return vips_fail(Errc::io, "-trim cannot read the corners");
    corners[i] = pixel_of(region.get(), one.left, one.top);
  }
  return corners;
}

Result<Color> color_setting(const Settings& settings, std::string_view name, const Color& otherwise) {
  const std::string_view text = setting(settings, name);
  if (text.empty()) return otherwise;
  auto color = parse_color(text);
  if (!color) return pass(std::move(color.error()), "-" + std::string(name));
  return color;
}

// WIDTH[xHEIGHT][%] of pixels at each side.
Result<Extent> margins_of(std::string_view option, std::string_view text, Extent image) {
  SMALTI_TRY(const Geometry geometry, parse_geometry(option, text));
  const double w = geometry.w.value_or(0), h = geometry.h.value_or(w);
  const auto side = [&](double given, std::uint32_t length) {
    return static_cast<std::uint32_t>(geometry.percent ? std::floor(given * length / 100 + 0.5) : given);
  };
  return Extent{side(w, image.w), side(h, image.h)};
}

// A canvas of any size, checked.
Result<Extent> canvas_of(const Workshop& shop, std::string_view option, std::uint64_t w, std::uint64_t h) {
  constexpr std::uint64_t most = 0xFFFFFFFF;
  const Extent size{static_cast<std::uint32_t>(std::min(w, most)), static_cast<std::uint32_t>(std::min(h, most))};
  SMALTI_CHECK(size_fits(shop.cache.ledger, option, size));
  return size;
}

}  // namespace

Result<PictureState> trimmed(const Call& call, const PictureState& in, const Settings& settings) {
  if (in.image->Bands > most_bands) return fail(Errc::unsupported, "-trim: the picture has too many channels");
  SMALTI_TRY(const double fuzz, fuzz_of(settings));
  SMALTI_TRY(const auto corners, corners_of(in.image));
  Search search{.call = call,
                .alike = {in.image->Bands, in.alpha, fuzz},
                .corners = corners,
                .bounds = {in.image->Xsize, in.image->Ysize}};
  if (vips_sink(in.image.get(), start, scan, join, nullptr, &search) != 0) {
    if (!search.stopped) return vips_fail(Errc::io, "-trim cannot look for what is at the sides");
    vips_error_clear();
    return pass(std::move(*search.stopped));
  }
  const Bounds& found = search.bounds;
  if (found.right < found.left || found.bottom < found.top) return in.with(share(in.image));
  return cut(in,
             std::to_string(found.right - found.left + 1) + "x" + std::to_string(found.bottom - found.top + 1) + "+" +
                 std::to_string(in.page.x + found.left) + "+" + std::to_string(in.page.y + found.top),
             "");
}

Result<PictureState> extended(const Workshop& shop, const Call& call, const PictureState& in,
                              std::string_view text, const Settings& settings) {
  SMALTI_TRY(const Geometry geometry, parse_geometry("-extent", text));
  SMALTI_TRY(const Rect shown, extended(geometry, extent_of(in.image.get()), setting(settings, "gravity")));
  SMALTI_TRY(const Color ground, background_of(settings));
  SMALTI_TRY(const Extent canvas, canvas_of(shop, "-extent", shown.size.w, shown.size.h));
  std::vector<Layer> layers;
  layers.push_back({in.with(share(in.image)), -shown.x, -shown.y});
  return laid_out(shop, call, canvas, ground, std::move(layers), Meet::over);
}

Result<PictureState> bordered(const Workshop& shop, const Call& call, const PictureState& in,
                              std::string_view text, const Settings& settings) {
  const Extent size = extent_of(in.image.get());
  SMALTI_TRY(const Extent margins, margins_of("-border", text, size));
  SMALTI_TRY(const Color ground, color_setting(settings, "bordercolor", {0xDFDF, 0xDFDF, 0xDFDF}));
  SMALTI_TRY(const Extent canvas, canvas_of(shop, "-border", size.w + 2 * std::uint64_t{margins.w},
                                            size.h + 2 * std::uint64_t{margins.h}));
  std::vector<Layer> layers;
  layers.push_back({in.with(share(in.image)), margins.w, margins.h});
  return laid_out(shop, call, canvas, ground, std::move(layers), Meet::over);
}

Result<PictureState> shaved(const PictureState& in, std::string_view text) {
  const Extent size = extent_of(in.image.get());
  SMALTI_TRY(const Extent margins, margins_of("-shave", text, size));
  if (2 * std::uint64_t{margins.w} >= size.w || 2 * std::uint64_t{margins.h} >= size.h)
    return fail(Errc::invalid, "-shave '" + std::string(text) + "' leaves nothing of the picture");
  PictureState plain = in.with(share(in.image));
  plain.page = {};
  SMALTI_TRY(PictureState out,
             cut(plain,
                 std::to_string(size.w - 2 * margins.w) + "x" + std::to_string(size.h - 2 * margins.h) + "+" +
                     std::to_string(margins.w) + "+" + std::to_string(margins.h),
                 ""));
  out.page = {};
  return out;
}

Result<PictureState> appended(const Workshop& shop, const Call& call, std::span<const PictureState> all,
                              bool across, const Settings& settings) {
  SMALTI_TRY(const Color ground, background_of(settings));
  std::uint64_t length = 0, breadth = 0;
  for (const PictureState& in : all) {
    const Extent size = extent_of(in.image.get());
    length += across ? size.w : size.h;
    breadth = std::max<std::uint64_t>(breadth, across ? size.h : size.w);
  }
  SMALTI_TRY(const Extent canvas, canvas_of(shop, across ? "+append" : "-append", across ? length : breadth,
                                            across ? breadth : length));
  std::vector<Layer> layers;
  std::int64_t at = 0;
  for (const PictureState& in : all) {
    const Extent size = extent_of(in.image.get());
    const Geometry own{across ? 0.0 : size.w, across ? size.h : 0.0, {}, {}};
    // Where a rectangle of its breadth would be cut from the canvas.
    SMALTI_TRY(const Rect lies, extended(own, canvas, setting(settings, "gravity")));
    layers.push_back({in.with(share(in.image)), across ? at : lies.x, across ? lies.y : at});
    at += across ? size.w : size.h;
  }
  return laid_out(shop, call, canvas, ground, std::move(layers), Meet::instead);
}

Result<PictureState> flattened(const Workshop& shop, const Call& call, std::span<const PictureState> all,
                               const Settings& settings) {
  SMALTI_TRY(const Color ground, background_of(settings));
  const Extent first = all[0].page.size.empty() ? extent_of(all[0].image.get()) : all[0].page.size;
  SMALTI_TRY(const Extent canvas, canvas_of(shop, "-flatten", first.w, first.h));
  std::vector<Layer> layers;
  for (const PictureState& in : all) layers.push_back({in.with(share(in.image)), in.page.x, in.page.y});
  return laid_out(shop, call, canvas, ground, std::move(layers), Meet::over);
}

}  // namespace smalti::ops
