#include "policy/units.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>

#include "policy/words.h"

namespace smalti {

namespace {

constexpr std::size_t longest_amount = 64;  // characters; anything longer is not an amount

enum class Unit : std::uint8_t { pixels, bytes, count, milliseconds, seconds };

Unit unit_of(Resource what) noexcept {
  switch (what) {
    case Resource::width:
    case Resource::height:
    case Resource::area:
      return Unit::pixels;
    case Resource::memory:
    case Resource::map:
    case Resource::disk:
      return Unit::bytes;
    case Resource::throttle:
      return Unit::milliseconds;
    case Resource::time:
      return Unit::seconds;
    case Resource::file:
    case Resource::thread:
    case Resource::list_length:
      break;
  }
  return Unit::count;
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// The power of the prefix (K is 1), or 0 for a character that is none.
int prefix_power(char c) noexcept {
  static constexpr std::string_view prefixes = "KMGTPEZYRQ";
  if (c == 'k') return 1;
  const std::size_t at = prefixes.find(c);
  return at == std::string_view::npos ? 0 : static_cast<int>(at) + 1;
}

// Reads "KiB", "MP", "B", "%" or nothing; nullopt for anything else.
std::optional<long double> suffix_factor(std::string_view suffix, Unit unit) noexcept {
  if (suffix.empty() || suffix == "%") return 1.0L;
  long double factor = 1;
  const bool lone_pixel = unit == Unit::pixels && (suffix == "P" || suffix == "p");
  if (const int power = lone_pixel ? 0 : prefix_power(suffix.front()); power != 0) {
    suffix.remove_prefix(1);
    const bool binary = suffix.starts_with('i');
    if (binary) suffix.remove_prefix(1);
    factor = std::pow(binary ? 1024.0L : 1000.0L, static_cast<long double>(power));
  }
  if (suffix.empty() || suffix == "B" || suffix == "P" || suffix == "b" || suffix == "p") return factor;
  return std::nullopt;
}

std::optional<long double> time_factor(std::string_view word) noexcept {
  struct Row {
    std::string_view word;
    long double seconds;
  };
  static constexpr long double day = 86400;
  static constexpr std::array<Row, 8> rows{{{"s", 1},
                                            {"second", 1},
                                            {"minute", 60},
                                            {"hour", 3600},
                                            {"day", day},
                                            {"week", 7 * day},
                                            {"month", 30 * day},
                                            {"year", 365 * day}}};
  for (const Row& row : rows) {
    if (same_word(word, row.word)) return row.seconds;
    if (word.size() == row.word.size() + 1 && lower(word.back()) == 's' &&
        same_word(word.substr(0, row.word.size()), row.word))
      return row.seconds;
  }
  return std::nullopt;
}

}  // namespace

Result<std::uint64_t> parse_amount(Resource what, std::string_view text) {
  const std::string_view word = trimmed(text);
  const auto refuse = [&]() -> Result<std::uint64_t> {
    return fail(Errc::invalid,
                fmt::format("`{}' is no amount for limit {}: write a number with its unit, such as {}, "
                            "or unlimited",
                            word.substr(0, longest_amount), name_of(what),
                            unit_of(what) == Unit::bytes     ? "512MiB"
                            : unit_of(what) == Unit::pixels  ? "16KP"
                            : unit_of(what) == Unit::seconds ? "3600 or `2 hours'"
                                                             : "64"));
  };
  if (same_word(word, "unlimited")) return unlimited;
  // from_chars alone would also take "inf", "nan" and a sign.
  if (word.empty() || word.size() > longest_amount) return refuse();
  if (!(word.front() >= '0' && word.front() <= '9') && word.front() != '.') return refuse();
  long double number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error == std::errc::result_out_of_range) return refuse();
  if (error != std::errc()) return refuse();
  const Unit unit = unit_of(what);
  const std::string_view rest = trimmed(word.substr(static_cast<std::size_t>(end - word.data())));
  std::optional<long double> factor = unit == Unit::seconds ? time_factor(rest) : std::nullopt;
  if (!factor) factor = suffix_factor(rest, unit);
  if (!factor) return refuse();
  const long double amount = number * *factor;
  // 2^64 itself is already more than can be counted.
  if (!(amount < 18446744073709551616.0L)) return unlimited;
  return static_cast<std::uint64_t>(amount);
}

std::string print_amount(Resource what, std::uint64_t amount) {
  if (amount == unlimited) return "unlimited";
  const Unit unit = unit_of(what);
  if (unit != Unit::pixels && unit != Unit::bytes) return fmt::format("{}", amount);
  const std::string_view letter = unit == Unit::pixels ? "P" : "B";
  if (amount < 1'000'000) return fmt::format("{}{}", amount, letter);
  const double step = unit == Unit::pixels ? 1000.0 : 1024.0;
  static constexpr std::string_view prefixes = " KMGTPE";
  double scaled = static_cast<double>(amount);
  std::size_t power = 0;
  while (scaled >= step && power + 1 < prefixes.size()) {
    scaled /= step;
    ++power;
  }
  return fmt::format("{:.6g}{}{}{}", scaled, prefixes[power], unit == Unit::bytes ? "i" : "", letter);
}

std::optional<Resource> resource_named(std::string_view name) noexcept {
  for (std::size_t i = 0; i < resource_count; ++i)
    if (same_word(name, name_of(static_cast<Resource>(i)))) return static_cast<Resource>(i);
  if (same_word(name, "listlength") || same_word(name, "list_length")) return Resource::list_length;
  return std::nullopt;
}

std::string limit_variable(std::string_view program, Resource what) {
  std::string name(name_of(what));
  for (char& c : name) c = c == '-' ? '_' : static_cast<char>(c - 'a' + 'A');
  return fmt::format("{}_{}_LIMIT", program, name);
}

}  // namespace smalti
