#include <cmath>
#include <string>
#include <utility>

#include "ops/foresight.h"
#include "ops/metadata.h"
#include "ops/op_alpha_channel.h"
#include "ops/op_colorspace.h"
#include "ops/op_convolve.h"
#include "ops/op_frame.h"
#include "ops/op_geometry.h"
#include "ops/op_level.h"
#include "ops/op_place.h"
#include "ops/op_point.h"
#include "ops/op_resize.h"
#include "ops/op_rotate.h"
#include "ops/op_settings.h"
#include "ops/op_tiles.h"
#include "ops/op_tone.h"
#include "ops/state.h"
#include "policy/words.h"

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

// A page scales with its picture.
Rect scaled_page(const Rect& page, Extent from, Extent to) {
  const double across = static_cast<double>(to.w) / from.w, down = static_cast<double>(to.h) / from.h;
  const auto size = [](double factor, std::uint32_t side) {
    return static_cast<std::uint32_t>(std::floor(factor * side + 0.5));
  };
  const auto at = [](double factor, std::int64_t offset) {
    return static_cast<std::int64_t>(std::ceil(factor * static_cast<double>(offset) - 0.5));
  };
  return {at(across, page.x), at(down, page.y), {size(across, page.size.w), size(down, page.size.h)}};
}

Result<Extent> new_size(const Workshop& shop, const PictureState& in, Text option, Text argument) {
  SMALTI_TRY(const Geometry geometry, parse_geometry(option, argument));
  SMALTI_TRY(const Extent to, resized(geometry, extent_of(in.image.get()), option));
  SMALTI_CHECK(size_fits(shop.cache.ledger, option, to));
  return to;
}

Result<PictureState> in_size(const PictureState& in, Extent to, Result<VipsPtr> image) {
  SMALTI_TRY(PictureState out, with_image(in, std::move(image)));
  out.page = scaled_page(in.page, extent_of(in.image.get()), to);
  return out;
}

Result<PictureState> resize(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                            const Settings& settings) {
  SMALTI_TRY(const Extent to, new_size(shop, in, "-resize", argument));
  const Filter* filter = &filter_for(extent_of(in.image.get()), to, in.alpha || in.indexed);
  if (const Text name = setting(settings, "filter"); !name.empty() && !same_word(name, "undefined")) {
    SMALTI_TRY(filter, filter_named(name));
  }
  return in_size(in, to, resized_image(in.image, in.alpha, to, depth_of(shop), *filter));
}

Result<PictureState> scale(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                           const Settings&) {
  SMALTI_TRY(const Extent to, new_size(shop, in, "-scale", argument));
  return in_size(in, to, resized_image(in.image, in.alpha, to, depth_of(shop), by_area));
}

Result<PictureState> sample(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                            const Settings&) {
  SMALTI_TRY(const Extent to, new_size(shop, in, "-sample", argument));
  return in_size(in, to, resized_image(in.image, false, to, depth_of(shop), by_nearest));
}

// DEGREES, and > or <: only where the picture is wider than high, or higher than wide.
Result<PictureState> rotate(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                            const Settings& settings) {
  Text number = argument;
  const Extent size = extent_of(in.image.get());
  const bool only_wide = number.ends_with('>'), only_high = number.ends_with('<');
  if (only_wide || only_high) number.remove_suffix(1);
  SMALTI_TRY(const double degrees, parse_number("-rotate", number));
  if ((only_wide && size.w <= size.h) || (only_high && size.w >= size.h)) return in.with(share(in.image));
  const double quarters = degrees / 90;
  if (quarters == std::floor(quarters)) return turned(in, static_cast<int>(std::fmod(quarters, 4)));
  Settings corners = settings;
  corners.insert_or_assign("virtual-pixel", "background");
  SMALTI_TRY(const PictureState ready, with_bands_for(in, corners));
  SMALTI_TRY(Surround surround, surround_of(ready, corners));
  SMALTI_CHECK(size_fits(shop.cache.ledger, "-rotate", rotated_bounds(size, degrees).size));
  return rotated(ready, degrees, std::move(surround), depth_of(shop));
}

// The same pixels in an image whose metadata is its own.
Result<VipsPtr> copied(const VipsPtr& image) {
  VipsImage* out = nullptr;
  if (vips_copy(image.get(), &out, nullptr) != 0) return vips_fail(Errc::internal, "copying");
  VipsPtr made(out);
  foresee_through(made, image);
  return made;
}

