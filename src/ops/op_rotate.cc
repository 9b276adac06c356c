#include "ops/op_rotate.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "ops/op_alpha.h"
#include "ops/op_point.h"

namespace smalti::ops {
namespace {

constexpr double reach = 2;    // pixels: radius of the disc that makes one pixel
constexpr int fineness = 256;  // table entries per unit of squared distance
using Weights = std::array<double, static_cast<std::size_t>(reach* reach* fineness)>;

// Robidoux' cubic, by distance from the disc's middle; the table goes by the distance's square.
Weights disc_weights() {
  const double b = 12 / (19 + 9 * std::numbers::sqrt2), c = 113 / (58 + 216 * std::numbers::sqrt2);
  Weights weights{};
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double x = std::sqrt(static_cast<double>(i) / fineness);
    weights[i] = x < 1 ? ((12 - 9 * b - 6 * c) * x * x * x + (-18 + 12 * b + 6 * c) * x * x + (6 - 2 * b)) / 6
                       : ((-b - 6 * c) * x * x * x + (6 * b + 30 * c) * x * x + (-12 * b - 48 * c) * x +
                          (8 * b + 24 * c)) /
                             6;
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

// Visits the pixels of the disc around a point: (x, y, weight).
template <class Visit>
void visit_disc(const Turn& turn, const Point& at, Visit visit) {
  for (auto y = static_cast<std::int64_t>(std::ceil(at.y - reach)); static_cast<double>(y) <= at.y + reach;
       ++y) {
    const double dy = static_cast<double>(y) - at.y;
    for (auto x = static_cast<std::int64_t>(std::ceil(at.x - reach)); static_cast<double>(x) <= at.x + reach;
         ++x) {
      const double dx = static_cast<double>(x) - at.x;
      const auto entry = static_cast<std::size_t>((dx * dx + dy * dy) * fineness);
      if (entry < turn.weights.size()) visit(x, y, turn.weights[entry]);
    }
  }
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

template <class In, class Out>
void turn_pixel(const Turn& turn, const Source<In>& source, const Point& at, Out* to) {
  double sums[8] = {};
  double total = 0;
  visit_disc(turn, at, [&](std::int64_t x, std::int64_t y, double weight) {
    const In* from = source.at(x, y);
    for (int b = 0; b < turn.bands; ++b) sums[b] += weight * from[b];
    total += weight;
  });
  const double lift = turn.scale / total;
  for (int b = 0; b < turn.bands; ++b) to[b] = static_cast<Out>(hold_sample(sums[b] * lift, turn.most));
}

template <class In, class Out>
void turn_pixel_with_alpha(const Turn& turn, const Source<In>& source, const Point& at, Out* to) {
  double sums[8] = {};
  double total = 0;
  const int last = turn.bands - 1;
  visit_disc(turn, at, [&](std::int64_t x, std::int64_t y, double weight) {
    const In* from = source.at(x, y);
    const double alpha = weight * (turn.scale * from[last] / turn.most);
    for (int b = 0; b < last; ++b) sums[b] += alpha * (turn.scale * from[b]);
    sums[last] += alpha;
    total += weight;
  });
  for (int b = 0; b <= last; ++b) sums[b] /= total;
  unweight_row(sums, turn.most, turn.bands, 1, to);
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
    for (std::int64_t x = area.x; x < area.right(); ++x, to += turn.bands) {
      const Point at = turn.source(static_cast<double>(x), static_cast<double>(y));
      if (turn.alpha) {
        turn_pixel_with_alpha(turn, source, at, to);
      } else {
        turn_pixel(turn, source, at, to);
      }
    }
  }
  return true;
}

template <class In, class Out>
Make maker(Turn turn) {
  return [turn = std::move(turn)](VipsRegion* out, VipsRegion* in, Scratch& scratch) {
    return make<In, Out>(turn, out, in, scratch);
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
  if (in->Bands > 8) return fail(Errc::unsupported, "-rotate: more than 8 channels");
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
  Make make_pixels = !wide_out  ? maker<std::uint8_t, std::uint8_t>(std::move(turn))
                     : !wide_in ? maker<std::uint8_t, std::uint16_t>(std::move(turn))
                                : maker<std::uint16_t, std::uint16_t>(std::move(turn));
  SMALTI_TRY(VipsPtr image, lazy_image(in, shape, VIPS_DEMAND_STYLE_SMALLTILE, std::move(make_pixels)));
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
