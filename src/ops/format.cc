#include "ops/format.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "ops/decode.h"
#include "ops/encode.h"
#include "ops/pnm.h"
#include "ops/probe.h"

namespace smalti::ops {

namespace {

bool starts(std::span<const std::byte> head, std::string_view with, std::size_t at = 0) {
  return head.size() >= at + with.size() &&
         std::equal(with.begin(), with.end(), head.begin() + static_cast<std::ptrdiff_t>(at),
                    [](char c, std::byte b) { return static_cast<std::byte>(c) == b; });
}

using namespace std::string_view_literals;

bool is_jpeg(std::span<const std::byte> head) { return starts(head, "\xFF\xD8\xFF"sv); }
bool is_png(std::span<const std::byte> head) { return starts(head, "\x89PNG\r\n\x1A\n"sv); }
bool is_tiff(std::span<const std::byte> head) {
  return starts(head, "II*\0"sv) || starts(head, "MM\0*"sv) || starts(head, "II+\0"sv) ||
         starts(head, "MM\0+"sv);
}
bool is_webp(std::span<const std::byte> head) { return starts(head, "RIFF"sv) && starts(head, "WEBP"sv, 8); }
bool is_gif(std::span<const std::byte> head) { return starts(head, "GIF87a"sv) || starts(head, "GIF89a"sv); }
bool is_jp2(std::span<const std::byte> head) {
  return starts(head, "\0\0\0\x0CjP  "sv) || starts(head, "\xFF\x4F\xFF\x51"sv);
}

constexpr std::array pseudo{"info"sv, "null"sv, "canvas"sv, "xc"sv, "gradient"sv, "dpc"sv};

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) { return std::tolower(c); });
  return out;
}

}  // namespace

std::span<const FormatRow> format_table() {
  static const std::vector<FormatRow> table{
      {"JPEG",
       {"jpg", "jpeg", "jpe", "jfif"},
       is_jpeg,
       probe_jpeg,
       open_jpeg,
       save_jpeg,
       {.cmyk = true, .interlaced = true, .most_side = 65500}},
      {"PNG",
       {"png", "png8", "png24", "png32", "png48", "png64"},
       is_png,
       probe_png,
       open_png,
       save_png,
       {.alpha = true, .wide = true, .interlaced = true, .most_side = 0x7FFFFFFF}},
      {"TIFF",
       {"tif", "tiff", "tiff64", "ptif"},
       is_tiff,
       probe_tiff,
       open_tiff,
       save_tiff,
       {.alpha = true, .cmyk = true, .wide = true, .extra = true, .pages = true, .rewinds = true, .most_side = 0x7FFFFFFF}},
      {"WEBP",
       {"webp"},
       is_webp,
       probe_webp,
       open_webp,
       save_webp,
       {.alpha = true, .most_side = 16383, .held_bytes = 12}},
      {"PNM",
       {"ppm", "pgm", "pbm", "pnm"},
       is_pnm,
       probe_pnm,
       open_pnm,
       save_pnm,
       {.wide = true, .most_side = 0x7FFFFFFF}},
      {"PAM",
       {"pam"},
       nullptr,
       nullptr,
       nullptr,
       save_pnm,
       {.alpha = true, .cmyk = true, .wide = true, .extra = true, .most_side = 0x7FFFFFFF}},
      {"GIF",
       {"gif"},
       is_gif,
       probe_gif,
       open_gif,
       save_gif,
       {.alpha = true, .pages = true, .most_side = 65535, .held_bytes = 12}},
      {"JP2", {"jp2", "j2k", "jpc"}, is_jp2, probe_jp2, open_jp2, nullptr, {}},
  };
  return table;
}

const FormatRow* format_of(std::span<const std::byte> head) {
  for (const FormatRow& row : format_table())
    if (row.is && row.is(head)) return &row;
  return nullptr;
}

const FormatRow* format_named(std::string_view word) {
  const std::string plain = lower(word);
  for (const FormatRow& row : format_table())
    if (std::find(row.words.begin(), row.words.end(), plain) != row.words.end() || lower(row.name) == plain)
      return &row;
  return nullptr;
}

bool is_prefix(std::string_view word) {
  return format_named(word) || std::find(pseudo.begin(), pseudo.end(), word) != pseudo.end();
}

namespace {
std::string names(bool (*wanted)(const FormatRow&)) {
  std::string out;
  for (const FormatRow& row : format_table())
    if (wanted(row)) out += (out.empty() ? "" : ", ") + std::string(row.name);
  return out;
}
}  // namespace

std::vector<FormatInfo> formats() {
  std::vector<FormatInfo> infos;
  for (const FormatRow& row : format_table())
    infos.push_back({row.name, row.words, row.is != nullptr || format_named("pnm")->save == row.save, row.save != nullptr});
  return infos;
}

std::string readable_formats() {
  return names([](const FormatRow& row) { return row.is != nullptr; });
}
std::string writable_formats() {
  return names([](const FormatRow& row) { return row.save != nullptr; });
}

}  // namespace smalti::ops
