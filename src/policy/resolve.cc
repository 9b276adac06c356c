#include "policy/resolve.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "policy/units.h"

namespace smalti {

namespace fs = std::filesystem;

namespace {

constexpr std::uint64_t most_threads = 1024;

Result<fs::path> usable(const std::string& folder, std::string_view chosen_by) {
  std::error_code error;
  int why = 0;
  if (!fs::is_directory(folder, error))
    why = error ? error.value() : ENOTDIR;
  else if (::access(folder.c_str(), W_OK | X_OK) != 0)
    why = errno;
  if (why == 0) return fs::path(folder);
  return fail(Errc::io,
              fmt::format("temporary folder `{}', chosen by {}, cannot be used (choose another with -define "
                          "registry:temporary-path=FOLDER)",
                          folder, chosen_by),
              why);
}

std::string title_of(Resource what) {
  std::string title(name_of(what));
  title.front() = static_cast<char>(title.front() - 'a' + 'A');
  std::replace(title.begin(), title.end(), '-', ' ');
  return title;
}

std::string list_entry(const PolicyEntry& entry) {
  std::string text = fmt::format("  Policy: {}\n", name_of(entry.domain));
  if (!entry.name.empty()) text += fmt::format("    name: {}\n", entry.name);
  if (!entry.value.empty()) text += fmt::format("    value: {}\n", entry.value);
  if (!entry.rights.empty()) text += fmt::format("    rights: {}\n", entry.rights);
  if (!entry.pattern.empty()) text += fmt::format("    pattern: {}\n", entry.pattern);
  return text;
}

}  // namespace

Result<Limits> effective_limits(const Limits& defaults, const Environment& environment,
                                const std::vector<std::pair<Resource, std::uint64_t>>& asked,
                                const Ceilings& ceilings) {
  Limits limits = defaults;
  for (std::size_t i = 0; i < resource_count; ++i) {
    const auto what = static_cast<Resource>(i);
    for (const std::string_view program : {"MAGICK", "SMALTI"}) {
      const std::string name = limit_variable(program, what);
      const auto text = environment(name);
      if (!text) continue;
      const auto amount = parse_amount(what, *text);
      if (!amount) return pass(amount.error(), "environment variable " + name);
      limits[what] = *amount;
    }
  }
  for (const auto& [what, amount] : asked) limits[what] = amount;
  for (std::size_t i = 0; i < resource_count; ++i) {
    if (!ceilings[i]) continue;
    std::uint64_t& limit = limits.most[i];
    limit = static_cast<Resource>(i) == Resource::throttle ? std::max(limit, ceilings[i]->amount)
                                                           : std::min(limit, ceilings[i]->amount);
  }
  limits[Resource::thread] = std::clamp<std::uint64_t>(limits[Resource::thread], 1, most_threads);
  return limits;
}

Result<fs::path> temporary_folder(const std::optional<std::string>& registry, const Policies& policies,
                                  const Environment& environment) {
  if (registry && !registry->empty()) return usable(*registry, "registry:temporary-path");
  for (const Domain domain : {Domain::resource, Domain::system})
    if (const PolicyEntry* entry = policies.first(domain, "temporary-path"))
      return usable(entry->value, entry->where());
  for (const char* name : {"SMALTI_TEMPORARY_PATH", "MAGICK_TEMPORARY_PATH", "MAGICK_TMPDIR", "TMPDIR"})
    if (const auto folder = environment(name)) return usable(*folder, name);
  return usable("/tmp", "default");
}

std::string list_resource(const Limits& limits) {
  static constexpr std::array<Resource, resource_count> order{
      Resource::width,  Resource::height,   Resource::area, Resource::list_length,
      Resource::memory, Resource::map,      Resource::disk, Resource::file,
      Resource::thread, Resource::throttle, Resource::time};
  std::string text = "Resource limits:\n";
  for (const Resource what : order)
    text += fmt::format("  {}: {}\n", title_of(what), print_amount(what, limits[what]));
  return text;
}

std::string list_policy(const Policies& policies) {
  std::string text;
  std::string_view file;
  for (const PolicyEntry& entry : policies.entries) {
    if (entry.stealth) continue;
    if (entry.file != file) text += fmt::format("\nPath: {}\n", entry.file);
    file = entry.file;
    text += list_entry(entry);
  }
  return text + "\nPath: [built-in]\n  Policy: Undefined\n    rights: None\n";
}

}  // namespace smalti
