// The text of a policy.xml, as ImageMagick writes it. A pure function: no file is opened here.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "smalti/base/result.h"

namespace smalti {

enum class Domain : std::uint8_t {
  undefined,
  cache,
  coder,
  delegate,
  filter,
  module,
  path,
  resource,
  system
};

std::string_view name_of(Domain) noexcept;  // "Cache", as -list policy prints it

// One <policy .../>. Values are raw: "&amp;" stays as it stands, so that a secret means to us what it means
// to ImageMagick.
struct PolicyEntry {
  Domain domain = Domain::undefined;
  std::string name;
  std::string value;     // empty: not set
  std::string rights;    // "read | write"
  std::string pattern;   // "{GIF,JPEG}"
  bool stealth = false;  // in force, but never listed
  std::string file;
  std::uint32_t line = 0;  // counts from 1

  std::string where() const;  // "policy FILE line 7"
};

// <include file="..."/>; relative to the including file.
struct PolicyInclude {
  std::string target;
  std::uint32_t line = 0;
};

using PolicyItem = std::variant<PolicyEntry, PolicyInclude>;

inline constexpr std::size_t longest_policy = 1u << 20;  // bytes of a file

// In the order of the text. `file` is for messages and PolicyEntry::file only. A <!DOCTYPE> is skipped,
// entities are not expanded. Fails with invalid, and names file and line.
Result<std::vector<PolicyItem>> parse_policy(std::string_view text, std::string_view file);

}  // namespace smalti
