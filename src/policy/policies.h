// Policies: every policy.xml that is in force, read once at start.
#pragma once

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "policy/environment.h"
#include "policy/policy_xml.h"
#include "smalti/policy/limits.h"

namespace smalti {

struct PolicyPlace {
  std::filesystem::path file;
  // Of a distribution's ImageMagick only the domain `cache` counts: its resource ceilings are meant for a
  // program that has nowhere to go beyond them. Such a file may be unreadable, too.
  bool cache_only = false;
};

// In the order in which they are read. `root` stands before /etc, for tests.
std::vector<PolicyPlace> policy_places(const Environment&, const std::filesystem::path& root = "/");

// One resource's limit as the files have it.
struct Ceiling {
  std::uint64_t amount = 0;
  std::string where;  // "policy FILE line 7"
};
using Ceilings = std::array<std::optional<Ceiling>, resource_count>;

// A value; entries in the order in which they were read, includes in their place.
struct Policies {
  std::vector<PolicyEntry> entries;

  // The first entry that sets it wins. Names in any case. Null: nobody sets it.
  const PolicyEntry* first(Domain, std::string_view name) const noexcept;
  // The lowest of all files, so that nobody lifts an administrator's; for throttle, a floor, the highest.
  // Fails with invalid, and names file and line, on a value that is no amount.
  Result<Ceilings> ceilings() const;
  // What is understood as XML and says nothing to us: "policy FILE line 7: unknown resource `memmory'".
  std::vector<std::string> notes() const;
};

// Files that do not exist are skipped. Fails with invalid on a malformed one, with io on one that cannot be
// read.
Result<Policies> load_policies(const std::vector<PolicyPlace>&);

}  // namespace smalti