Result<PictureState> strip(const Workshop&, const Call&, const PictureState& in, Text, const Settings&) {
  SMALTI_TRY(PictureState out, with_image(in, copied(in.image)));
  strip_metadata(out.image.get());
  return out;
}

Result<PictureState> auto_orient(const Workshop&, const Call&, const PictureState& in, Text,
                                 const Settings&) {
  const int orientation = vips_image_get_orientation(in.image.get());
  SMALTI_TRY(PictureState out, upright(in, orientation));
  SMALTI_TRY(out.image, copied(out.image));
  set_upright(out.image.get());
  return out;
}

Result<PictureState> thumbnail(const Workshop& shop, const Call& call, const PictureState& in, Text argument,
                               const Settings& settings) {
  auto small = resize(shop, call, in, argument, settings);
  if (!small) return pass(std::move(small.error()), "-thumbnail");
  return strip(shop, call, *small, "", settings);
}

Result<PictureState> transpose(const Workshop&, const Call&, const PictureState& in, Text, const Settings&) {
  return upright(in, 5);
}

Result<PictureState> transverse(const Workshop&, const Call&, const PictureState& in, Text, const Settings&) {
  return upright(in, 7);
}

Result<PictureState> with_curve(const Workshop& shop, const PictureState& in, const Result<Curve>& curve) {
  if (!curve) return tl::unexpected<Error>(curve.error());
  return with_image(in, curved(in, *curve, depth_of(shop)));
}

Result<PictureState> level(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                           const Settings&) {
  return with_curve(shop, in, level_curve(argument));
}

Result<PictureState> gamma(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                           const Settings&) {
  return with_curve(shop, in, gamma_curve(argument));
}

Result<PictureState> brightness_contrast(const Workshop& shop, const Call&, const PictureState& in,
                                         Text argument, const Settings&) {
  return with_curve(shop, in, brightness_curve(argument));
}

Result<PictureState> contrast_stretch(const Workshop& shop, const Call& call, const PictureState& in,
                                      Text argument, const Settings&) {
  SMALTI_TRY(const Clipped clipped,
             clipped_by(argument, static_cast<double>(extent_of(in.image.get()).area())));
  return with_image(in, stretched(call, in, clipped, depth_of(shop)));
}

Result<PictureState> normalize(const Workshop& shop, const Call& call, const PictureState& in, Text,
                               const Settings& settings) {
  return contrast_stretch(shop, call, in, "0.15%,0.05%", settings);
}

Result<PictureState> threshold(const Workshop&, const Call&, const PictureState& in, Text argument,
                               const Settings&) {
  return split_at(in, argument);
}

Result<PictureState> trim(const Workshop&, const Call& call, const PictureState& in, Text,
                          const Settings& settings) {
  return trimmed(call, in, settings);
}

Result<PictureState> shave(const Workshop&, const Call&, const PictureState& in, Text argument, const Settings&) {
  return shaved(in, argument);
}

Result<PictureState> flatten(const Workshop& shop, const Call& call, std::span<const PictureState> all, bool,
                             const Settings& settings) {
  return flattened(shop, call, all, settings);
}

Result<PictureState> alpha_channel(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                                   const Settings& settings) {
  return with_alpha(in, argument, settings, depth_of(shop));
}

Result<PictureState> image_type(const Workshop& shop, const Call&, const PictureState& in, Text argument,
                                const Settings& settings) {
  struct Kind {
    Text word, space;
    bool alpha;
  };
  static constexpr Kind kinds[] = {
      {"grayscale", "Gray", false},       {"grayscalealpha", "Gray", true},
      {"truecolor", "sRGB", false},       {"truecoloralpha", "sRGB", true},
      {"colorseparation", "CMYK", false}, {"colorseparationalpha", "CMYK", true}};
  for (const Kind& kind : kinds) {
    if (!same_word(kind.word, argument)) continue;
    SMALTI_TRY(const PictureState out, with_alpha(in, kind.alpha ? "on" : "off", settings, depth_of(shop)));
    return to_colorspace(out, kind.space, depth_of(shop));
  }
  return fail(Errc::unsupported,
              "-type '" + std::string(argument) +
                  "' is not offered: take Grayscale, TrueColor or ColorSeparation, each with "
                  "or without Alpha behind it");
}

