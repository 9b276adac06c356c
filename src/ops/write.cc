// write_picture: from a lazy pipeline to a file that appears whole or not at all.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "ops/encode.h"
#include "ops/foresight.h"
#include "ops/info.h"
#include "ops/metadata.h"
#include "ops/named.h"
#include "ops/names.h"
#include "ops/op_colorspace.h"
#include "ops/op_lazy.h"
#include "ops/op_point.h"
#include "ops/op_settings.h"
#include "ops/passes.h"
#include "ops/picture.h"
#include "ops/probe.h"
#include "ops/state.h"
#include "policy/units.h"

namespace smalti::ops {

namespace {

// Where a picture goes: a format of the table, info:, or null:.
struct Target {
  const FormatRow* format = nullptr;
  std::string word;  // lower case: what chose the format
  std::string path;
};

Result<Target> target_of(const std::string& name, const PictureState& state) {
  const PictureName parsed = parse_name(name, false);
  if (const std::string_view word = foreign_prefix(name); !word.empty())
    return fail(Errc::unsupported,
                fmt::format("unable to write image '{}': '{}:' is no format that can be written; formats that can be "
                            "written are {} (a file of that very name: './{}')",
                            name, word, writable_formats(), name));
  Target out;
  out.path = parsed.select.empty() ? parsed.path : fmt::format("{}[{}]", parsed.path, parsed.select);
  out.word = parsed.prefix.empty() ? suffix_of(out.path) : parsed.prefix;
  if (out.word == "info" || out.word == "null" || out.word == "dpc") {
    if (!parsed.prefix.empty()) return out;
  }
  // A name without suffix takes the format that the picture came in.
  if (out.word.empty()) {
    out.word = state.format;
    std::transform(out.word.begin(), out.word.end(), out.word.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    out.format = format_named(out.word);
    if (out.format && out.format->save) return out;
  }
  out.format = format_named(out.word);
  if (out.format && out.format->save) return out;
  return fail(Errc::unsupported,
              fmt::format("unable to write image '{}': {}; formats that can be written are {} (by suffix, or "
                          "by a prefix: 'png:{}')",
                          name,
                          out.word.empty() ? "its name tells no format"
                                           : fmt::format("'{}' is no format that can be written", out.word),
                          writable_formats(), out.path));
}

// `image` by reference, since the call that fills it stands beside it.
Result<VipsPtr> taken(int failed, VipsImage*& image, const std::string& what) {
  if (failed != 0) return vips_fail(Errc::internal, what);
  return VipsPtr(image);
}

// The first `bands` bands.
Result<VipsPtr> first_bands(const VipsPtr& image, int bands, const std::string& what) {
  VipsImage* out = nullptr;
  SMALTI_TRY(VipsPtr made, taken(vips_extract_band(image.get(), &out, 0, "n", bands, nullptr), out, what));
  foresee_through(made, image);
  return made;
}

int colors_of(const VipsImage* image) {
  return image->Type == VIPS_INTERPRETATION_CMYK ? 4 : image->Bands < 3 ? 1 : 3;
}

bool wants_gray(std::string_view word) { return word == "pgm" || word == "pbm"; }

// Three equal channels of one.
Result<VipsPtr> gray_as_rgb(const VipsPtr& image, const std::string& what) {
  SMALTI_TRY(VipsPtr gray, first_bands(image, 1, what));
  VipsImage* bands[3] = {gray.get(), gray.get(), gray.get()};
  VipsImage* out = nullptr;
  SMALTI_TRY(VipsPtr made, taken(vips_bandjoin(bands, &out, 3, nullptr), out, what));
  foresee_through(made, gray);
  return made;
}

// What the names png24, png32, png48 and png64 ask for; png8 is the encoder's to make.
struct PngKind {
  int bits = 0;               // a sample; 0: as the picture has
  std::optional<bool> alpha;  // then colours, too
};
PngKind png_kind(std::string_view word) {
  if (word == "png24") return {8, false};
  if (word == "png32") return {8, true};
  if (word == "png48") return {16, false};
  if (word == "png64") return {16, true};
  if (word == "png8") return {8, {}};
  return {};
}

struct Ready {
  VipsPtr image;
  bool alpha = false;
};

// Colour space, depth and channels as the format takes them. The interpretation is set with the depth:
// encoders trust it.
Result<Ready> prepare(const Workshop& workshop, const Target& target, const PictureState& picture,
                      const Settings& settings, const std::string& what) {
  const Takes& takes = target.format->takes;
  PictureState state = picture.with(share(picture.image));
  const int quantum = static_cast<int>(workshop.quantum.depth);
  const auto type = state.image->Type;
  const bool gray = type == VIPS_INTERPRETATION_B_W || type == VIPS_INTERPRETATION_GREY16;
  if (wants_gray(target.word) && !gray) {
    SMALTI_TRY(state, to_colorspace(state, "Gray", quantum));
  } else if (state.linear || (type == VIPS_INTERPRETATION_CMYK && !takes.cmyk)) {
    SMALTI_TRY(state, to_colorspace(state, "sRGB", quantum));
  }
  const PngKind png = png_kind(target.word);
  const int bits = png.bits ? png.bits : takes.wide && picture.depth > 8 ? 16 : 8;
  SMALTI_TRY(VipsPtr image, to_depth(state.image, bits));
  if (png.alpha && image->Bands < 3) {
    SMALTI_TRY(image, with_three_colors(image, state.alpha));
  }
  if (png.alpha.value_or(false) && !state.alpha) {
    SMALTI_TRY(image, with_opaque_alpha(image));
    state.alpha = true;
  }
  const int colors = colors_of(image.get());
  const bool alpha = state.alpha && takes.alpha && png.alpha.value_or(true);
  const int most = takes.extra && (takes.alpha || !state.alpha) ? image->Bands : colors + (alpha ? 1 : 0);
  if (image->Bands > most) {
    SMALTI_TRY(image, first_bands(image, most, what));
  }
  if (target.word == "ppm" && image->Bands < 3) {
    SMALTI_TRY(image, gray_as_rgb(image, what));
  }
  const bool wide = bits == 16;
  const auto tag = state.image->Type == VIPS_INTERPRETATION_CMYK ? VIPS_INTERPRETATION_CMYK
                   : image->Bands < 3 ? (wide ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W)
                                      : (wide ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB);
  VipsImage* out = nullptr;
  SMALTI_TRY(VipsPtr tagged, taken(vips_copy(image.get(), &out, "interpretation", tag, nullptr), out, what));
  SMALTI_CHECK(set_resolution(tagged.get(), settings));
  foresee_through(tagged, image);
  return Ready{std::move(tagged), alpha};
}

// Where a pipe's picture is gathered, of a format whose encoder goes back and forth; empty: of all others.
std::string rewinds_in(const Target& target, const Settings& settings) {
  return target.format->takes.rewinds ? temporary_folder(settings) : std::string();
}

// What an encoder cannot take is refused before a file is made.
Result<Hold> check_encoder(const Workshop& workshop, const Target& target, const VipsImage* image,
                           const Settings& settings) {
  const Takes& takes = target.format->takes;
  const auto w = static_cast<std::uint64_t>(image->Xsize), h = static_cast<std::uint64_t>(image->Ysize);
  if (w > takes.most_side || h > takes.most_side)
    return fail(Errc::unsupported,
                fmt::format("unable to write image '{}': {} pictures are at most {} pixels a side, and this "
                            "is {}x{} (write TIFF or PNG)",
                            target.path, target.format->name, takes.most_side, w, h));
  constexpr std::uint64_t to_number_colors = 12;  // bytes a pixel
  std::uint64_t held = product(w, h, target.word == "png8" ? to_number_colors : takes.held_bytes);
  // The smaller pictures of a pyramid wait for the large one.
  if (target.word == "ptif") held += VIPS_IMAGE_SIZEOF_IMAGE(const_cast<VipsImage*>(image)) / 3;
  // Whoever writes rows out of order, or scan after scan, has them all first: in 16 bits a sample at most.
  if (takes.interlaced && interlaced(settings))
    held += product(w, h, 2 * static_cast<std::uint64_t>(image->Bands));
  if (held == 0) return Hold();
  if (held > workshop.memory_limit)
    return fail(
        Errc::limit,
        fmt::format("cache resources exhausted: writing '{}' as {} needs {} of memory at once, and the "
                    "memory limit is {} (raise it with -limit memory, or write TIFF or PNG, not interlaced)",
                    target.path, target.format->name, print_amount(Resource::memory, held),
                    print_amount(Resource::memory, workshop.memory_limit)));
  return workshop.cache.ledger.charge(Resource::memory, held);
}

// Of all pictures one text, so that a file has a line of each.
Result<void> print_info(std::span<const Picture> pictures, const std::string& path, const Settings& settings) {
  std::string line;
  const auto format = settings.find("format");
  for (const Picture& picture : pictures) {
    if (format == settings.end()) {
      line += info_line(facts_of(picture)) + "\n";
      continue;
    }
    SMALTI_TRY(const std::string text, info_text(format->second, facts_of(picture)));
    line += text;
  }
  if (path.empty() || path == "-") {
    if (std::fputs(line.c_str(), stdout) >= 0 && std::fflush(stdout) == 0) return {};
    return fail(Errc::io, "unable to write to standard output", errno);
  }
  SMALTI_TRY(auto file, OutFile::create(path));
  SMALTI_CHECK(file->write(std::as_bytes(std::span(line))));
  return file->commit();
}

// null: computes every pixel and keeps none, so that a chain can be timed or checked.
Result<void> compute_only(const Workshop& workshop, const Call& call, const PictureState& state) {
  const Run run{"computing", state.flow, Errc::internal,
                false,       false,      [](Rect, Pixels) { return Result<void>(); }};
  return run_strips(workshop, call, state.image, run);
}

}  // namespace

Result<void> write_picture(const Workshop& workshop, const Call& call, const Picture& picture,
                           const std::string& name, const Settings& settings) {
  const PictureState& state = picture.state();
  SMALTI_TRY(const Target target, target_of(has_scene(name) ? with_scene(name, state.scene) : name, state));
  if (target.word == "info" && !target.format) return print_info({&picture, 1}, target.path, settings);
  const Passing pass(workshop, state, name);
  if (!target.format) {
    SMALTI_CHECK(target.word == "dpc" ? write_named(workshop, call, state, target.path)
                                      : compute_only(workshop, call, state));
    pass.told();
    return {};
  }
  const std::string what = fmt::format("writing '{}'", target.path);
  SMALTI_TRY(const Ready ready, prepare(workshop, target, state, settings, what));
  SMALTI_TRY(const Hold hold, check_encoder(workshop, target, ready.image.get(), settings));
  SMALTI_TRY(const auto file, OutFile::create(target.path, rewinds_in(target, settings)));
  if (state.flow) {
    state.flow->take();
    state.flow->adopt(call);
  }
  const Encode job{workshop,    call,     ready.image, ready.alpha, state.page, 0,
                   target.word, settings, *file,       state.flow,  what,       state.quality, state.packing};
  SMALTI_CHECK(target.format->save(job));
  SMALTI_CHECK(file->commit());
  pass.told();
  return {};
}

namespace {

// As ImageMagick numbers a sequence: the pictures' own scenes while they rise, else counted from the first's.
std::vector<std::uint32_t> scenes_of(std::span<const Picture> pictures) {
  std::vector<std::uint32_t> scenes;
  bool rising = true;
  for (const Picture& picture : pictures) {
    rising = rising && (scenes.empty() || picture.state().scene > scenes.back());
    scenes.push_back(picture.state().scene);
  }
  for (std::size_t i = 1; i < scenes.size() && !rising; ++i)
    scenes[i] = scenes[0] + static_cast<std::uint32_t>(i);
  return scenes;
}

bool alike(const VipsImage* a, const VipsImage* b) {
  return a->Xsize == b->Xsize && a->Ysize == b->Ysize && a->Bands == b->Bands && a->BandFmt == b->BandFmt &&
         a->Type == b->Type;
}

// The pictures as pages below each other; empty where they are not of one size and kind.
Result<std::vector<VipsPtr>> pages_of(const Workshop& workshop, const Target& target,
                                      std::span<const Picture> pictures, const Settings& settings,
                                      const std::string& what) {
  std::vector<VipsPtr> pages;
  for (const Picture& picture : pictures) {
    SMALTI_TRY(Ready ready, prepare(workshop, target, picture.state(), settings, what));
    if (!pages.empty() &&
        (!alike(ready.image.get(), pages[0].get()) || picture.state().alpha != pictures[0].state().alpha))
      return std::vector<VipsPtr>();
    pages.push_back(std::move(ready.image));
  }
  const auto rows = static_cast<std::uint64_t>(pages[0]->Ysize) * pages.size();
  if (rows > VIPS_MAX_COORD) pages.clear();
  return pages;
}

// Errors of reading land in the flow of the picture that was read.
Result<void> named_by_its_page(Result<void> saved, std::span<const Picture> pictures,
                               const std::string& what) {
  if (saved) return saved;
  for (const Picture& picture : pictures)
    if (const auto& flow = picture.state().flow)
      if (auto first = flow->take()) return pass(std::move(*first), what);
  return saved;
}

// Each page is told what is wanted of its rows.
void foresee_pages(const VipsPtr& joined, const std::vector<VipsPtr>& pages) {
  std::vector<std::shared_ptr<VipsImage>> all;
  for (const VipsPtr& page : pages) all.emplace_back(share(page).release(), Unref());
  set_foresight(joined, [all = std::move(all)](const Rect& wanted, Pace pace) {
    std::int64_t top = 0;
    for (const auto& page : all) {
      const Rect cell{0, top, extent_of(page.get())};
      top = cell.bottom();
      const Foresee* told = foresight_of(page.get());
      Rect part = wanted.meet(cell);
      part.y -= cell.y;
      if (told && (wanted.empty() || !part.empty())) (*told)(wanted.empty() ? Rect{} : part, pace);
    }
  });
}

// All into one file. False: the format has no pages, or these pictures cannot be pages of one file.
Result<bool> write_pages(const Workshop& workshop, const Call& call, std::span<const Picture> pictures,
                         const std::string& name, const Settings& settings) {
  const PictureState& first = pictures[0].state();
  SMALTI_TRY(const Target target, target_of(name, first));
  if (!target.format || !target.format->takes.pages || setting(settings, "adjoin") == "false") return false;
  const std::string what = fmt::format("writing '{}'", target.path);
  SMALTI_TRY(const auto pages, pages_of(workshop, target, pictures, settings, what));
  if (pages.empty()) {
    workshop.log.line(Level::warning,
                      fmt::format("'{}': the pictures differ in size or kind, so that each goes to a "
                                  "file of its own, '{}' and so on",
                                  target.path, numbered(target.path, 0)));
    return false;
  }
  std::vector<VipsImage*> each;
  for (const VipsPtr& page : pages) each.push_back(page.get());
  VipsImage* out = nullptr;
  SMALTI_TRY(const VipsPtr joined,
             taken(vips_arrayjoin(each.data(), &out, static_cast<int>(each.size()), "across", 1, nullptr),
                   out, what));
  foresee_pages(joined, pages);
  SMALTI_TRY(const auto file, OutFile::create(target.path, rewinds_in(target, settings)));
  for (const Picture& picture : pictures)
    if (const auto& flow = picture.state().flow) {
      flow->take();
      flow->adopt(call);
    }
  const Encode job{workshop,    call,     joined, first.alpha, first.page, pages[0]->Ysize,
                   target.word, settings, *file,  first.flow,  what,       first.quality, first.packing};
  SMALTI_CHECK(named_by_its_page(target.format->save(job), pictures, what));
  SMALTI_CHECK(file->commit());
  return true;
}

}  // namespace

Result<void> write_pictures(const Workshop& workshop, const Call& call, std::span<const Picture> pictures,
                            const std::string& name, const Settings& settings) {
  if (pictures.size() == 1) return write_picture(workshop, call, pictures[0], name, settings);
  const PictureName parsed = parse_name(name, false);
  if (parsed.prefix == "info" && !has_scene(name)) return print_info(pictures, parsed.path, settings);
  const bool file = parsed.prefix != "info" && parsed.prefix != "null" && parsed.path != "-";
  if (file && !has_scene(name)) {
    SMALTI_TRY(const bool written, write_pages(workshop, call, pictures, name, settings));
    if (written) return {};
  }
  const std::vector<std::uint32_t> scenes = scenes_of(pictures);
  for (std::size_t i = 0; i < pictures.size(); ++i) {
    const std::string one = !file             ? name
                            : has_scene(name) ? with_scene(name, scenes[i])
                                              : numbered(name, static_cast<std::uint32_t>(i));
    SMALTI_CHECK(write_picture(workshop, call, pictures[i], one, settings));
  }
  return {};
}

}  // namespace smalti::ops
