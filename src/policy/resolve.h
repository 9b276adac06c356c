// From what the machine has, the environment says, the command line asks and the policies allow, to what
// holds.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "policy/environment.h"
#include "policy/policies.h"
#include "smalti/policy/limits.h"

namespace smalti {

// Later words replace earlier ones: the machine's defaults, MAGICK_*_LIMIT, SMALTI_*_LIMIT, then `asked`
// (-limit) in its order. The ceilings then hold whatever was asked for. Fails with invalid on a variable that
// is no amount.
Result<Limits> effective_limits(const Limits& defaults, const Environment&,
                                const std::vector<std::pair<Resource, std::uint64_t>>& asked,
                                const Ceilings&);

// The folder of temporary files, the first of: `registry` (registry:temporary-path), the policy
// temporary-path, SMALTI_TEMPORARY_PATH, MAGICK_TEMPORARY_PATH, MAGICK_TMPDIR, TMPDIR, /tmp. Fails with io
// when that one is no writable folder, and names who chose it: another folder is never taken in silence.
Result<std::filesystem::path> temporary_folder(const std::optional<std::string>& registry, const Policies&,
                                               const Environment&);

std::string list_resource(const Limits&);  // as `-list resource`
std::string list_policy(const Policies&);  // as `-list policy`: stealthy entries do not appear at all

}  // namespace smalti
