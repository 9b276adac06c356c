#include "cli/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#include "policy/units.h"
#include "policy/words.h"

namespace smalti::cli {

namespace {

constexpr std::array<std::string_view, 17> virtual_pixels{
    "background",  "black",     "checker-tile",    "dither",
    "edge",        "gray",      "horizontal-tile", "horizontal-tile-edge",
    "mirror",      "none",      "random",          "tile",
    "transparent", "undefined", "vertical-tile",   "vertical-tile-edge",
    "white"};
constexpr std::array<std::string_view, 8> lists{"cache",  "define", "format",   "operator",
                                                "option", "policy", "resource", "virtual-pixel"};
constexpr std::array<std::string_view, 11> gravities{"None",      "Center",    "East",      "Forget",
                                                     "NorthEast", "North",     "NorthWest", "SouthEast",
                                                     "South",     "SouthWest", "West"};
constexpr std::array<std::string_view, 3> units{"PixelsPerInch", "PixelsPerCentimeter", "Undefined"};
constexpr std::array<std::string_view, 8> interlaces{"None",      "Line", "Plane", "JPEG",
                                                     "Partition", "PNG",  "GIF",   "Undefined"};
constexpr std::string_view no_effect = "taken, and without effect here";
// Events of ImageMagick's that -debug may name; of ours there is one.
constexpr std::array<std::string_view, 9> debug_events{"all",    "cache",    "none",  "exception", "locale",
                                                       "policy", "resource", "trace", "configure"};

std::optional<std::uint64_t> whole_number(std::string_view text) noexcept {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// ---- checks ----

template <std::uint64_t least, std::uint64_t most>
Result<void> number_from(const Use& use) {
  const auto number = whole_number(use.words[0]);
  if (number && *number >= least && *number <= most) return {};
  return bad_argument(use.spelt(), use.words[0], fmt::format("a whole number from {} to {}", least, most));
}

Result<void> geometry(const Use& use) {
  if (!implausible("WIDTHxHEIGHT", use.words[0])) return {};
  return bad_argument(use.spelt(), use.words[0]);
}

Result<void> one_of(const Use& use, std::string_view what, std::span<const std::string_view> known) {
  for (const std::string_view word : known)
    if (same_word(word, use.words[0])) return {};
  return fail(Errc::invalid,
              fmt::format("unrecognized {} `{}'{}", what, use.words[0], did_you_mean(use.words[0], known)));
}

Result<void> a_virtual_pixel(const Use& use) { return one_of(use, "virtual pixel method", virtual_pixels); }
Result<void> a_list(const Use& use) { return one_of(use, "list type", lists); }
Result<void> a_gravity(const Use& use) { return one_of(use, "gravity", gravities); }

Result<void> a_unit(const Use& use) { return one_of(use, "units type", units); }
Result<void> an_interlace(const Use& use) { return one_of(use, "interlace type", interlaces); }

Result<void> not_empty(const Use& use) {
  if (!use.words[0].empty()) return {};
  return bad_argument(use.spelt(), use.words[0]);
}

// ---- what an option does ----

Result<void> take_setting(Line& line, const Use& use) {
  if (use.plus)
    line.settings.erase(std::string(use.row.name));
  else
    line.settings[std::string(use.row.name)] = use.words.empty() ? "true" : std::string(use.words[0]);
  return {};
}

Result<void> take_limit(Line& line, const Use& use) {
  const auto what = resource_named(use.words[0]);
  if (!what) {
    std::array<std::string_view, resource_count> known;
    for (std::size_t i = 0; i < resource_count; ++i) known[i] = name_of(static_cast<Resource>(i));
    return fail(Errc::invalid, fmt::format("unrecognized resource type `{}'{}", use.words[0],
                                           did_you_mean(use.words[0], known)));
  }
  SMALTI_TRY(const std::uint64_t amount, parse_amount(*what, use.words[1]));
  line.script.asked.limits.emplace_back(*what, amount);
  return {};
}

Result<void> take_define(Line& line, const Use& use) {
  const std::string_view word = use.words[0];
  const std::size_t equals = std::min(word.find('='), word.size());
  const std::string key(word.substr(0, equals));
  const std::string value(word.substr(std::min(equals + 1, word.size())));
  if (key.empty()) return bad_argument(use.spelt(), word, "KEY=VALUE");
  auto& defines = line.script.asked.defines;
  if (use.plus) {
    std::erase_if(defines, [&key](const auto& define) { return same_word(define.first, key); });
    line.settings.erase(key);
  } else {
    defines.emplace_back(key, value);
    line.settings[key] = value;
  }
  return {};
}

Result<void> take_verbose(Line& line, const Use& use) {
  line.script.verbose = !use.plus;
  return {};
}

Result<void> take_monitor(Line& line, const Use& use) {
  line.script.monitor = !use.plus;
  return {};
}

Result<void> take_quiet(Line& line, const Use& use) {
  line.script.quiet = !use.plus;
  return {};
}

Result<void> take_debug(Line& line, const Use& use) {
  if (use.plus) {
    line.script.debug_cache = false;
    return {};
  }
  std::string_view rest = use.words[0];
  while (!rest.empty()) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view event = rest.substr(0, comma);
    const bool known = std::any_of(debug_events.begin(), debug_events.end(),
                                   [event](std::string_view word) { return same_word(word, event); });
    if (!known)
      return fail(Errc::invalid,
                  fmt::format("unrecognized event type `{}'{}", event, did_you_mean(event, debug_events)));
    if (same_word(event, "cache") || same_word(event, "all")) line.script.debug_cache = true;
    if (same_word(event, "none")) line.script.debug_cache = false;
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return {};
}

// The first of -list, -version, -help and -distribute-cache says what the command is about.
void become(Line& line, Act act) {
  if (line.script.act == Act::run || line.script.act == Act::identify) line.script.act = act;
}

Result<void> take_list(Line& line, const Use& use) {
  become(line, Act::list);
  line.script.list = std::string(use.words[0]);
  return {};
}

template <Act act>
Result<void> take_name(Line& line, const Use& use) {
  become(line, act);
  std::string_view name = use.words[0];
  if (name.starts_with("dpc:")) name.remove_prefix(4);
  line.script.names.emplace_back(name);
  return {};
}

Result<void> take_version(Line& line, const Use&) {
  become(line, Act::version);
  return {};
}

Result<void> take_help(Line& line, const Use&) {
  become(line, Act::help);
  return {};
}

Result<std::uint16_t> port_number(const Use& use, std::string_view text) {
  const auto number = whole_number(text);
  if (number && *number <= 65535) return static_cast<std::uint16_t>(*number);
  return bad_argument(use.spelt(), use.words[0], "[ADDRESS:]PORT[,PORT...], ports from 0 to 65535");
}

// "6668", "127.0.0.1:6668", "[::1]:6668,6669": an address holds for the ports that follow it.
Result<void> take_serve(Line& line, const Use& use) {
  become(line, Act::serve);
  std::string address;
  std::string_view rest = use.words[0];
  do {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    std::string_view entry = rest.substr(0, comma);
    if (const std::size_t colon = entry.rfind(':'); colon != std::string_view::npos) {
      std::string_view host = entry.substr(0, colon);
      if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
      if (host.empty()) return bad_argument(use.spelt(), use.words[0], "an address before the `:'");
      address = std::string(host);
      entry.remove_prefix(colon + 1);
    }
    SMALTI_TRY(const std::uint16_t port, port_number(use, entry));
    line.script.serve.push_back({address, port});
    if (comma == rest.size()) break;
    rest.remove_prefix(comma + 1);
  } while (true);
  return {};
}

Result<void> take_probe(Line& line, const Use& use) {
  if (use.words[0].empty())
    return bad_argument(use.spelt(), use.words[0], "a program, such as magick or /usr/bin/convert");
  line.script.act = Act::probe;
  line.script.probe = std::string(use.words[0]);
  return {};
}

void add_step(Line& line, Verb verb, std::string_view name, std::string_view argument) {
  line.script.steps.push_back({verb, std::string(name), std::string(argument), line.settings});
}

Result<void> need_images(const Line& line, const Use& use) {
  if (line.images) return {};
  return fail(Errc::invalid,
              fmt::format("no images found for operation `{}': name an input before it", use.spelt()));
}

// "0", "-1", "0,2", "1-3", "0--1".
bool are_indexes(std::string_view text) noexcept {
  return !text.empty() && text.find_first_not_of("0123456789,-") == std::string_view::npos &&
         text.find_first_of("0123456789") != std::string_view::npos;
}

template <Verb verb>
Result<void> take_indexes(Line& line, const Use& use) {
  static constexpr std::string_view defaults = verb == Verb::swap ? "-2,-1" : "-1";
  SMALTI_CHECK(need_images(line, use));
  const std::string_view indexes = use.plus ? defaults : use.words[0];
  if (!are_indexes(indexes))
    return bad_argument(use.spelt(), indexes, "image numbers such as 0,2 or 1-3 or -1");
  add_step(line, verb, "", indexes);
  return {};
}

Result<void> take_reverse(Line& line, const Use& use) {
  SMALTI_CHECK(need_images(line, use));
  add_step(line, Verb::reverse, "", "");
  return {};
}

Result<void> take_write(Line& line, const Use& use) {
  SMALTI_CHECK(need_images(line, use));
  add_step(line, Verb::write, use.words[0], "");
  return {};
}

// section, name, argument, words, minus, plus, plus_words, take, check, help
// What can only make a difference in programs that do more: so that scripts need no change.
Result<void> take_nothing(Line&, const Use&) { return {}; }

Result<void> take_switch(Line& line, const Use& use) {
  line.settings[std::string(use.row.name)] = use.plus ? "false" : "true";
  return {};
}

constexpr std::array rows{
    OptionRow{Section::settings, "adjoin", "", 0, true, true, 0, take_switch, nullptr,
              "several pictures in one file, where its format can (TIFF); +adjoin: each in its own"},
    OptionRow{Section::settings, "background", "COLOR", 1, true, true, 0, take_setting, not_empty,
              "the background colour"},
    OptionRow{Section::settings, "bordercolor", "COLOR", 1, true, true, 0, take_setting, not_empty,
              "the colour of -border"},
    OptionRow{Section::settings, "compress", "TYPE", 1, true, true, 0, take_setting, not_empty,
              "compression of the written file, where its format has a choice"},
    OptionRow{Section::settings, "define", "KEY=VALUE", 1, true, true, 1, take_define, nullptr,
              "a setting of the cache or of a format; see below"},
    OptionRow{Section::settings, "density", "WxH", 1, true, true, 0, take_setting, geometry,
              "resolution of the written file"},
    OptionRow{Section::settings, "depth", "BITS", 1, true, true, 0, take_setting, number_from<1, 64>,
              "bits of a sample in the written file"},
    OptionRow{Section::settings, "filter", "NAME", 1, true, true, 0, take_setting, not_empty,
              "how -resize mixes samples: Lanczos, Mitchell, Catrom, Triangle, Box, Point..."},
    OptionRow{Section::settings, "format", "TEXT", 1, true, true, 0, take_setting, nullptr,
              "what info: and identify print: %w %h %m %f %b %z %[colorspace] and more"},
    OptionRow{Section::settings, "fuzz", "AMOUNT", 1, true, true, 0, take_setting, not_empty,
              "how far colours may differ (or %) and be the same to -trim"},
    OptionRow{Section::settings, "gravity", "DIRECTION", 1, true, true, 0, take_setting, a_gravity,
              "the corner or side that offsets count from"},
    OptionRow{Section::settings, "interlace", "TYPE", 1, true, true, 0, take_setting, an_interlace,
              "None, or Line, Plane, JPEG, PNG: a progressive JPEG or an interlaced PNG"},
    OptionRow{Section::settings, "page", "WxH+X+Y", 1, true, true, 0, take_setting, geometry,
              "canvas and place of images that are read from here on"},
    OptionRow{Section::settings, "quality", "N", 1, true, true, 0, take_setting, number_from<0, 100>,
              "quality or effort of compression in the written file"},
    OptionRow{Section::settings, "sampling-factor", "FACTOR", 1, true, true, 0, take_setting, not_empty,
              "colours of a JPEG: 4:4:4 (1x1) or 4:2:0 (2x2)"},
    OptionRow{Section::settings, "size", "WxH", 1, true, true, 0, take_setting, geometry,
              "size of what has none of its own (canvas:)"},
    OptionRow{Section::settings, "units", "UNIT", 1, true, true, 0, take_setting, a_unit,
              "of the resolution: PixelsPerInch or PixelsPerCentimeter"},
    OptionRow{Section::settings, "virtual-pixel", "METHOD", 1, true, true, 0, take_setting, a_virtual_pixel,
              "what lies outside an image; -list virtual-pixel"},
    OptionRow{Section::settings, "antialias", "", 0, true, true, 0, take_nothing, nullptr, no_effect},
    OptionRow{Section::settings, "dither", "METHOD", 1, true, true, 0, take_nothing, nullptr, no_effect},
    OptionRow{Section::settings, "ping", "", 0, true, true, 0, take_nothing, nullptr, no_effect},
    OptionRow{Section::settings, "regard-warnings", "", 0, true, true, 0, take_nothing, nullptr, no_effect},
    OptionRow{Section::settings, "respect-parentheses", "", 0, true, true, 0, take_nothing, nullptr,
              no_effect},
    OptionRow{Section::settings, "synchronize", "", 0, true, true, 0, take_nothing, nullptr, no_effect},
    OptionRow{Section::stack, "clone", "INDEXES", 1, true, true, 0, take_indexes<Verb::clone>, nullptr,
              "copy images of the sequence; +clone the last"},
    OptionRow{Section::stack, "delete", "INDEXES", 1, true, true, 0, take_indexes<Verb::remove>, nullptr,
              "drop images of the sequence; +delete the last"},
    OptionRow{Section::stack, "reverse", "", 0, true, true, 0, take_reverse, nullptr, "reverse the sequence"},
    OptionRow{Section::stack, "swap", "INDEXES", 1, true, true, 0, take_indexes<Verb::swap>, nullptr,
              "swap two images of the sequence; +swap the last two"},
    OptionRow{Section::stack, "write", "FILE", 1, true, false, 0, take_write, not_empty,
              "write the sequence here, and go on"},
    OptionRow{
        Section::resources, "limit", "NAME AMOUNT", 2, true, false, 0, take_limit, nullptr,
        "a limit of memory, map, disk, area, width, height, file, thread, throttle, time or list-length"},
    OptionRow{Section::resources, "distribute-cache", "[ADDRESS:]PORT[,PORT...]", 1, true, false, 0,
              take_serve, nullptr, "be a pixel server"},
    OptionRow{Section::resources, "delete-cache", "NAME", 1, true, false, 0, take_name<Act::erase>, not_empty,
              "delete the image that has this name on the pixel servers"},
    OptionRow{Section::resources, "repair-cache", "NAME", 1, true, false, 0, take_name<Act::repair>, not_empty,
              "copy what a lost server had of the image that has this name, so that it survives the next loss, too"},
    OptionRow{Section::other, "probe-client", "PROGRAM", 1, true, false, 0, take_probe, nullptr,
              "find out how an ImageMagick program speaks to servers, and how to serve it"},
    OptionRow{Section::other, "debug", "EVENTS", 1, true, true, 0, take_debug, nullptr,
              "cache: say where each image's pixels are"},
    OptionRow{Section::other, "help", "", 0, true, false, 0, take_help, nullptr, "this text"},
    OptionRow{Section::other, "list", "WHAT", 1, true, false, 0, take_list, a_list,
              "policy, resource, format, operator, option, define, virtual-pixel or cache"},
    OptionRow{Section::other, "monitor", "", 0, true, true, 0, take_monitor, nullptr,
              "tell the progress of work"},
    OptionRow{Section::other, "quiet", "", 0, true, true, 0, take_quiet, nullptr, "no warnings"},
    OptionRow{Section::other, "verbose", "", 0, true, true, 0, take_verbose, nullptr,
              "tell times, tiles and bytes, and where they are"},
    OptionRow{Section::other, "version", "", 0, true, false, 0, take_version, nullptr,
              "version, features, libraries"},
};

// Words that stand for numbers in an operator's description of its argument.
bool means_number(std::string_view word) noexcept {
  static constexpr std::array<std::string_view, 18> numbers{
      "RADIUS", "SIGMA", "DEGREES", "GEOMETRY",  "WIDTH", "HEIGHT", "W",    "H",     "X",
      "Y",      "GAIN",  "AMOUNT",  "THRESHOLD", "N",     "VALUE",  "BITS", "ANGLE", "LEVEL"};
  return std::find(numbers.begin(), numbers.end(), word) != numbers.end();
}

bool capital(char c) noexcept { return c >= 'A' && c <= 'Z'; }

}  // namespace

std::string Use::spelt() const { return fmt::format("{}{}", plus ? '+' : '-', row.name); }

std::span<const OptionRow> option_table() noexcept { return rows; }

const OptionRow* option_named(std::string_view name) noexcept {
  for (const OptionRow& row : rows)
    if (row.name == name) return &row;
  return nullptr;
}

tl::unexpected<Error> bad_argument(std::string_view option, std::string_view value, std::string_view hint) {
  return fail(Errc::invalid,
              fmt::format("invalid argument for option `{}': {}{}{}", option, value,
                          hint.empty() ? "" : " (expected ", hint.empty() ? "" : fmt::format("{})", hint)));
}

bool implausible(std::string_view argument, std::string_view value) noexcept {
  bool numbers = false;
  for (std::size_t i = 0; i < argument.size();) {
    std::size_t end = i;
    while (end < argument.size() && capital(argument[end])) ++end;
    if (end == i) {
      ++i;
      continue;
    }
    if (!means_number(argument.substr(i, end - i))) return false;
    numbers = true;
    i = end;
  }
  if (!numbers) return false;
  if (value.find_first_of("0123456789") == std::string_view::npos) return true;
  return value.find_first_not_of("0123456789.+-eExX%!<>^@,: ") != std::string_view::npos;
}

std::span<const std::string_view> list_words() noexcept { return lists; }
std::span<const std::string_view> virtual_pixel_words() noexcept { return virtual_pixels; }

}  // namespace smalti::cli
