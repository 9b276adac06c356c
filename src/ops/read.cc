// read_pictures: from a file's bytes to pixels in the cache.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "ops/cached_sink.h"
#include "ops/cached_source.h"
#include "ops/canvas.h"
#include "ops/format.h"
#include "ops/metadata.h"
#include "ops/named.h"
#include "ops/names.h"
#include "ops/op_settings.h"
#include "ops/picture.h"
#include "ops/row_stream.h"
#include "ops/state.h"
#include "policy/units.h"

namespace smalti::ops {

namespace {

// Decoders that keep less than this are taken for streaming ones.
constexpr std::uint64_t slight = 8u << 20;

// By reference, since the call that fills `image` stands beside it.
Result<VipsPtr> step(int failed, VipsImage*& image, std::string_view what) {
  if (failed != 0) return vips_fail(Errc::unsupported, std::string(what));
  return VipsPtr(image);
}

bool is_cmyk(const VipsImage* image) { return image->Type == VIPS_INTERPRETATION_CMYK && image->Bands >= 4; }

VipsInterpretation plain_interpretation(const VipsImage* image) {
  const bool wide = image->BandFmt == VIPS_FORMAT_USHORT;
  if (is_cmyk(image)) return VIPS_INTERPRETATION_CMYK;
  if (image->Bands < 3) return wide ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W;
  return wide ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB;
}

// Colour spaces that only exist in files become sRGB.
Result<VipsPtr> plain_colors(VipsPtr image, std::string_view what) {
  const bool foreign = image->Coding != VIPS_CODING_NONE || image->Type == VIPS_INTERPRETATION_LAB ||
                       image->Type == VIPS_INTERPRETATION_LABS || image->Type == VIPS_INTERPRETATION_XYZ ||
                       image->Type == VIPS_INTERPRETATION_YXY;
  if (!foreign) return image;
  const bool wide = image->BandFmt == VIPS_FORMAT_USHORT || image->BandFmt == VIPS_FORMAT_SHORT;
  VipsImage* out = nullptr;
  const int failed = vips_colourspace(image.get(), &out,
                                      wide ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB, nullptr);
  return step(failed, out, what);
}

Result<VipsPtr> plain_samples(VipsPtr image, std::string_view what) {
  VipsImage* out = nullptr;
  switch (image->BandFmt) {
    case VIPS_FORMAT_UCHAR:
    case VIPS_FORMAT_USHORT:
      return image;
    case VIPS_FORMAT_CHAR:
      return step(vips_cast(image.get(), &out, VIPS_FORMAT_UCHAR, nullptr), out, what);
    case VIPS_FORMAT_SHORT:
      return step(vips_cast(image.get(), &out, VIPS_FORMAT_USHORT, nullptr), out, what);
    case VIPS_FORMAT_UINT: {  // full scale to full scale
      SMALTI_TRY(VipsPtr scaled,
                 step(vips_linear1(image.get(), &out, 65535.0 / 4294967295.0, 0.5, nullptr), out, what));
      out = nullptr;
      return step(vips_cast(scaled.get(), &out, VIPS_FORMAT_USHORT, nullptr), out, what);
    }
    case VIPS_FORMAT_FLOAT:
    case VIPS_FORMAT_DOUBLE: {  // 0 to 1; a cast cuts off, hence the half
      SMALTI_TRY(VipsPtr scaled, step(vips_linear1(image.get(), &out, 65535.0, 0.5, nullptr), out, what));
      out = nullptr;
      return step(vips_cast(scaled.get(), &out, VIPS_FORMAT_USHORT, nullptr), out, what);
    }
    default:
      return fail(Errc::unsupported, fmt::format("{}: samples of type {} are not supported", what,
                                                 vips_enum_nick(VIPS_TYPE_BAND_FORMAT, image->BandFmt)));
  }
}

Result<VipsPtr> normalise(VipsPtr image, std::string_view what) {
  SMALTI_TRY(VipsPtr colored, plain_colors(std::move(image), what));
  SMALTI_TRY(VipsPtr plain, plain_samples(std::move(colored), what));
  VipsImage* out = nullptr;
  return step(vips_copy(plain.get(), &out, "interpretation", plain_interpretation(plain.get()), nullptr), out,
              what);
}

struct Source {
  const Workshop& workshop;
  const Call& call;
  std::string name;  // as on the command line
  const FormatRow& format;
  std::shared_ptr<const InputFile> file;
  bool several = false;  // the file holds more than one picture
  bool palette = false;  // its colours are numbered
};

// What a decoder keeps of the whole image is memory like any other; more than the limit is refused
// beforehand.
Result<Hold> charge_decoder(const Source& source, const Leaf& leaf) {
  if (leaf.held <= slight) return Hold();
  const Ledger& ledger = source.workshop.cache.ledger;
  const std::uint64_t most = std::min(source.workshop.memory_limit, ledger.limit(Resource::memory));
  if (leaf.held > most)
    return fail(
        Errc::limit,
        fmt::format("cache resources exhausted: '{}' is {}, whose decoder needs {} of memory at once, and "
                    "the memory limit is {} (raise it with -limit memory, or {})",
                    source.file->name(), leaf.why, print_amount(Resource::memory, leaf.held),
                    print_amount(Resource::memory, most), leaf.cure));
  return source.workshop.cache.ledger.charge(Resource::memory, leaf.held);
}

void describe(PictureState& state, const Source& source, const Leaf& leaf, std::uint32_t scene) {
  const VipsImage* image = state.image.get();
  const int colors = is_cmyk(image) ? 4 : image->Bands < 3 ? 1 : 3;
  state.alpha = image->Bands == colors + 1;
  state.depth = image->BandFmt == VIPS_FORMAT_USHORT ? 16 : 8;
  const auto w = static_cast<std::uint32_t>(image->Xsize), h = static_cast<std::uint32_t>(image->Ysize);
  const bool gray_file = image->Bands == 1 && state.depth == 8;
  state.indexed = source.format.name == "GIF" || (source.format.name == "JPEG" && gray_file) ||
                  (source.format.name == "PNG" && (gray_file || source.palette));
  state.page = leaf.page;
  if (state.page.size.empty() && (leaf.page.x != 0 || leaf.page.y != 0))
    state.page.size = {static_cast<std::uint32_t>(std::max<std::int64_t>(w + leaf.page.x, w)),
                       static_cast<std::uint32_t>(std::max<std::int64_t>(h + leaf.page.y, h))};
  state.file = source.several ? fmt::format("{}[{}]", source.file->name(), scene) : source.file->name();
  state.format = leaf.variant.empty() ? source.format.name : leaf.variant;
  state.scene = scene;
  state.quality = leaf.quality;
  state.packing = leaf.packing;
  state.file_bytes = source.file->size();
}

tl::unexpected<Error> explained(Error error) {
  if (error.code == Errc::corrupt)
    error.what += " (the picture is damaged or cut short; -define input:salvage=true reads what there is)";
  return pass(std::move(error));
}

// No cache: rows as they are decoded.
Result<void> stream(PictureState& state, const Source& source, const VipsPtr& decoded, Hold decoder,
                    const std::string& what) {
  state.flow = std::make_shared<Flow>(source.call);
  state.once = true;
  std::vector<Hold> holds;
  holds.push_back(std::move(decoder));
  holds.push_back(charge_pipeline(source.workshop, decoded.get()));
  holds.push_back(charge_decoding(source.workshop, decoded.get()));
  SMALTI_TRY(state.image,
             row_stream(decoded, state.flow, what, source.workshop.cache.ledger, std::move(holds)));
  take_resolution_from_exif(state.image.get());
  return {};
}

Result<Picture> read_one(Source& source, const Leaf& leaf, std::uint32_t scene, bool pixels) {
  if (leaf.width != 0 || leaf.height != 0)
    SMALTI_CHECK(check_size(source.workshop, leaf.width, leaf.height, source.name));
  SMALTI_TRY(Hold hold, pixels ? charge_decoder(source, leaf) : Result<Hold>(Hold()));
  const Decode decode{source.file, scene, source.workshop.salvage, &source.workshop.log};
  vips_error_clear();
  SMALTI_TRY(VipsPtr opened, source.format.open(decode));
  SMALTI_CHECK(check_size(source.workshop, static_cast<std::uint64_t>(opened->Xsize),
                          static_cast<std::uint64_t>(opened->Ysize), source.name));
  const std::string what = fmt::format("reading '{}'", source.file->name());
  source.palette = vips_image_get_typeof(opened.get(), "palette-bit-depth") != 0;
  SMALTI_TRY(VipsPtr decoded, normalise(std::move(opened), what));
  auto state = std::make_shared<PictureState>();
  if (!pixels) {
    state->image = std::move(decoded);
    describe(*state, source, leaf, scene);
    return Picture(std::move(state));
  }
  const bool streams = !source.several && !source.workshop.salvage;
  if (streams && source.workshop.stream) {
    SMALTI_CHECK(stream(*state, source, decoded, std::move(hold), what));
    describe(*state, source, leaf, scene);
    return Picture(std::move(state));
  }
  const Run run{what, nullptr, Errc::corrupt, source.workshop.salvage, true, {}};
  // The two are not there at the same time, but the second must not be missing when the first is done with.
  Hold pipeline = charge_pipeline(source.workshop, decoded.get());
  Hold decoding = charge_decoding(source.workshop, decoded.get());
  auto filled = sink(source.workshop, source.call, decoded, run, source.file->name(), scene);
  if (!filled) return explained(std::move(filled.error()));
  state->cache = std::move(*filled);
  state->flow = std::make_shared<Flow>(source.call);
  SMALTI_TRY(state->image, image_over(state->cache, state->flow, decoded->Type, std::move(pipeline)));
  state->streams = streams && leaf.held <= slight;
  copy_metadata(decoded.get(), state->image.get());
  take_resolution_from_exif(state->image.get());
  describe(*state, source, leaf, scene);
  return Picture(std::move(state));
}

Result<const FormatRow*> recognise(const InputFile& file, const std::string& prefix) {
  const FormatRow* format = format_of(file.peek(0, 64));
  if (!format)
    return fail(Errc::unsupported, fmt::format("'{}' is in no known picture format; known are {}",
                                               file.name(), readable_formats()));
  const FormatRow* asked = prefix.empty() ? nullptr : format_named(prefix);
  if (asked && asked->is && asked != format)
    return fail(Errc::invalid, fmt::format("'{}' is {}, not {} as its prefix '{}:' says", file.name(),
                                           format->name, asked->name, prefix));
  return format;
}

}  // namespace

Result<std::vector<Picture>> read_pictures(const Workshop& workshop, const Call& call,
                                           const std::string& name, const Settings& settings, bool pixels) {
  const PictureName parsed = parse_name(name, ::access(name.c_str(), F_OK) == 0);
  if (is_canvas(parsed.prefix)) {
    SMALTI_TRY(Picture made, make_canvas(workshop, parsed.prefix, parsed.path, settings));
    return std::vector<Picture>{std::move(made)};
  }
  if (parsed.prefix == "dpc") {
    SMALTI_TRY(Picture opened, open_named(workshop, call, parsed.path, parsed.select));
    return std::vector<Picture>{std::move(opened)};
  }
  const std::string_view foreign = foreign_prefix(name);
  if (!foreign.empty() && ::access(name.c_str(), F_OK) != 0)
    return fail(Errc::unsupported, fmt::format("unable to open image '{}': '{}:' is no format that can be read; known "
                                               "are {}, and canvas:, xc: and gradient:",
                                               name, foreign, readable_formats()));
  SMALTI_TRY(auto file, InputFile::open(call, parsed.path, temporary_folder(settings)));
  SMALTI_TRY(const FormatRow* format, recognise(*file, parsed.prefix));
  SMALTI_TRY(const std::vector<Leaf> leaves, format->leaves(*file));
  SMALTI_TRY(const auto scenes,
             select_scenes(parsed.select, static_cast<std::uint32_t>(leaves.size()), parsed.path));
  const std::uint64_t most = workshop.cache.ledger.limit(Resource::list_length);
  if (scenes.size() > most)
    return fail(
        Errc::limit,
        fmt::format("cache resources exhausted: '{}' holds {} pictures and the limit list-length is {} "
                    "(raise it with -limit list-length, or name fewer: '{}[0-{}]')",
                    file->name(), scenes.size(), most, parsed.path, most ? most - 1 : 0));
  Source source{workshop, call, name, *format, file, leaves.size() > 1};
  std::vector<Picture> out;
  out.reserve(scenes.size());
  for (const std::uint32_t scene : scenes) {
    SMALTI_TRY(Picture picture, read_one(source, leaves[scene], scene, pixels));
    out.push_back(std::move(picture));
  }
  return out;
}

}  // namespace smalti::ops
