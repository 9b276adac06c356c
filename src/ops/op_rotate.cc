#include "ops/op_rotate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <numbers>
#include <utility>

#include "ops/foresight.h"
#include "ops/op_alpha.h"
#include "ops/op_point.h"

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // vectorises the loops
#endif

namespace smalti::ops {
namespace {

constexpr double reach = 2;    // pixels: radius of the disc that makes one pixel
constexpr int box = 4;         // pixels a side: as many as can lie within the disc's square
constexpr int fineness = 256;  // table entries per unit of squared distance
constexpr std::size_t disc_entries = 4 * fineness;
// Up to the corners of the box, where the weight is 0.
using Weights = std::array<float, 2 * disc_entries + 1>;

// Robidoux' cubic, by distance from the disc's middle; the table goes by the distance's square.
Weights disc_weights() {
  const double b = 12 / (19 + 9 * std::numbers::sqrt2), c = 113 / (58 + 216 * std::numbers::sqrt2);
  Weights weights{};
  for (std::size_t i = 0; i < disc_entries; ++i) {
    const double x = std::sqrt(static_cast<double>(i) / fineness), x2 = x * x, x3 = x * x * x;
    const double near = (12 - 9 * b - 6 * c) * x3 + (-18 + 12 * b + 6 * c) * x2 + (6 - 2 * b);
    const double far = (-b - 6 * c) * x3 + (6 * b + 30 * c) * x2 + (-12 * b - 48 * c) * x + (8 * b + 24 * c);
    weights[i] = static_cast<float>((x < 1 ? near : far) / 6);
  }
  return weights;
}

double radians(double degrees) { return degrees / 180 * std::numbers::pi; }

struct Point {
  double x = 0, y = 0;
};

struct Turn {
  double cosine = 1, sine = 0;
  Point middle;  // of the image, in its own coordinates
  Point origin;  // of the result, in the same
  Surround surround;
  bool alpha = false;
  int bands = 1;
  double scale = 1, most = 65535;
  Weights weights = disc_weights();

  // Where the middle of the result's pixel (x, y) comes from: 0 is the middle of the image's first pixel.
  Point source(double x, double y) const {
    const double dx = x + origin.x + 0.5 - middle.x, dy = y + origin.y + 0.5 - middle.y;
    return {cosine * dx + sine * dy + middle.x - 0.5, cosine * dy - sine * dx + middle.y - 0.5};
  }
};

// All that a rectangle of the result is made of.
Rect needs(const Turn& turn, const Rect& area) {
  const auto right = static_cast<double>(area.right() - 1), bottom = static_cast<double>(area.bottom() - 1);
  const Point corners[] = {turn.source(static_cast<double>(area.x), static_cast<double>(area.y)),
                           turn.source(right, static_cast<double>(area.y)),
                           turn.source(static_cast<double>(area.x), bottom), turn.source(right, bottom)};
  Point least = corners[0], most = corners[0];
  for (const Point& p : corners) {
    least = {std::min(least.x, p.x), std::min(least.y, p.y)};
    most = {std::max(most.x, p.x), std::max(most.y, p.y)};
  }
  const auto left = static_cast<std::int64_t>(std::floor(least.x - reach)) - 1;
  const auto top = static_cast<std::int64_t>(std::floor(least.y - reach)) - 1;
  return {left,
          top,
          {static_cast<std::uint32_t>(std::ceil(most.x + reach) + 2 - static_cast<double>(left)),
           static_cast<std::uint32_t>(std::ceil(most.y + reach) + 2 - static_cast<double>(top))}};
}

template <class In>
struct Source {
  const View& view;
  Rect rect;
  int bands;
  const In* at(std::int64_t x, std::int64_t y) const {
    return reinterpret_cast<const In*>(view.data + (y - rect.y) * view.row_bytes) + (x - rect.x) * bands;
  }
};

// The pixels around a point that can lie in its disc, and what each weighs.
struct Disc {
  std::int64_t left, top;
  float weights[box][box];
  float total = 0;

