#include "ops/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>

#include "ops/format.h"

namespace smalti::ops {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

// A scene directive at `at` ("%d", "%03d"): its length and width; nullopt where there is none.
struct Directive {
  std::size_t length;
  int width;
  bool zeros;
};
std::optional<Directive> directive(std::string_view name, std::size_t at) {
  std::size_t end = at + 1;
  while (end < name.size() && std::isdigit(static_cast<unsigned char>(name[end]))) ++end;
  if (end >= name.size() || name[end] != 'd' || end - at > 4) return std::nullopt;
  int width = 0;
  std::from_chars(name.data() + at + 1, name.data() + end, width);
  return Directive{end + 1 - at, std::min(width, 64), name[at + 1] == '0'};
}

// "7" or "-1" (from the end).
std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string_view foreign_prefix(std::string_view name) {
  // A file's name may hold a colon; these words before one are meant.
  static constexpr std::string_view words[] = {
      "avif", "bmp",  "bmp3", "caption", "clip", "cmyk", "dng",   "eps",     "exr",  "fd",   "fractal", "gray",
      "hald", "heic", "histogram", "http", "https", "ico", "inline", "json", "jxl",  "label", "logo", "magick",
      "map",  "miff", "mpc",  "mpr",  "netscape", "pango", "pattern", "pcx", "pdf", "plasma", "ps", "psd", "rgb",
      "rgba", "rose", "show", "sparse-color", "svg", "tga", "text", "tile", "txt", "wizard", "win", "x", "xmp",
      "xpm", "yaml", "ycbcr", "yuv"};
  const std::string word = lower(name.substr(0, std::min(name.find(':'), name.size())));
  if (word.size() == name.size() || std::find(std::begin(words), std::end(words), word) == std::end(words)) return {};
  return name.substr(0, word.size());
}

PictureName parse_name(std::string_view name, bool literal) {
  PictureName out;
  if (literal) {
    out.path = name;
    return out;
  }
  if (const auto colon = name.find(':'); colon != std::string_view::npos && colon > 0) {
    const std::string word = lower(name.substr(0, colon));
    if (is_prefix(word)) {
      out.prefix = word;
      name.remove_prefix(colon + 1);
    }
  }
  const auto open = name.rfind('[');
  if (open != std::string_view::npos && open > 0 && name.back() == ']' && name.size() - open > 2) {
    out.select = name.substr(open + 1, name.size() - open - 2);
    name = name.substr(0, open);
  }
  out.path = name;
  return out;
}

Result<std::vector<std::uint32_t>> select_scenes(std::string_view select, std::uint32_t count,
                                                 std::string_view name) {
  std::vector<std::uint32_t> out;
  if (select.empty()) {
    for (std::uint32_t scene = 0; scene < count; ++scene) out.push_back(scene);
    return out;
  }
  const std::string_view all = select;
  while (!select.empty()) {
    const auto comma = select.find(',');
    const std::string_view part = select.substr(0, comma);
    select = comma == std::string_view::npos ? std::string_view() : select.substr(comma + 1);
    const auto dash = part.find('-', 1);
    auto first = number(part.substr(0, dash));
    auto last = dash == std::string_view::npos ? first : number(part.substr(dash + 1));
    if (!first || !last)
      return fail(Errc::invalid,
                  fmt::format("'{}[{}]' selects no pictures: write [2], [1-3] or [0,2] (-crop and -resize "
                              "cut and scale)",
                              name, all));
    if (*first < 0) *first += count;
    if (*last < 0) *last += count;
    if (*first < 0 || *last < 0 || *first >= count || *last >= count)
      return fail(Errc::invalid, fmt::format("'{}[{}]': no such picture; '{}' holds {}, the first is [0]",
                                             name, all, name, count));
    const std::int64_t step = *first <= *last ? 1 : -1;
    for (std::int64_t scene = *first;; scene += step) {
      out.push_back(static_cast<std::uint32_t>(scene));
      if (scene == *last) break;
    }
  }
  return out;
}

bool has_scene(std::string_view name) noexcept {
  for (auto at = name.find('%'); at != std::string_view::npos; at = name.find('%', at + 1))
    if (directive(name, at)) return true;
  return false;
}

std::string with_scene(std::string_view name, std::uint32_t scene) {
  std::string out;
  for (std::size_t at = 0; at < name.size();) {
    const auto found = name[at] == '%' ? directive(name, at) : std::nullopt;
    if (!found) {
      out += name[at++];
      continue;
    }
    out +=
        found->zeros ? fmt::format("{:0{}}", scene, found->width) : fmt::format("{:{}}", scene, found->width);
    at += found->length;
  }
  return out;
}

std::string numbered(std::string_view name, std::uint32_t scene) {
  const auto slash = name.rfind('/');
  const auto start = slash == std::string_view::npos ? 0 : slash + 1;
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos || dot <= start) return fmt::format("{}-{}", name, scene);
  return fmt::format("{}-{}{}", name.substr(0, dot), scene, name.substr(dot));
}

std::string suffix_of(std::string_view path) {
  const auto slash = path.rfind('/');
  const auto dot = path.rfind('.');
  if (dot == std::string_view::npos || (slash != std::string_view::npos && dot < slash)) return {};
  return lower(path.substr(dot + 1));
}

}  // namespace smalti::ops
