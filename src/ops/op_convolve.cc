#include "ops/op_convolve.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <type_traits>
#include <utility>

#include "ops/foresight.h"
#include "ops/op_alpha.h"
#include "ops/op_color.h"
#include "ops/op_loops.h"
#include "ops/op_point.h"

namespace smalti::ops {
namespace {

// The drawers of a worker's scratch memory.
enum Drawer : std::size_t { window_drawer, rows_drawer, pointers_drawer, sums_drawer, blurred_drawer };

struct Convolver {
  Convolution how;
  Surround surround;
  bool alpha = false;
  int bands = 1;
  double most = 65535;                   // of the result
  double scale = 1;                      // from the input's samples to the result's
  std::vector<float> scaled_taps, taps;  // for samples as they come in; for values in the result's range
  std::vector<double> fine_taps;

  int radius() const { return how.kernel.radius(); }
};

// What one call works on: a block of the result, and the window of the input around it.
struct Job {
  const Convolver& op;
  Scratch& scratch;
  Rect rect;    // of the result
  View window;  // of the input, larger by the radius on every side
  VipsRegion* out;

  std::size_t reach() const { return static_cast<std::size_t>(op.radius()); }
  std::size_t wide_pixels() const { return rect.size.w + 2 * reach(); }
  std::size_t tall_rows() const { return rect.size.h + 2 * reach(); }
  std::size_t samples(std::size_t pixels) const { return pixels * static_cast<std::size_t>(op.bands); }
  template <class In>
  const In* row(std::size_t y) const {
    return reinterpret_cast<const In*>(window.data + static_cast<std::ptrdiff_t>(y) * window.row_bytes);
  }
  // The input's own pixels below row y of the result.
  template <class In>
  const In* pixels(std::size_t y) const {
    return row<In>(y + reach()) + samples(reach());
  }
  template <class Out>
  Out* result(std::size_t y) const {
    return reinterpret_cast<Out*>(VIPS_REGION_ADDR(out, static_cast<int>(rect.x),
                                                   static_cast<int>(rect.y + static_cast<std::int64_t>(y))));
  }
  // Pointers to the 2r + 1 neighbours, the middle one returned; valid until asked again.
  template <class T, class At>
  const T* const* neighbours(At at) const {
    const T** rows = scratch.get<const T*>(pointers_drawer, 2 * reach() + 1);
    for (int u = -op.radius(); u <= op.radius(); ++u) rows[u + op.radius()] = at(u);
    return rows + op.radius();
  }
  template <class T>
  const T* const* neighbours_in_row(const T* middle) const {
    return neighbours<T>([&](int u) { return middle + static_cast<std::ptrdiff_t>(u) * op.bands; });
  }
};

// Columns first, since a strip of the result needs few columns more but many rows more than it has.
template <class In, class Out>
void at_once(const Job& job) {
  const Convolver& op = job.op;
  const std::size_t wide = job.samples(job.wide_pixels());
  const std::size_t narrow = job.samples(job.rect.size.w);
  float* summed = job.scratch.get<float>(sums_drawer, wide);
  float* blended = job.scratch.get<float>(blurred_drawer, narrow);
  const auto keep = static_cast<float>(op.how.kernel.keep * op.scale);
  for (std::size_t y = 0; y < job.rect.size.h; ++y) {
    const auto* rows = job.neighbours<In>([&](int u) {
      return job.row<In>(static_cast<std::size_t>(static_cast<std::ptrdiff_t>(y + job.reach()) + u));
    });
    blend(rows, op.scaled_taps.data(), op.radius(), wide, summed);
    const auto* beside = job.neighbours_in_row<float>(summed + job.samples(job.reach()));
    blend(beside, op.taps.data(), op.radius(), narrow, blended);
    finish(blended, job.pixels<In>(y), keep, static_cast<float>(op.most), narrow, job.result<Out>(y));
  }
}

template <class In, class Out>
void at_once_with_alpha(const Job& job) {
  const Convolver& op = job.op;
  const std::size_t wide = job.samples(job.wide_pixels());
  const std::size_t narrow = job.samples(job.rect.size.w);
  double* weighted = job.scratch.get<double>(rows_drawer, wide * job.tall_rows());
  for (std::size_t y = 0; y < job.tall_rows(); ++y)
    weight_row(job.row<In>(y), op.scale, op.most, op.bands, job.wide_pixels(), weighted + y * wide);
  double* summed = job.scratch.get<double>(sums_drawer, wide);
  double* blended = job.scratch.get<double>(blurred_drawer, narrow);
  for (std::size_t y = 0; y < job.rect.size.h; ++y) {
    const double* middle = weighted + (y + job.reach()) * wide;
    const auto* rows = job.neighbours<double>(
        [&](int u) { return middle + static_cast<std::ptrdiff_t>(u) * static_cast<std::ptrdiff_t>(wide); });
    blend(rows, op.fine_taps.data(), op.radius(), wide, summed);
    const auto* beside = job.neighbours_in_row<double>(summed + job.samples(job.reach()));
    blend(beside, op.fine_taps.data(), op.radius(), narrow, blended);
    const double* own = middle + job.samples(job.reach());
    for (std::size_t i = 0; i < narrow; ++i)
      blended[i] = op.how.kernel.keep * own[i] + op.how.kernel.spread * blended[i];
    unweight_row(blended, op.most, op.bands, job.rect.size.w, job.result<Out>(y));
  }
}

template <class In, class Out>
void write_row(const Job& job, std::size_t y, const std::uint16_t* blurred) {
  const std::size_t narrow = job.samples(job.rect.size.w);
  Out* to = job.result<Out>(y);
  if (!job.op.how.unsharp) {
    for (std::size_t i = 0; i < narrow; ++i) to[i] = static_cast<Out>(blurred[i]);
    return;
  }
  const In* pixel = job.pixels<In>(y);
  const double gain = job.op.how.unsharp->gain, least = job.op.most * job.op.how.unsharp->threshold;
  for (std::size_t i = 0; i < narrow; ++i) {
    const double value = job.op.scale * static_cast<double>(pixel[i]);
    const double differs = value - blurred[i];
    const bool same = std::abs(2 * differs) < least;
    to[i] = static_cast<Out>(same ? value : hold_sample(value + gain * differs, job.op.most));
  }
}

template <class In, class Out>
void in_turn(const Job& job) {
  const Convolver& op = job.op;
  const std::size_t narrow = job.samples(job.rect.size.w);
  const auto most = static_cast<float>(op.most);
  float* blended = job.scratch.get<float>(sums_drawer, narrow);
  std::uint16_t* halfway = job.scratch.get<std::uint16_t>(rows_drawer, narrow * job.tall_rows());
  for (std::size_t y = 0; y < job.tall_rows(); ++y) {
    const auto* beside = job.neighbours_in_row<In>(job.row<In>(y) + job.samples(job.reach()));
    blend(beside, op.scaled_taps.data(), op.radius(), narrow, blended);
    finish(blended, most, narrow, halfway + y * narrow);
  }
  std::uint16_t* blurred = job.scratch.get<std::uint16_t>(blurred_drawer, narrow);
  for (std::size_t y = 0; y < job.rect.size.h; ++y) {
    const auto* rows = job.neighbours<std::uint16_t>([&](int u) {
      return halfway +
             static_cast<std::ptrdiff_t>(narrow) * (static_cast<std::ptrdiff_t>(y + job.reach()) + u);
    });
    blend(rows, op.taps.data(), op.radius(), narrow, blended);
    finish(blended, most, narrow, blurred);
    write_row<In, Out>(job, y, blurred);
  }
}

template <class In, class Out>
void in_turn_with_alpha(const Job& job) {
  const Convolver& op = job.op;
  const std::size_t narrow = job.samples(job.rect.size.w);
  double* weighted = job.scratch.get<double>(window_drawer + 10, job.samples(job.wide_pixels()));
  double* blended = job.scratch.get<double>(sums_drawer, narrow);
  double* halfway = job.scratch.get<double>(rows_drawer, narrow * job.tall_rows());
  std::uint16_t* blurred = job.scratch.get<std::uint16_t>(blurred_drawer, narrow);
  for (std::size_t y = 0; y < job.tall_rows(); ++y) {
    weight_row(job.row<In>(y), op.scale, op.most, op.bands, job.wide_pixels(), weighted);
    const auto* beside = job.neighbours_in_row<double>(weighted + job.samples(job.reach()));
    blend(beside, op.fine_taps.data(), op.radius(), narrow, blended);
    unweight_row(blended, op.most, op.bands, job.rect.size.w, blurred);
    weight_row(blurred, 1.0, op.most, op.bands, job.rect.size.w, halfway + y * narrow);
  }
  for (std::size_t y = 0; y < job.rect.size.h; ++y) {
    const auto* rows = job.neighbours<double>([&](int u) {
      return halfway +
             static_cast<std::ptrdiff_t>(narrow) * (static_cast<std::ptrdiff_t>(y + job.reach()) + u);
    });
    blend(rows, op.fine_taps.data(), op.radius(), narrow, blended);
    unweight_row(blended, op.most, op.bands, job.rect.size.w, blurred);
    write_row<In, Out>(job, y, blurred);
  }
}

template <class In, class Out>
bool make_block(const Convolver& op, VipsRegion* out, VipsRegion* in, Scratch& scratch, const Rect& rect) {
  const auto reach = static_cast<std::uint32_t>(op.radius());
  const Rect window{rect.x - reach, rect.y - reach, {rect.size.w + 2 * reach, rect.size.h + 2 * reach}};
  const auto view = look(in, window, op.surround, scratch, window_drawer);
  if (!view) return false;
  const Job job{op, scratch, rect, *view, out};
  if (op.alpha) {
    op.how.in_turn ? in_turn_with_alpha<In, Out>(job) : at_once_with_alpha<In, Out>(job);
  } else {
    op.how.in_turn ? in_turn<In, Out>(job) : at_once<In, Out>(job);
  }
  return true;
}

template <class In, class Out>
bool make(const Convolver& op, VipsRegion* out, VipsRegion* in, Scratch& scratch) {
  const Rect rect = from_vips(out->valid);
  // What goes by way of whole rows in between keeps to blocks of columns, so that these stay in the near
  // caches; the rest at least does not let a worker's rows grow with the image.
  constexpr std::uint32_t wide = 1024;
  const std::uint32_t columns = op.alpha || op.how.in_turn
                                    ? static_cast<std::uint32_t>(std::max(256, 8 * op.radius()))
                                    : std::max<std::uint32_t>(wide, 8 * static_cast<std::uint32_t>(op.radius()));
  for (std::uint32_t x = 0; x < rect.size.w; x += columns) {
    const Rect block{rect.x + x, rect.y, {std::min(columns, rect.size.w - x), rect.size.h}};
    if (!make_block<In, Out>(op, out, in, scratch, block)) return false;
  }
  return true;
}

template <class In, class Out>
Make maker(Convolver op) {
  return [op = std::move(op)](VipsRegion* out, VipsRegion* in, Scratch& scratch) {
    return make<In, Out>(op, out, in, scratch);
  };
}

void set_taps(Convolver& op) {
  const Kernel& kernel = op.how.kernel;
  // One of the two float passes carries the scale, the other the weight of the whole neighbourhood.
  for (const double tap : kernel.half) {
    op.scaled_taps.push_back(static_cast<float>(tap * op.scale));
    op.taps.push_back(static_cast<float>(op.how.in_turn ? tap : tap * kernel.spread));
    op.fine_taps.push_back(tap);
  }
}

}  // namespace

Result<VipsPtr> convolve(const VipsPtr& given, bool alpha, Convolution how, Surround surround,
                         int quantum_depth) {
  SMALTI_TRY(const VipsPtr in, arithmetic_input(given, surround, quantum_depth));
  const bool wide_in = in->BandFmt == VIPS_FORMAT_USHORT;
  const bool wide_out = quantum_depth != 8;
  Convolver op{std::move(how), std::move(surround),        alpha,
               in->Bands,      wide_out ? 65535.0 : 255.0, wide_out && !wide_in ? 257.0 : 1.0};
  set_taps(op);
  Shape shape = shape_of(in);
  set_depth(shape, wide_out ? 16 : 8);
  // Strips as wide as the image keep little memory and suit what reads and writes rows, but each needs the
  // kernel's rows above and below: a tall kernel wants squares, where these are not too wide a row of
  // buffers.
  constexpr std::uint32_t wide = 32768;
  const bool squares = op.radius() > 8 && shape.size.w <= wide;
  const auto style = squares ? VIPS_DEMAND_STYLE_SMALLTILE : VIPS_DEMAND_STYLE_FATSTRIP;
  const Needs needs = [reach = static_cast<std::uint32_t>(op.radius())](const Rect& area, const auto& wants) {
    wants(Rect{area.x - reach, area.y - reach, {area.size.w + 2 * reach, area.size.h + 2 * reach}});
  };
  Make make = !wide_out  ? maker<std::uint8_t, std::uint8_t>(std::move(op))
              : !wide_in ? maker<std::uint8_t, std::uint16_t>(std::move(op))
                         : maker<std::uint16_t, std::uint16_t>(std::move(op));
  SMALTI_TRY(VipsPtr out, lazy_image(in, shape, style, std::move(make)));
  foresee_through(out, in, needs);
  return out;
}

}  // namespace smalti::ops