  Disc(const Turn& turn, const Point& at)
      : left(static_cast<std::int64_t>(std::floor(at.x)) - 1),
        top(static_cast<std::int64_t>(std::floor(at.y)) - 1) {
    const double dx = static_cast<double>(left) - at.x, dy = static_cast<double>(top) - at.y;
    for (int y = 0; y < box; ++y)
      for (int x = 0; x < box; ++x) {
        const double square = (dx + x) * (dx + x) + (dy + y) * (dy + y);
        weights[y][x] = turn.weights[static_cast<std::size_t>(static_cast<int>(square * fineness))];
        total += weights[y][x];
      }
  }
};

template <int Bands, class In, class Out>
void turn_pixel(const Turn& turn, const Source<In>& source, const Point& at, Out* to) {
  const Disc disc(turn, at);
  float sums[Bands] = {};
  for (int y = 0; y < box; ++y) {
    const In* from = source.at(disc.left, disc.top + y);
    for (int x = 0; x < box; ++x, from += Bands)
      for (int b = 0; b < Bands; ++b) sums[b] += disc.weights[y][x] * static_cast<float>(from[b]);
  }
  const float lift = static_cast<float>(turn.scale) / disc.total, most = static_cast<float>(turn.most);
  for (int b = 0; b < Bands; ++b) to[b] = static_cast<Out>(std::clamp(sums[b] * lift, 0.0F, most) + 0.5F);
}

// Adds a pixel to sums that are weighted by alpha.
template <int Bands, class In>
void add_weighted(const Turn& turn, const In* from, double weight, double* sums) {
  constexpr int last = Bands - 1;
  const double alpha = weight * (turn.scale * from[last] / turn.most);
  for (int b = 0; b < last; ++b) sums[b] += alpha * (turn.scale * from[b]);
  sums[last] += alpha;
}

// Between the four nearest pixels, by distance.
template <int Bands, class In>
void between_nearest(const Turn& turn, const Source<In>& source, const Point& at, double* sums) {
  const double x = std::floor(at.x), y = std::floor(at.y), right = at.x - x, below = at.y - y;
  const auto pixel = [&](int dx, int dy) {
    return source.at(static_cast<std::int64_t>(x) + dx, static_cast<std::int64_t>(y) + dy);
  };
  add_weighted<Bands>(turn, pixel(0, 0), (1 - right) * (1 - below), sums);
  add_weighted<Bands>(turn, pixel(1, 0), right * (1 - below), sums);
  add_weighted<Bands>(turn, pixel(0, 1), (1 - right) * below, sums);
  add_weighted<Bands>(turn, pixel(1, 1), right * below, sums);
}

template <int Bands, class In, class Out>
void turn_pixel_with_alpha(const Turn& turn, const Source<In>& source, const Point& at, Out* to) {
  const Disc disc(turn, at);
  constexpr double tiny = 1e-12;
  double sums[Bands] = {};
  for (int y = 0; y < box; ++y) {
    const In* from = source.at(disc.left, disc.top + y);
    for (int x = 0; x < box; ++x, from += Bands)
      add_weighted<Bands>(turn, from, static_cast<double>(disc.weights[y][x] / disc.total), sums);
  }
  if (sums[Bands - 1] <= tiny) {  // negative weights had the better of it: nothing to divide by
    std::fill_n(sums, Bands, 0.0);
    between_nearest<Bands>(turn, source, at, sums);
  }
  unweight_row(sums, turn.most, Bands, 1, to);
}

template <int Bands, class In, class Out>
void turn_row(const Turn& turn, const Source<In>& source, const Rect& area, std::int64_t y, Out* to) {
  for (std::int64_t x = area.x; x < area.right(); ++x, to += Bands) {
    const Point at = turn.source(static_cast<double>(x), static_cast<double>(y));
    if (turn.alpha) {
      turn_pixel_with_alpha<Bands>(turn, source, at, to);
    } else {
      turn_pixel<Bands>(turn, source, at, to);
    }
  }
}

template <class In, class Out>
bool make(const Turn& turn, VipsRegion* out, VipsRegion* in, Scratch& scratch) {
  const Rect area = from_vips(out->valid);
  const Rect window = needs(turn, area);
  const auto view = look(in, window, turn.surround, scratch, 0);
  if (!view) return false;
  const Source<In> source{*view, window, turn.bands};
  for (std::int64_t y = area.y; y < area.bottom(); ++y) {
    Out* to = reinterpret_cast<Out*>(VIPS_REGION_ADDR(out, static_cast<int>(area.x), static_cast<int>(y)));
    switch (turn.bands) {
      case 1:
        turn_row<1>(turn, source, area, y, to);
        break;
      case 2:
        turn_row<2>(turn, source, area, y, to);
        break;
      case 3:
        turn_row<3>(turn, source, area, y, to);
        break;
      case 4:
        turn_row<4>(turn, source, area, y, to);
        break;
      default:
        turn_row<5>(turn, source, area, y, to);
        break;
    }
  }
  return true;
}

template <class In, class Out>
Make maker(std::shared_ptr<const Turn> turn) {
  return [turn = std::move(turn)](VipsRegion* out, VipsRegion* in, Scratch& scratch) {
    return make<In, Out>(*turn, out, in, scratch);
  };
}

// Block by block, as readers come: the bounds of a whole strip would be most of the image.
Needs needs_in_blocks(std::shared_ptr<const Turn> turn) {
  return [turn = std::move(turn)](const Rect& area, const std::function<void(const Rect&)>& wants) {
    constexpr std::uint32_t side = 128;  // libvips' small tiles
    for (std::int64_t y = area.y / side * side; y < area.bottom(); y += side)
      for (std::int64_t x = area.x / side * side; x < area.right(); x += side)
        wants(needs(*turn, {x, y, {side, side}}));
  };
}

}  // namespace

// Half a pixel to spare on every side, in whole pixels.
Rect rotated_bounds(Extent image, double degrees) {
  const double angle = radians(degrees);
  const double x = image.w / 2.0, y = image.h / 2.0;
  const double wide = std::abs(x * std::cos(angle)) + std::abs(y * std::sin(angle));
  const double high = std::abs(x * std::sin(angle)) + std::abs(y * std::cos(angle));
  const double left = std::floor(x - wide - 0.5), top = std::floor(y - high - 0.5);
  return {static_cast<std::int64_t>(left),
          static_cast<std::int64_t>(top),
          {static_cast<std::uint32_t>(std::ceil(x + wide - left + 0.5)),
           static_cast<std::uint32_t>(std::ceil(y + high - top + 0.5))}};
}

Result<PictureState> rotated(const PictureState& given, double degrees, Surround surround,
                             int quantum_depth) {
  SMALTI_TRY(const VipsPtr in, arithmetic_input(given.image, surround, quantum_depth));
  const bool wide_in = in->BandFmt == VIPS_FORMAT_USHORT, wide_out = quantum_depth != 8;
  const double angle = radians(degrees);
  const Extent size = extent_of(in.get());
  Turn turn{std::cos(angle),
            std::sin(angle),
            {size.w / 2.0, size.h / 2.0},
            {},
            std::move(surround),
            given.alpha,
            in->Bands,
            wide_out && !wide_in ? 257.0 : 1.0,
            wide_out ? 65535.0 : 255.0};
  const Rect fits = rotated_bounds(size, degrees);
  turn.origin = {static_cast<double>(fits.x), static_cast<double>(fits.y)};
  Shape shape = shape_of(in);
  shape.size = fits.size;
  set_depth(shape, wide_out ? 16 : 8);
  const auto shared = std::make_shared<const Turn>(std::move(turn));
  Make make_pixels = !wide_out  ? maker<std::uint8_t, std::uint8_t>(shared)
                     : !wide_in ? maker<std::uint8_t, std::uint16_t>(shared)
                                : maker<std::uint16_t, std::uint16_t>(shared);
  SMALTI_TRY(VipsPtr image, lazy_image(in, shape, VIPS_DEMAND_STYLE_SMALLTILE, std::move(make_pixels)));
  foresee_through(image, in, needs_in_blocks(shared));
  PictureState out = given.with(std::move(image));
  // A canvas grows as the image does.
  const auto grown = [](std::uint32_t canvas, std::uint32_t to, std::uint32_t from) {
    return static_cast<std::uint32_t>(std::floor(static_cast<double>(canvas) * to / from + 0.5));
  };
  const Extent canvas{grown(given.page.size.w, fits.size.w, size.w),
                      grown(given.page.size.h, fits.size.h, size.h)};
  out.page = {fits.x + given.page.x, fits.y + given.page.y, canvas};
  return out;
}

}  // namespace smalti::ops
