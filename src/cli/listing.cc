#include "cli/listing.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <array>
#include <utility>

#include "cli/options.h"
#include "house/config.h"
#include "net/library_version.h"
#include "policy/words.h"

namespace smalti::cli {

namespace {

constexpr std::size_t help_column = 30;

// "  -name ARGUMENT   help", the help on a line of its own where the name is long.
std::string row_text(std::string_view name, std::string_view argument, std::string_view help) {
  const std::string head = fmt::format("  {}{}{}", name, argument.empty() ? "" : " ", argument);
  if (head.size() + 2 > help_column) return fmt::format("{}\n{:{}}{}\n", head, "", help_column, help);
  return fmt::format("{:<{}}{}\n", head, help_column, help);
}

std::string section_text(std::string_view title, Section section) {
  std::string text = fmt::format("\n{}:\n", title);
  for (const OptionRow& row : option_table())
    if (row.section == section) text += row_text(fmt::format("-{}", row.name), row.argument, row.help);
  return text;
}

std::string operators_text(std::span<const ops::OperatorInfo> operators) {
  std::string text;
  for (const ops::OperatorInfo& info : operators)
    text += row_text(fmt::format("-{}", info.name), info.argument, info.help);
  return text;
}

std::string defines_text() {
  std::string text;
  for (const house::DefineInfo& info : house::defines())
    text += row_text(fmt::format("{}={}", info.key, info.value), "", info.help);
  return text;
}

std::string machine() {
  utsname name{};
  return ::uname(&name) == 0 ? std::string(name.machine) : std::string("unknown");
}

}  // namespace

std::string help_text(std::string_view program, std::span<const ops::OperatorInfo> operators) {
  std::string text = fmt::format(
      "Usage: {0} INPUT... [OPTION...] OUTPUT\n"
      "       {0} identify FILE...\n"
      "       {0} -distribute-cache [ADDRESS:]PORT\n"
      "\nWords are read left to right: a setting holds from its place on, an operator works on all images "
      "read before\n"
      "it, the last word is the file to write. Options take ImageMagick's words and mean the same. dpc:NAME is an image\n"
      "that the pixel servers keep under a name; 'dpc:NAME[WxH+X+Y]' reads a part of it.\n"
      "\nOperators:\n",
      program);
  text += operators_text(operators);
  text += section_text("Settings (+NAME takes one back)", Section::settings);
  text += section_text("Image sequence", Section::stack) +
          row_text("( ... )", "", "work on images of their own, then join");
  text += section_text("Resources and servers", Section::resources);
  text += section_text("Other", Section::other);
  return text +
         "\nDefines (-define KEY=VALUE; cache: also as policy of domain `cache', without the prefix):\n" +
         defines_text();
}

std::string version_text(const ops::Quantum& quantum) {
  return fmt::format(
      "Version: Smalti {} Q{}{} {}\nFeatures: DPC(native) TLS(1.3) tiers(memory map disk distributed)\n"
      "Libraries: {}, {}, fmt {}.{}.{}\n",
      SMALTI_VERSION, quantum.depth, quantum.hdri ? "-HDRI" : "", machine(), ops::library_version(),
      net::library_version(), FMT_VERSION / 10000, FMT_VERSION / 100 % 100, FMT_VERSION % 100);
}

std::string list_text(std::string_view what, std::span<const ops::OperatorInfo> operators) {
  if (same_word(what, "operator")) return operators_text(operators);
  if (same_word(what, "define")) return defines_text();
  if (same_word(what, "format")) {
    std::string text = "  Format  Read  Write  Names\n";
    for (const ops::FormatInfo& info : ops::formats())
      text += fmt::format("  {:<6}  {:<4}  {:<5}  {}\n", info.name, info.reads ? "yes" : "no", info.writes ? "yes" : "no",
                          fmt::join(info.words, " "));
    return text;
  }
  if (same_word(what, "cache")) return "Disk\nDistributed\nMap\nMemory\nPing\n";
  std::string text;
  if (same_word(what, "option"))
    for (const OptionRow& row : option_table())
      text += row_text(fmt::format("-{}", row.name), row.argument, row.help);
  if (same_word(what, "virtual-pixel"))
    for (const std::string_view word : virtual_pixel_words()) text += fmt::format("{}\n", word);
  return text;
}

}  // namespace smalti::cli
