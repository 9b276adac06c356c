// Texts of -help, -version and -list, made from the tables.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "ops/picture.h"

namespace smalti::cli {

std::string help_text(std::string_view program, std::span<const ops::OperatorInfo>);

// "Version: Smalti 0.1.0 Q16 x86_64", features, libraries.
std::string version_text(const ops::Quantum&);

// -list of what needs no configuration: operator, option, define, virtual-pixel, cache. Empty: none of these.
std::string list_text(std::string_view what, std::span<const ops::OperatorInfo>);

}  // namespace smalti::cli
