// What -list cache says: servers, and the images that have names on them. Text from values; nothing is printed here.
#pragma once

#include <cstdint>
#include <string>

#include "client/names.h"

namespace smalti::house {

// `now`: milliseconds since 1970, by which ages are told.
std::string listing_text(const client::Listing&, std::uint64_t now);
std::uint64_t now_in_milliseconds();

// "12s", "34m", "5h", "6d".
std::string age_text(std::uint64_t milliseconds);

}  // namespace smalti::house
