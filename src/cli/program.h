// The whole program behind main().
#pragma once

#include <span>
#include <string_view>

#include "policy/environment.h"

namespace smalti::cli {

// The exit code: 0; 1 where something failed (one line on stderr says what); 128 and the signal's number
// where one ended it. A server that a signal drains exits 0.
int program(std::span<const std::string_view> argv, const Environment&);

}  // namespace smalti::cli
