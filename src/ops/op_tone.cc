#include "ops/op_tone.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <mutex>
#include <numbers>
#include <string>
#include <utility>

#include "ops/op_geometry.h"
#include "ops/op_lazy.h"
#include "ops/op_point.h"

namespace smalti::ops {
namespace {

constexpr double most = 65535;
using Table = std::vector<std::uint16_t>;

bool wide(const VipsPtr& image) { return image->BandFmt == VIPS_FORMAT_USHORT; }

int colors_of(const PictureState& in) { return in.image->Bands - (in.alpha ? 1 : 0); }

template <class In>
MakeRow through(Table table, int colors, bool alpha) {
  return [table = std::move(table), colors, alpha](const std::byte* from, std::byte* to, std::size_t pixels) {
    const auto* a = reinterpret_cast<const In*>(from);
    auto* b = reinterpret_cast<std::uint16_t*>(to);
    for (std::size_t i = 0; i < pixels; ++i) {
      for (int c = 0; c < colors; ++c) *b++ = table[*a++];
      if (alpha) *b++ = static_cast<std::uint16_t>(*a++ * (sizeof(In) == 1 ? 257 : 1));
    }
  };
}

Result<VipsPtr> through_table(const PictureState& in, Table table, int quantum_depth) {
  Shape shape = shape_of(in.image);
  set_depth(shape, 16);
  SMALTI_TRY(const VipsPtr out,
             pointwise(in.image, shape,
                       wide(in.image) ? through<std::uint16_t>(std::move(table), colors_of(in), in.alpha)
                                      : through<std::uint8_t>(std::move(table), colors_of(in), in.alpha)));
  return to_depth(out, quantum_depth);
}

// "A", "A,B" or "AxB" and so on, at most `wanted` numbers; a % anywhere counts for all of them.
struct Numbers {
  std::vector<double> values;
  bool percent = false;
};
Result<Numbers> numbers_of(std::string_view option, std::string_view text, std::size_t wanted) {
  Numbers out;
  std::string rest(text);
  out.percent = std::erase(rest, '%') > 0;
  for (std::string_view left = rest;;) {
    const std::size_t end = std::min(left.find_first_of(",x"), left.size());
    auto number = parse_number(option, left.substr(0, end));
    if (!number || out.values.size() == wanted)
      return fail(Errc::invalid, std::string(option) + " '" + std::string(text) +
                                     "' is not understood: at most " + std::to_string(wanted) +
                                     (wanted == 1 ? " number, or %" : " numbers, or %"));
    out.values.push_back(*number);
    if (end == left.size()) return out;
    left.remove_prefix(end + 1);
  }
}

// The intensity of a pixel by Rec. 709's weights, 0..65535. Of gray its level; of inks the first three.
template <class In>
double intensity(const In* pixel, int colors) {
  const double scale = sizeof(In) == 1 ? 257 : 1;
  if (colors < 3) return scale * pixel[0];
  return scale * (0.212656 * pixel[0] + 0.715158 * pixel[1] + 0.072186 * pixel[2]);
}

using Histogram = std::vector<std::uint64_t>;

struct Counting {
  const Call& call;
  int colors;
  std::mutex mutex;
  Histogram levels = Histogram(65536);  // guarded by mutex
  std::optional<Error> stopped;         // guarded by mutex; why the caller gave up
};

template <class In>
void count_row(const In* row, int width, int bands, int colors, Histogram& into) {
  for (int x = 0; x < width; ++x, row += bands)
    ++into[static_cast<std::size_t>(std::min(intensity(row, colors) + 0.5, most))];
}

// Each worker's own histogram is joined to the others' when it stops.
void* start(VipsImage*, void*, void*) { return new Histogram(65536); }

int scan(VipsRegion* region, void* sequence, void*, void* counting_ptr, gboolean*) {
  auto& counting = *static_cast<Counting*>(counting_ptr);
  if (auto alive = counting.call.alive(); !alive) {
    const std::lock_guard lock(counting.mutex);
    counting.stopped = alive.error();
    return -1;
  }
  auto& levels = *static_cast<Histogram*>(sequence);
  const VipsRect& area = region->valid;
  const int bands = region->im->Bands;
  for (int y = area.top; y < area.top + area.height; ++y) {
    const VipsPel* row = VIPS_REGION_ADDR(region, area.left, y);
    if (region->im->BandFmt == VIPS_FORMAT_USHORT) {
      count_row(reinterpret_cast<const std::uint16_t*>(row), area.width, bands, counting.colors, levels);
    } else {
      count_row(row, area.width, bands, counting.colors, levels);
    }
  }
  return 0;
}

int join(void* sequence, void*, void* counting_ptr) {
  auto& counting = *static_cast<Counting*>(counting_ptr);
  const std::unique_ptr<Histogram> levels(static_cast<Histogram*>(sequence));
  const std::lock_guard lock(counting.mutex);
  for (std::size_t i = 0; i < levels->size(); ++i) counting.levels[i] += (*levels)[i];
  return 0;
}

Result<Histogram> histogram_of(const Call& call, const PictureState& in) {
  Counting counting{.call = call, .colors = colors_of(in)};
  if (vips_sink(in.image.get(), start, scan, join, nullptr, &counting) != 0) {
    if (!counting.stopped) return vips_fail(Errc::io, "cannot count the picture's levels");
    vips_error_clear();
    return pass(std::move(*counting.stopped));
  }
  return std::move(counting.levels);
}

template <class In>
MakeRow above(double threshold, int colors, bool alpha) {
  return [=](const std::byte* from, std::byte* to, std::size_t pixels) {
    const auto* a = reinterpret_cast<const In*>(from);
    auto* b = reinterpret_cast<std::uint8_t*>(to);
    for (std::size_t i = 0; i < pixels; ++i, a += colors + (alpha ? 1 : 0)) {
      *b++ = intensity(a, colors) > threshold ? 255 : 0;
      if (alpha) *b++ = static_cast<std::uint8_t>(sizeof(In) == 1 ? a[colors] : (a[colors] + 128U) / 257);
    }
  };
}

}  // namespace

Result<VipsPtr> curved(const PictureState& in, const Curve& curve, int quantum_depth) {
  Table table(wide(in.image) ? 65536 : 256);
  const double last = static_cast<double>(table.size() - 1);
  for (std::size_t i = 0; i < table.size(); ++i) {
    const double level = std::clamp(curve(static_cast<double>(i) / last), 0.0, 1.0);
    table[i] = static_cast<std::uint16_t>(std::floor(level * most + 0.5));
  }
  return through_table(in, std::move(table), quantum_depth);
}

Result<Curve> level_curve(std::string_view argument) {
  SMALTI_TRY(const Numbers given, numbers_of("-level", argument, 3));
  const double unit = given.percent ? 100 : most;
  const double black = given.values[0] / unit;
  const double white = given.values.size() > 1 ? given.values[1] / unit : 1 - black;
  const double gamma = given.values.size() > 2 ? given.values[2] : 1;
  if (gamma <= 0) return fail(Errc::invalid, "-level: a gamma must be above 0");
  if (black == white) return fail(Errc::invalid, "-level: black and white are the same level");
  return Curve([=](double level) {
    const double at = std::max((level - black) / (white - black), 0.0);
    return std::pow(at, 1 / gamma);
  });
}

Result<Curve> gamma_curve(std::string_view argument) {
  SMALTI_TRY(const double gamma, parse_number("-gamma", argument));
  if (gamma <= 0) return fail(Errc::invalid, "-gamma '" + std::string(argument) + "': it must be above 0");
  return Curve([=](double level) { return std::pow(level, 1 / gamma); });
}

Result<Curve> brightness_curve(std::string_view argument) {
  SMALTI_TRY(const Numbers given, numbers_of("-brightness-contrast", argument, 2));
  const double brightness = given.values[0], contrast = given.values.size() > 1 ? given.values[1] : 0;
  if (std::abs(brightness) > 100 || std::abs(contrast) > 100)
    return fail(Errc::invalid, "-brightness-contrast: both go from -100 to 100");
  const double slope = std::max(std::tan(std::numbers::pi * (contrast / 100 + 1) / 4), 0.0);
  const double lift = brightness / 100 + (100 - brightness) / 200 * (1 - slope);
  return Curve([=](double level) { return slope * level + lift; });
}

Result<Clipped> clipped_by(std::string_view argument, double pixels) {
  SMALTI_TRY(const Numbers given, numbers_of("-contrast-stretch", argument, 2));
  const double unit = given.percent ? pixels / 100 : 1;
  return Clipped{given.values[0] * unit, given.values.back() * unit};
}

Result<VipsPtr> stretched(const Call& call, const PictureState& in, const Clipped& clipped, int quantum_depth) {
  SMALTI_TRY(const Histogram levels, histogram_of(call, in));
  std::size_t black = 0, white = levels.size() - 1;
  double count = 0;
  for (; black < levels.size() - 1; ++black)
    if ((count += static_cast<double>(levels[black])) > clipped.black) break;
  count = 0;
  for (; white > 0; --white)
    if ((count += static_cast<double>(levels[white])) > clipped.white) break;
  if (black >= white) return share(in.image);
  const double from = static_cast<double>(black) / most, to = static_cast<double>(white) / most;
  return curved(in, [=](double level) { return (level - from) / (to - from); }, quantum_depth);
}

Result<PictureState> split_at(const PictureState& in, std::string_view argument) {
  SMALTI_TRY(const Numbers given, numbers_of("-threshold", argument, 1));
  const double threshold = given.percent ? given.values[0] / 100 * most : given.values[0];
  Shape shape = shape_of(in.image);
  shape.bands = in.alpha ? 2 : 1;
  shape.interpretation = VIPS_INTERPRETATION_B_W;
  set_depth(shape, 8);
  PictureState out = in.with(share(in.image));
  SMALTI_TRY(out.image, pointwise(in.image, shape,
                                  wide(in.image) ? above<std::uint16_t>(threshold, colors_of(in), in.alpha)
                                                 : above<std::uint8_t>(threshold, colors_of(in), in.alpha)));
  out.linear = false;
  out.depth = 8;
  return out;
}

}  // namespace smalti::ops
