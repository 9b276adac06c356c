// The tables of options. Adding a setting is adding a row. Private to cli/.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "cli/script.h"
#include "smalti/base/result.h"

namespace smalti::cli {

enum class Section : std::uint8_t { settings, stack, resources, other };

struct OptionRow;

// One use of an option in a command line: its row, whether it began with + instead of -, and its words.
struct Use {
  const OptionRow& row;
  bool plus = false;
  std::span<const std::string_view> words;

  std::string spelt() const;  // "-quality", "+quality"
};

// What has been understood so far.
struct Line {
  Script script;
  ops::Settings settings;  // in force
  std::size_t depth = 0;   // open parentheses
  bool images = false;     // something was read, so operators have something to work on
};

using Take = Result<void> (*)(Line&, const Use&);
// Fails with invalid; the message is complete.
using Check = Result<void> (*)(const Use&);

struct OptionRow {
  Section section;
  std::string_view name;      // without the dash
  std::string_view argument;  // for -help: one capital word or more for each word taken; empty: takes none
  std::uint8_t words;         // taken by the - form; the + form takes none, or plus_words
  bool minus, plus;           // the forms there are
  std::uint8_t plus_words;
  Take take;
  Check check;  // of the - form; may be null
  std::string_view help;
};

std::span<const OptionRow> option_table() noexcept;
const OptionRow* option_named(std::string_view name) noexcept;

// "invalid argument for option `-sharpen': soft".
tl::unexpected<Error> bad_argument(std::string_view option, std::string_view value,
                                   std::string_view hint = "");

// True where an operator whose argument is described so ("RADIUSxSIGMA") takes numbers only, and `value` has
// others.
bool implausible(std::string_view argument, std::string_view value) noexcept;

// What -list can list: "policy", "resource", ...
std::span<const std::string_view> list_words() noexcept;
std::span<const std::string_view> virtual_pixel_words() noexcept;

}  // namespace smalti::cli
