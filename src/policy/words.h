// Words that people type: compared without case, and the nearest known one when they slip. Pure functions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace smalti {

// ASCII only: option words are not text of a language.
bool same_word(std::string_view, std::string_view) noexcept;
std::string_view trimmed(std::string_view) noexcept;

// true on yes 1, false off no 0, in any case; nullopt for others.
std::optional<bool> parse_flag(std::string_view) noexcept;

// The known word with the fewest slips (a letter left out, added, replaced, or two swapped), where it is near
// enough to be meant: at most a third of the letters, rounded up. Case does not count. nullopt: none is near.
std::optional<std::string_view> nearest_word(std::string_view typed, std::span<const std::string_view> known);

// ": did you mean `-sharpen'?" or nothing, to follow a message. `prefix` stands before the word.
std::string did_you_mean(std::string_view typed, std::span<const std::string_view> known,
                         std::string_view prefix = "");

}  // namespace smalti
