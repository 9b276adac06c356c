// Amounts as people write them: "1.5KiB", "16KP", "2 hours", "unlimited". Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "smalti/policy/limits.h"

namespace smalti {

// The amount in the resource's own unit (bytes, pixels, seconds, milliseconds or a count). Understood:
//   a decimal number, also 1e6; an SI prefix k K M G T P E Z Y R Q counts in thousands, with `i` behind it in
//   1024s; then B or P. "unlimited" in any case. "10%" is 10, as ImageMagick has it. For pixels a lone P
//   means pixels ("1000P" is a thousand), elsewhere peta. For time: seconds, or a number and second(s),
//   minute(s), hour(s), day(s), week(s), month(s), year(s).
// What is larger than can be counted is `unlimited`. Fails with invalid, and names the value: unlike
// ImageMagick, which takes "abc" for 0.
Result<std::uint64_t> parse_amount(Resource, std::string_view text);

// As `-list resource` prints it: plain while six digits hold it ("1536B", "1000P"), else scaled ("1.5MiB",
// "256MP"), "unlimited"; counts and times carry no unit.
std::string print_amount(Resource, std::uint64_t);

// "memory", "list-length" (also "listlength", "list_length"), in any case.
std::optional<Resource> resource_named(std::string_view) noexcept;

// The environment's name of a limit: "MAGICK_LIST_LENGTH_LIMIT" for program "MAGICK".
std::string limit_variable(std::string_view program, Resource);

}  // namespace smalti
