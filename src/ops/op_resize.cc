#include "ops/op_resize.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numbers>
#include <string>
#include <utility>

#include "ops/foresight.h"
#include "ops/op_alpha.h"
#include "ops/op_loops.h"
#include "ops/op_point.h"
#include "policy/words.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // vectorises the loops
#endif

namespace smalti::ops {
namespace {

double sinc(double x) {
  if (x == 0) return 1;
  const double angle = std::numbers::pi * x;
  return std::sin(angle) / angle;
}

double lanczos2(double x) { return std::abs(x) < 2 ? sinc(x) * sinc(x / 2) : 0.0; }
double lanczos3(double x) { return std::abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0.0; }

// The family of cubics of Mitchell and Netravali, in thirds of B and C.
template <int b3, int c3>
double cubic(double x) {
  constexpr double b = b3 / 3.0, c = c3 / 3.0;
  x = std::abs(x);
  if (x < 1) return ((12 - 9 * b - 6 * c) * x * x * x + (-18 + 12 * b + 6 * c) * x * x + 6 - 2 * b) / 6;
  if (x < 2)
    return ((-b - 6 * c) * x * x * x + (6 * b + 30 * c) * x * x + (-12 * b - 48 * c) * x + 8 * b + 24 * c) /
           6;
  return 0;
}
double catmull_rom(double x) {
  x = std::abs(x);
  if (x < 1) return (3 * x * x * x - 5 * x * x + 2) / 2;
  if (x < 2) return (-x * x * x + 5 * x * x - 8 * x + 4) / 2;
  return 0;
}

double box(double) { return 1; }  // within its reach
double triangle(double x) { return std::max(1 - std::abs(x), 0.0); }
double hermite(double x) {
  x = std::abs(x);
  return x < 1 ? (2 * x - 3) * x * x + 1 : 0;
}
double quadratic(double x) {
  x = std::abs(x);
  if (x < 0.5) return 0.75 - x * x;
  return x < 1.5 ? 0.5 * (x - 1.5) * (x - 1.5) : 0;
}
double gaussian(double x) { return std::exp(-2 * x * x); }  // of deviation 1/2

constexpr Filter filters[] = {
    {"lanczos", 3, lanczos3},  {"mitchell", 2, cubic<1, 1>}, {"point", 0, box},
    {"box", 0.5, box},         {"triangle", 1, triangle},    {"bilinear", 1, triangle},
    {"hermite", 1, hermite},   {"catrom", 2, catmull_rom},   {"spline", 2, cubic<3, 0>},
    {"lanczos2", 2, lanczos2}, {"gaussian", 2, gaussian},    {"quadratic", 1.5, quadratic},
};
constexpr const Filter &lanczos = filters[0], &mitchell = filters[1];

constexpr double tiny = 1e-12;
constexpr std::size_t most_input =
    1U << 22;  // pixels of input that one step prepares, where it can do with less

// One axis: what differs between the vertical pass and the horizontal one is where a sample's neighbours lie.
struct Pass {
  Resampling plan;
  bool vertical = false;
  bool alpha = false;
  int bands = 1;
  double scale = 1;  // from the input's samples to the result's
  double most = 65535;
  std::vector<float> weights;  // scaled
};

// A row of the result from rows of the input.
template <class In, class Out>
void mix_rows(const Pass& pass, const Mix& mix, VipsRegion* in, const VipsRect& area, Scratch& scratch,
              Out* to) {
  const auto count = static_cast<std::size_t>(area.width) * static_cast<std::size_t>(pass.bands);
  const In** rows = scratch.get<const In*>(0, mix.count);
  for (std::uint32_t k = 0; k < mix.count; ++k)
    rows[k] = reinterpret_cast<const In*>(
        VIPS_REGION_ADDR(in, area.left, static_cast<int>(mix.first + static_cast<std::int64_t>(k))));
  float* sums = scratch.get<float>(1, count);
  blend_rows(rows, pass.weights.data() + mix.weights, mix.count, count, sums);
  finish(sums, static_cast<float>(pass.most), count, to);
}

// One pixel of the result from pixels that lie `step` samples apart.
template <int Bands, class In, class Out>
void mix_pixel(const float* weights, std::uint32_t count, const In* from, float most, Out* to) {
  float sums[Bands] = {};
  for (std::uint32_t k = 0; k < count; ++k, from += Bands)
    for (int b = 0; b < Bands; ++b) sums[b] += weights[k] * static_cast<float>(from[b]);
  for (int b = 0; b < Bands; ++b) to[b] = static_cast<Out>(std::clamp(sums[b], 0.0F, most) + 0.5F);
}

template <int Bands, class In, class Out>
void mix_across(const Pass& pass, VipsRegion* in, const VipsRect& area, int y, Out* to) {
  const auto most = static_cast<float>(pass.most);
  for (int x = area.left; x < area.left + area.width; ++x, to += Bands) {
    const Mix& mix = pass.plan.mixes[static_cast<std::size_t>(x)];
    const In* from = reinterpret_cast<const In*>(VIPS_REGION_ADDR(in, static_cast<int>(mix.first), y));
    mix_pixel<Bands>(pass.weights.data() + mix.weights, mix.count, from, most, to);
  }
}

// With alpha, in doubles; both directions.
template <class In, class Out>
void mix_alpha(const Pass& pass, const Mix& mix, const In* from, std::ptrdiff_t step, double* sums, Out* to) {
  std::fill_n(sums, pass.bands, 0.0);
  const int last = pass.bands - 1;
  for (std::uint32_t k = 0; k < mix.count; ++k, from += step) {
    const double alpha = pass.plan.weights[mix.weights + k] * (pass.scale * from[last] / pass.most);
    for (int b = 0; b < last; ++b) sums[b] += alpha * (pass.scale * from[b]);
    sums[last] += alpha;
  }
  unweight_row(sums, pass.most, pass.bands, 1, to);
}

template <class In, class Out>
void row_with_alpha(const Pass& pass, VipsRegion* in, const VipsRect& area, int y, Scratch& scratch,
                    Out* to) {
  double* sums = scratch.get<double>(1, static_cast<std::size_t>(pass.bands));
  const std::ptrdiff_t down = static_cast<std::ptrdiff_t>(VIPS_REGION_LSKIP(in) / sizeof(In));
  for (int x = area.left; x < area.left + area.width; ++x, to += pass.bands) {
    const Mix& mix = pass.plan.mixes[static_cast<std::size_t>(pass.vertical ? y : x)];
    const int left = pass.vertical ? x : static_cast<int>(mix.first);
    const int top = pass.vertical ? static_cast<int>(mix.first) : y;
    const In* from = reinterpret_cast<const In*>(VIPS_REGION_ADDR(in, left, top));
    mix_alpha(pass, mix, from, pass.vertical ? down : pass.bands, sums, to);
  }
}

template <class In, class Out>
void row_without(const Pass& pass, VipsRegion* in, const VipsRect& area, int y, Scratch& scratch, Out* to) {
  if (pass.vertical)
    return mix_rows<In>(pass, pass.plan.mixes[static_cast<std::size_t>(y)], in, area, scratch, to);
  switch (pass.bands) {
    case 1:
      return mix_across<1, In>(pass, in, area, y, to);
    case 3:
      return mix_across<3, In>(pass, in, area, y, to);
    default:
      return mix_across<4, In>(pass, in, area, y, to);
  }
}

// The part of the input that a part of the result is made of.
VipsRect needs(const Pass& pass, const VipsRect& area) {
  const int from = pass.vertical ? area.top : area.left;
  const int length = pass.vertical ? area.height : area.width;
  const Mix& first = pass.plan.mixes[static_cast<std::size_t>(from)];
  const Mix& last = pass.plan.mixes[static_cast<std::size_t>(from + length - 1)];
  const int begin = static_cast<int>(first.first);
  const int end = static_cast<int>(last.first + static_cast<std::int64_t>(last.count));
  return pass.vertical ? VipsRect{area.left, begin, area.width, end - begin}
                       : VipsRect{begin, area.top, end - begin, area.height};
}

std::size_t pixels(const VipsRect& area) {
  return static_cast<std::size_t>(area.width) * static_cast<std::size_t>(area.height);
}

// Halves the area until its input is of reasonable size, so that a strong reduction needs little memory.
template <class In, class Out>
bool make(const Pass& pass, VipsRegion* out, VipsRegion* in, Scratch& scratch, const VipsRect& area) {
  const VipsRect input = needs(pass, area);
  if (pixels(input) > most_input && pixels(area) > 1) {
    VipsRect first = area, second = area;
    if (area.width > area.height) {
      first.width = area.width / 2;
      second.left += first.width, second.width -= first.width;
    } else {
      first.height = area.height / 2;
      second.top += first.height, second.height -= first.height;
    }
    return make<In, Out>(pass, out, in, scratch, first) && make<In, Out>(pass, out, in, scratch, second);
  }
  if (vips_region_prepare(in, &input) != 0) return false;
  for (int y = area.top; y < area.top + area.height; ++y) {
    Out* to = reinterpret_cast<Out*>(VIPS_REGION_ADDR(out, area.left, y));
    if (pass.alpha) {
      row_with_alpha<In>(pass, in, area, y, scratch, to);
    } else {
      row_without<In>(pass, in, area, y, scratch, to);
    }
  }
  return true;
}

template <class In, class Out>
Make maker(std::shared_ptr<const Pass> pass) {
  return [pass = std::move(pass)](VipsRegion* out, VipsRegion* in, Scratch& scratch) {
    return make<In, Out>(*pass, out, in, scratch, out->valid);
  };
}

Result<VipsPtr> one_pass(const VipsPtr& in, bool alpha, bool vertical, Resampling plan, int quantum_depth) {
  const bool wide_in = in->BandFmt == VIPS_FORMAT_USHORT, wide_out = quantum_depth != 8;
  Shape shape = shape_of(in);
  const auto to = static_cast<std::uint32_t>(plan.mixes.size());
  Pass pass{std::move(plan),
            vertical,
            alpha,
            in->Bands,
            wide_out && !wide_in ? 257.0 : 1.0,
            wide_out ? 65535.0 : 255.0,
            {}};
  for (const double weight : pass.plan.weights)
    pass.weights.push_back(static_cast<float>(weight * pass.scale));
  const double shrink = static_cast<double>(vertical ? shape.size.h : shape.size.w) / to;
  (vertical ? shape.size.h : shape.size.w) = to;
  set_depth(shape, wide_out ? 16 : 8);
  const auto style = shrink > 4 ? VIPS_DEMAND_STYLE_SMALLTILE : VIPS_DEMAND_STYLE_FATSTRIP;
  const auto shared = std::make_shared<const Pass>(std::move(pass));
  Make make_pixels = !wide_out  ? maker<std::uint8_t, std::uint8_t>(shared)
                     : !wide_in ? maker<std::uint8_t, std::uint16_t>(shared)
                                : maker<std::uint16_t, std::uint16_t>(shared);
  SMALTI_TRY(VipsPtr out, lazy_image(in, shape, style, std::move(make_pixels)));
  foresee_through(out, in, [shared](const Rect& area, const auto& wants) {
    wants(from_vips(needs(*shared, to_vips(area))));
  });
  return out;
}

}  // namespace

Result<const Filter*> filter_named(std::string_view name) {
  std::string known;
  for (const Filter& filter : filters) {
    if (same_word(filter.name, name)) return &filter;
    known += (known.empty() ? "" : ", ") + std::string(filter.name);
  }
  return fail(Errc::unsupported, "-filter '" + std::string(name) + "' is not offered: take one of " + known);
}

const Filter& filter_for(Extent from, Extent to, bool soft) noexcept {
  const double factor = (static_cast<double>(to.w) / from.w) * (static_cast<double>(to.h) / from.h);
  return soft || factor > 1 ? mitchell : lanczos;
}

Resampling resampling(std::uint32_t from, std::uint32_t to, const Filter& filter) {
  const double factor = static_cast<double>(to) / from;
  const double wide = std::max(1 / factor + tiny, 1.0);
  const bool one = wide * filter.reach < 0.5;
  const double stretch = one ? 1.0 : wide;  // of the filter, over what is merged
  const double reach = one ? 0.5 : stretch * filter.reach;
  Resampling plan;
  plan.mixes.reserve(to);
  for (std::uint32_t i = 0; i < to; ++i) {
    const double middle = (i + 0.5) / factor + tiny;
    const auto begin = static_cast<std::int64_t>(std::max(middle - reach + 0.5, 0.0));
    const auto end = static_cast<std::int64_t>(std::min(middle + reach + 0.5, static_cast<double>(from)));
    const Mix mix{begin, static_cast<std::uint32_t>(end - begin), plan.weights.size()};
    double sum = 0;
    for (std::int64_t n = begin; n < end; ++n) {
      const double at = (static_cast<double>(n) - middle + 0.5) / stretch;
      const double weight = filter.weight(at);
      plan.weights.push_back(weight);
      sum += weight;
    }
    for (std::size_t k = mix.weights; k < plan.weights.size(); ++k) plan.weights[k] /= sum;
    plan.mixes.push_back(mix);
  }
  return plan;
}

Resampling by_area(std::uint32_t from, std::uint32_t to) {
  Resampling plan;
  plan.mixes.reserve(to);
  // In units in which a sample of the input is `to` wide, and one of the result `from`.
  for (std::uint64_t i = 0; i < to; ++i) {
    const std::uint64_t begin = i * from, end = begin + from;
    const std::uint64_t first = begin / to, last = (end - 1) / to;
    plan.mixes.push_back(
        {static_cast<std::int64_t>(first), static_cast<std::uint32_t>(last - first + 1), plan.weights.size()});
    for (std::uint64_t n = first; n <= last; ++n) {
      const std::uint64_t covered = std::min(end, (n + 1) * to) - std::max(begin, n * to);
      plan.weights.push_back(static_cast<double>(covered) / from);
    }
  }
  return plan;
}

Resampling by_nearest(std::uint32_t from, std::uint32_t to) {
  Resampling plan;
  plan.mixes.reserve(to);
  for (std::uint64_t i = 0; i < to; ++i) {
    // Just before the middle, where that falls between two samples.
    const std::uint64_t n = ((2 * i + 1) * from - 1) / (2 * std::uint64_t{to});
    plan.mixes.push_back({static_cast<std::int64_t>(n), 1, plan.weights.size()});
    plan.weights.push_back(1);
  }
  return plan;
}

namespace {

template <class Planned>
Result<VipsPtr> in_two_passes(const VipsPtr& given, bool alpha, Extent to, int quantum_depth, Planned plan) {
  const Extent from = extent_of(given.get());
  SMALTI_TRY(const VipsPtr in, quantum_depth == 8 ? to_depth(given, 8) : Result<VipsPtr>(share(given)));
  // The direction that grows more (or shrinks less) goes first; each pass is rounded to samples.
  const bool rows_first = static_cast<double>(to.w) / from.w > static_cast<double>(to.h) / from.h;
  const auto pass = [&](const VipsPtr& image, bool vertical) {
    return one_pass(image, alpha, vertical, vertical ? plan(from.h, to.h) : plan(from.w, to.w), quantum_depth);
  };
  SMALTI_TRY(const VipsPtr half, pass(in, !rows_first));
  return pass(half, rows_first);
}

}  // namespace

Result<VipsPtr> resized_image(const VipsPtr& given, bool alpha, Extent to, int quantum_depth,
                              const Filter& filter) {
  if (extent_of(given.get()) == to) return share(given);
  return in_two_passes(given, alpha, to, quantum_depth, [&filter](std::uint32_t a, std::uint32_t b) {
    return resampling(a, b, filter);
  });
}

Result<VipsPtr> resized_image(const VipsPtr& given, bool alpha, Extent to, int quantum_depth, Plan plan) {
  if (extent_of(given.get()) == to) return share(given);
  return in_two_passes(given, alpha, to, quantum_depth, plan);
}

}  // namespace smalti::ops