constexpr OperatorRow rows[] = {
    {{"alpha", "WHAT", "off, on, opaque, or remove: lay it on the background"}, alpha_channel, false, true},
    {{"append", "", "one below the other; +append: side by side", true, true}, nullptr, false, true, appended},
    {{"auto-level", "", "stretch the levels that are there over all there are"}, auto_level, true},
    {{"auto-orient", "", "turn it as its file says it is to be seen"}, auto_orient, true, true},
    {{"blur", "RADIUSxSIGMA", "blur with a Gaussian, rows then columns"}, blur},
    {{"border", "WxH", "put a border of -bordercolor around it"}, bordered, false, true},
    {{"brightness-contrast", "BRIGHTNESSxCONTRAST", "lighten and steepen, each from -100 to 100"},
     brightness_contrast,
     false,
     true},
    {{"colorspace", "SPACE", "sRGB, Gray, CMYK or RGB (linear light)"}, colorspace},
    {{"contrast-stretch", "BLACKxWHITE", "stretch the levels, but for so many pixels (or %) at either end"},
     contrast_stretch,
     true},
    {{"crop", "WxH+X+Y", "cut out a rectangle; without +X+Y: cut into tiles"}, crop, false, true},
    {{"depth", "BITS", "bits a sample, 1 to 16"}, depth, false, true},
    {{"extent", "WxH+X+Y", "cut or extend to a size with -background, by -gravity"}, extended, false, true},
    {{"flatten", "", "lay all on one canvas of -background, by their pages", false, true},
     nullptr,
     false,
     false,
     flatten},
    {{"flip", "", "mirror top to bottom"}, flip, true, true},
    {{"flop", "", "mirror left to right"}, flop, false, true},
    {{"gamma", "VALUE", "lighten (above 1) or darken (below 1) the middle levels"}, gamma, false, true},
    {{"gaussian-blur", "RADIUSxSIGMA", "blur with a square Gaussian"}, gaussian_blur},
    {{"level", "BLACK,WHITE,GAMMA", "stretch from black to white levels (or %)"}, level, false, true},
    {{"negate", "", "replace every sample by its complement"}, negate, false, true},
    {{"normalize", "", "stretch the levels, but for the 0.15% darkest and 0.05% lightest"}, normalize, true},
    {{"repage", "WxH+X+Y", "set the page; +repage takes it away", true}, repage, false, true},
    {{"resize", "WxH", "resample to a size; with %, !, <, >, ^ or @"}, resize},
    {{"rotate", "DEGREES", "turn clockwise by any angle"}, rotate, true},
    {{"sample", "WxH", "resize by taking some pixels as they are"}, sample, false, true},
    {{"scale", "WxH", "resize by averaging what each pixel covers"}, scale},
    {{"sharpen", "RADIUSxSIGMA", "sharpen with a Gaussian"}, sharpen},
    {{"shave", "WxH", "take so many pixels off each side"}, shave, false, true},
    {{"strip", "", "take profiles, EXIF and comments away"}, strip, false, true},
    {{"threshold", "VALUE", "white above a level (or %), else black"}, threshold, false, true},
    {{"thumbnail", "WxH", "-resize and -strip in one"}, thumbnail},
    {{"transpose", "", "mirror along the diagonal from top left"}, transpose, true, true},
    {{"transverse", "", "mirror along the other diagonal"}, transverse, true, true},
    {{"trim", "", "cut off sides of the corners' colour; -fuzz says how much alike"}, trim, true, true},
    {{"type", "KIND", "Grayscale, TrueColor or ColorSeparation, each also with Alpha"}, image_type},
    {{"unsharp", "RADIUSxSIGMA+GAIN+THRESHOLD", "sharpen by what a blur takes away"}, unsharp},
};

// A name may come with its sign: "+repage".
Result<const OperatorRow*> row_named(Text name) {
  if (name.starts_with('+') || name.starts_with('-')) name.remove_prefix(1);
  for (const OperatorRow& row : rows)
    if (row.info.name == name) return &row;
  return fail(Errc::unsupported, "operator -" + std::string(name) + " is not offered");
}

