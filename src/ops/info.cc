#include "ops/info.h"

#include <fmt/format.h>

#include <algorithm>

#include "policy/units.h"

namespace smalti::ops {

namespace {

std::string bytes_text(const Facts& facts) { return print_amount(Resource::memory, facts.file_bytes); }

// The parts of "a/b.tar.gz": folder "a", file "b.tar.gz", base "b.tar", extension "gz".
std::string_view file_of(std::string_view path) { return path.substr(path.rfind('/') + 1); }
std::string_view folder_of(std::string_view path) {
  const auto slash = path.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
}
std::string_view base_of(std::string_view path) {
  const std::string_view file = file_of(path);
  return file.substr(0, file.rfind('.'));
}
std::string_view extension_of(std::string_view path) {
  const std::string_view file = file_of(path);
  const auto dot = file.rfind('.');
  return dot == std::string_view::npos ? std::string_view() : file.substr(dot + 1);
}

struct Escape {
  std::string_view word;
  std::string (*text)(const Facts&);
};

constexpr Escape escapes[] = {
    {"w", [](const Facts& f) { return fmt::format("{}", f.size.w); }},
    {"width", [](const Facts& f) { return fmt::format("{}", f.size.w); }},
    {"h", [](const Facts& f) { return fmt::format("{}", f.size.h); }},
    {"height", [](const Facts& f) { return fmt::format("{}", f.size.h); }},
    {"W", [](const Facts& f) { return fmt::format("{}", f.page.size.w); }},
    {"H", [](const Facts& f) { return fmt::format("{}", f.page.size.h); }},
    {"X", [](const Facts& f) { return fmt::format("{:+}", f.page.x); }},
    {"Y", [](const Facts& f) { return fmt::format("{:+}", f.page.y); }},
    {"O", [](const Facts& f) { return fmt::format("{:+}{:+}", f.page.x, f.page.y); }},
    {"g",
     [](const Facts& f) {
       return fmt::format("{}x{}{:+}{:+}", f.page.size.w, f.page.size.h, f.page.x, f.page.y);
     }},
    {"m", [](const Facts& f) { return f.format; }},
    {"magick", [](const Facts& f) { return f.format; }},
    {"i", [](const Facts& f) { return f.file; }},
    {"f", [](const Facts& f) { return std::string(file_of(f.file)); }},
    {"d", [](const Facts& f) { return std::string(folder_of(f.file)); }},
    {"t", [](const Facts& f) { return std::string(base_of(f.file)); }},
    {"e", [](const Facts& f) { return std::string(extension_of(f.file)); }},
    {"b", bytes_text},
    {"size", bytes_text},
    {"z", [](const Facts& f) { return fmt::format("{}", f.depth); }},
    {"depth", [](const Facts& f) { return fmt::format("{}", f.depth); }},
    {"s", [](const Facts& f) { return fmt::format("{}", f.scene); }},
    {"p", [](const Facts& f) { return fmt::format("{}", f.scene); }},
    {"scene", [](const Facts& f) { return fmt::format("{}", f.scene); }},
    {"r", [](const Facts& f) { return fmt::format("DirectClass {} {}", f.colorspace, f.alpha ? "Alpha " : ""); }},
    {"colorspace", [](const Facts& f) { return f.colorspace; }},
    {"A", [](const Facts& f) { return std::string(f.alpha ? "True" : "False"); }},
    {"%", [](const Facts&) { return std::string("%"); }},
};

// The word behind a '%': one character, or what stands in brackets. `length` is what it takes.
std::string_view word_at(std::string_view rest, std::size_t& length) {
  const auto end = rest.starts_with('[') ? rest.find(']') : std::string_view::npos;
  length = end == std::string_view::npos ? 1 : end + 1;
  return end == std::string_view::npos ? rest.substr(0, 1) : rest.substr(1, end - 1);
}

}  // namespace

std::string info_line(const Facts& facts) {
  return fmt::format("{} {} {}x{} {}x{}{:+}{:+} {}-bit {} {}", facts.file, facts.format, facts.size.w,
                     facts.size.h, facts.page.size.w, facts.page.size.h, facts.page.x, facts.page.y,
                     facts.depth, facts.colorspace, bytes_text(facts));
}

Result<std::string> info_text(std::string_view format, const Facts& facts) {
  std::string text;
  while (!format.empty()) {
    const char c = format.front();
    format.remove_prefix(1);
    if (format.empty() || (c != '%' && c != '\\')) {
      text += c;
      continue;
    }
    std::size_t length = 1;
    const std::string_view word = c == '%' ? word_at(format, length) : format.substr(0, 1);
    format.remove_prefix(length);
    if (c == '\\') {
      text += word == "n" ? '\n' : word == "t" ? '\t' : word == "r" ? '\r' : word.front();
      continue;
    }
    const auto* const found =
        std::find_if(std::begin(escapes), std::end(escapes), [&](const Escape& each) { return each.word == word; });
    if (found == std::end(escapes)) {
      std::string known;
      for (const Escape& each : escapes)
        if (each.word.size() == 1) known += fmt::format(" %{}", each.word);
      return fail(Errc::unsupported, fmt::format("-format: '%{}' is not offered: take{}", word, known));
    }
    text += found->text(facts);
  }
  return text;
}

}  // namespace smalti::ops
