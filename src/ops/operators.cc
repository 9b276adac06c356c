#include <algorithm>
#include <string>
#include <utility>

#include "ops/op_colorspace.h"
#include "ops/op_convolve.h"
#include "ops/op_geometry.h"
#include "ops/op_level.h"
#include "ops/op_place.h"
#include "ops/op_point.h"
#include "ops/op_settings.h"
#include "ops/state.h"

namespace smalti::ops {
namespace {

using Text = std::string_view;

int depth_of(const Workshop& shop) { return static_cast<int>(shop.quantum.depth); }

Result<PictureState> with_image(const PictureState& in, Result<VipsPtr> image) {
  if (!image) return pass(std::move(image.error()));
  return in.with(std::move(*image));
}

// RADIUSxSIGMA: a sigma that is not given is 1.
struct Reach {
  double radius = 0, sigma = 1;
};
Result<Reach> reach_of(Text option, const Geometry& geometry) {
  const Reach reach{geometry.w.value_or(0), geometry.h.value_or(1)};
  constexpr double most = 1000;  // beyond it a kernel is wider than it is of use
  if (reach.radius > most || reach.sigma > most)
    return fail(Errc::invalid, std::string(option) + ": a radius or sigma above 1000 is not offered");
  return reach;
}

using MakeKernel = Kernel (*)(double radius, double sigma, int quantum_depth);

Result<PictureState> neighbourhood(const Workshop& shop, const PictureState& in, const Settings& settings,
                                   Convolution how) {
  SMALTI_TRY(Surround surround, surround_of(in, settings));
  return with_image(in, convolve(in.image, in.alpha, std::move(how), std::move(surround), depth_of(shop)));
}

Result<PictureState> with_kernel(const Workshop& shop, const PictureState& in, Text option, Text argument,
                                 const Settings& settings, MakeKernel make, bool in_turn) {
  SMALTI_TRY(const Geometry geometry, parse_geometry(option, argument));
  SMALTI_TRY(const Reach reach, reach_of(option, geometry));
  return neighbourhood(shop, in, settings, {make(reach.radius, reach.sigma, depth_of(shop)), in_turn, {}});
}

Result<PictureState> sharpen(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                             const Settings& settings) {
  return with_kernel(shop, in, "-sharpen", argument, settings, sharpen_kernel, false);
}

Result<PictureState> gaussian_blur(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                                   const Settings& settings) {
  return with_kernel(shop, in, "-gaussian-blur", argument, settings, gaussian_kernel, false);
}

Result<PictureState> blur(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                          const Settings& settings) {
  return with_kernel(shop, in, "-blur", argument, settings, blur_kernel, true);
}

Result<PictureState> unsharp(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                             const Settings& settings) {
  SMALTI_TRY(const Geometry geometry, parse_geometry("-unsharp", argument));
  SMALTI_TRY(const Reach reach, reach_of("-unsharp", geometry));
  const Unsharp mask{geometry.x.value_or(1), geometry.y.value_or(0.05)};
  return neighbourhood(shop, in, settings,
                       {blur_kernel(reach.radius, reach.sigma, depth_of(shop)), true, mask});
}

Result<PictureState> negate(const Workshop&, const Call&, const PictureState& in, Text, const Settings&) {
  return with_image(in, negated(in.image));
}

Result<PictureState> flip(const Workshop&, const Call&, const PictureState& in, Text, const Settings&) {
  return flipped(in);
}

Result<PictureState> flop(const Workshop&, const Call&, const PictureState& in, Text, const Settings&) {
  return flopped(in);
}

Result<PictureState> crop(const Workshop&, const Call&, const PictureState& in, Text argument,
                          const Settings& settings) {
  return cut(in, argument, setting(settings, "gravity"));
}

Result<PictureState> repage(const Workshop&, const Call&, const PictureState& in, Text argument,
                            const Settings&) {
  return argument.empty() ? unpaged(in) : paged(in, argument);
}

Result<PictureState> colorspace(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                                const Settings&) {
  return to_colorspace(in, argument, depth_of(shop));
}

Result<PictureState> depth(const Workshop&, const Call&, const PictureState& in, Text argument,
                           const Settings&) {
  SMALTI_TRY(const double bits, parse_number("-depth", argument));
  if (bits < 1 || bits > 16 || bits != static_cast<int>(bits))
    return fail(Errc::invalid,
                "-depth '" + std::string(argument) + "': give a whole number of bits from 1 to 16");
  SMALTI_TRY(PictureState out, with_image(in, cut_depth(in.image, static_cast<int>(bits))));
  out.depth = static_cast<std::uint32_t>(bits);
  return out;
}

Result<PictureState> auto_level(const Workshop& shop, const Call& call, const PictureState& in, Text,
                                const Settings&) {
  return with_image(in, auto_leveled(call, in.image, depth_of(shop)));
}

constexpr OperatorRow rows[] = {
    {{"auto-level", "", "stretch the levels that are there over all there are"}, auto_level, true},
    {{"blur", "RADIUSxSIGMA", "blur with a Gaussian, rows then columns"}, blur},
    {{"colorspace", "SPACE", "sRGB, Gray, CMYK or RGB (linear light)"}, colorspace},
    {{"crop", "WxH+X+Y", "cut out a rectangle"}, crop},
    {{"depth", "BITS", "bits a sample, 1 to 16"}, depth},
    {{"flip", "", "mirror top to bottom"}, flip, true},
    {{"flop", "", "mirror left to right"}, flop},
    {{"gaussian-blur", "RADIUSxSIGMA", "blur with a square Gaussian"}, gaussian_blur},
    {{"negate", "", "replace every sample by its complement"}, negate},
    {{"repage", "WxH+X+Y", "set the page; +repage takes it away"}, repage},
    {{"sharpen", "RADIUSxSIGMA", "sharpen with a Gaussian"}, sharpen},
    {{"unsharp", "RADIUSxSIGMA+GAIN+THRESHOLD", "sharpen by what a blur takes away"}, unsharp},
};

// A name may come with its sign: "+repage".
Result<const OperatorRow*> row_named(Text name) {
  if (name.starts_with('+') || name.starts_with('-')) name.remove_prefix(1);
  for (const OperatorRow& row : rows)
    if (row.info.name == name) return &row;
  return fail(Errc::unsupported, "operator -" + std::string(name) + " is not offered");
}

Result<PictureState> apply_row(const Workshop& shop, const Call& call, const OperatorRow& row,
                               const PictureState& in, const Operation& operation) {
  const bool takes_none = row.info.argument.empty();
  if (takes_none && !operation.argument.empty())
    return fail(Errc::invalid,
                "-" + operation.name + " takes no argument, but was given '" + operation.argument + "'");
  if (in.image->BandFmt != VIPS_FORMAT_UCHAR && in.image->BandFmt != VIPS_FORMAT_USHORT)
    return fail(Errc::unsupported,
                "-" + operation.name + ": " + in.file + " has samples of another kind than 8 or 16 bits");
  SMALTI_TRY(const PictureState ready, with_bands_for(in, operation.settings));
  return row.apply(shop, call, ready, operation.argument, operation.settings);
}

}  // namespace

std::span<const OperatorRow> operator_table() noexcept { return rows; }

std::vector<OperatorInfo> operators() {
  std::vector<OperatorInfo> infos;
  for (const OperatorRow& row : rows) infos.push_back(row.info);
  return infos;
}

Result<Picture> apply(const Workshop& shop, const Call& call, const Picture& picture,
                      const Operation& operation) {
  SMALTI_CHECK(call.alive());
  SMALTI_TRY(const OperatorRow* row, row_named(operation.name));
  auto made = apply_row(shop, call, *row, picture.state(), operation);
  if (!made) return pass(std::move(made.error()));
  return Picture(std::make_shared<const PictureState>(std::move(*made)));
}

}  // namespace smalti::ops