// What every operator expects of its input.
Result<void> check_input(const PictureState& in, const Operation& operation) {
  if (in.image->BandFmt != VIPS_FORMAT_UCHAR && in.image->BandFmt != VIPS_FORMAT_USHORT)
    return fail(Errc::unsupported,
                "-" + operation.name + ": " + in.file + " has samples of another kind than 8 or 16 bits");
  const int colors = in.image->Bands - (in.alpha ? 1 : 0);
  if (colors != 1 && colors != 3 && colors != 4)
    return fail(Errc::unsupported, "-" + operation.name + ": " + in.file + " has " + std::to_string(colors) +
                                       " colour channels; 1, 3 and 4 are offered");
  return {};
}

Result<PictureState> apply_row(const Workshop& shop, const Call& call, const OperatorRow& row,
                               const PictureState& in, const Operation& operation) {
  const bool takes_none = row.info.argument.empty();
  if (takes_none && !operation.argument.empty())
    return fail(Errc::invalid,
                "-" + operation.name + " takes no argument, but was given '" + operation.argument + "'");
  SMALTI_CHECK(check_input(in, operation));
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
  if (row->join) return join(shop, call, {&picture, 1}, operation);
  Picture input = picture;
  if (row->needs_cached_input && (input.state().derived || input.state().once)) {
    SMALTI_TRY(input, cached(shop, call, input));
  }
  auto made = apply_row(shop, call, *row, input.state(), operation);
  if (!made) return pass(std::move(made.error()));
  made->derived = made->derived || !row->trivial;
  made->indexed = made->indexed && row->trivial;
  made->streams = made->streams && !row->needs_cached_input;
  const std::string_view sign = operation.name.starts_with('+') || operation.name.starts_with('-') ? "" : "-";
  const std::string_view space = operation.argument.empty() ? "" : " ";
  made->works.push_back(
      std::make_shared<Work>(std::string(sign) + operation.name + std::string(space) + operation.argument));
  bill(made->image, input.state().image.get(), made->works.back());
  return Picture(std::make_shared<const PictureState>(std::move(*made)));
}

bool joins(const std::string& name) {
  const auto row = row_named(name);
  return row && (*row)->join;
}

Result<Picture> join(const Workshop& shop, const Call& call, std::span<const Picture> pictures,
                     const Operation& operation) {
  SMALTI_CHECK(call.alive());
  SMALTI_TRY(const OperatorRow* row, row_named(operation.name));
  if (!row->join) return fail(Errc::internal, "-" + operation.name + " joins no pictures");
  std::vector<PictureState> all;
  for (const Picture& picture : pictures) {
    Picture input = picture;
    if (picture.state().once) {  // its rows come when the decoder has them, not when the others' do
      SMALTI_TRY(input, cached(shop, call, picture));
    }
    SMALTI_CHECK(check_input(input.state(), operation));
    all.push_back(input.state().with(share(input.state().image)));
  }
  SMALTI_TRY(PictureState made, row->join(shop, call, all, operation.name.starts_with('+'), operation.settings));
  made.derived = true;
  made.streams = made.indexed = false;
  return Picture(std::make_shared<const PictureState>(std::move(made)));
}

Result<std::vector<Picture>> apply_each(const Workshop& shop, const Call& call, const Picture& picture,
                                        const Operation& operation) {
  SMALTI_TRY(const OperatorRow* row, row_named(operation.name));
  std::vector<std::string> tiles;
  if (row->apply == crop) {
    SMALTI_TRY(tiles, tile_crops(operation.argument, extent_of(picture.state().image.get()),
                                 picture.state().page, shop.cache.ledger.limit(Resource::list_length)));
  }
  if (tiles.empty()) {
    SMALTI_TRY(Picture one, apply(shop, call, picture, operation));
    return std::vector<Picture>{std::move(one)};
  }
  Picture whole = picture;
  if ((whole.state().derived || whole.state().once) && tiles.size() > 1) {
    SMALTI_TRY(whole, cached(shop, call, whole));  // neighbouring tiles share what they are made from
  }
  Operation part = operation;
  part.settings.erase("gravity");  // tiles count from the canvas' corner
  std::vector<Picture> out;
  for (std::string& tile : tiles) {
    part.argument = std::move(tile);
    SMALTI_TRY(Picture one, apply(shop, call, whole, part));
    out.push_back(std::move(one));
  }
  return out;
}

}  // namespace smalti::ops
