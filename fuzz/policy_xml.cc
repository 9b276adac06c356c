// Any bytes are a policy or an error that names a line of theirs.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/policies.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace smalti;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto lines = static_cast<std::uint32_t>(std::count(text.begin(), text.end(), '\n')) + 1;
  auto items = parse_policy(text, "fuzz");
  if (!items) {
    if (items.error().code != Errc::invalid || !items.error().what.starts_with("policy fuzz line "))
      std::abort();
    return 0;
  }
  Policies policies;
  for (PolicyItem& item : *items) {
    auto* entry = std::get_if<PolicyEntry>(&item);
    if (!entry) continue;
    if (entry->line < 1 || entry->line > lines) std::abort();
    policies.entries.push_back(std::move(*entry));
  }
  (void)policies.ceilings();
  (void)policies.notes();
  (void)policies.first(Domain::cache, "shared-secret");
  return 0;
}
