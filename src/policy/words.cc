#include "policy/words.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace smalti {

namespace {

constexpr std::size_t longest_word = 64;  // longer text is no slip of a known word

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

// Optimal string alignment: three rows of the table are enough.
std::size_t slips(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const bool same = lower(a[i - 1]) == lower(b[j - 1]);
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same ? 0 : 1)});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    std::swap(before, last);
    std::swap(last, row);
  }
  return last[b.size()];
}

}  // namespace

bool same_word(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

std::string_view trimmed(std::string_view text) noexcept {
  static constexpr std::string_view blank = " \t\r\n";
  const std::size_t first = text.find_first_not_of(blank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(blank) - first + 1);
}

std::optional<bool> parse_flag(std::string_view text) noexcept {
  for (const std::string_view yes : {"true", "on", "yes", "1"})
    if (same_word(text, yes)) return true;
  for (const std::string_view no : {"false", "off", "no", "0"})
    if (same_word(text, no)) return false;
  return std::nullopt;
}

std::optional<std::string_view> nearest_word(std::string_view typed,
                                             std::span<const std::string_view> known) {
  if (typed.empty() || typed.size() > longest_word) return std::nullopt;
  std::optional<std::string_view> best;
  std::size_t fewest = (typed.size() + 2) / 3 + 1;
  for (const std::string_view word : known) {
    if (word.size() > longest_word) continue;
    const std::size_t count = slips(typed, word);
    if (count >= fewest) continue;
    fewest = count;
    best = word;
  }
  return best;
}

std::string did_you_mean(std::string_view typed, std::span<const std::string_view> known,
                         std::string_view prefix) {
  const auto near = nearest_word(typed, known);
  return near ? fmt::format(": did you mean `{}{}'?", prefix, *near) : std::string();
}

}  // namespace smalti
