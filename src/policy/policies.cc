#include "policy/policies.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <utility>

#include "policy/units.h"
#include "policy/words.h"

namespace smalti {

namespace fs = std::filesystem;

namespace {

constexpr int deepest_include = 8;
constexpr std::size_t most_files = 64;

class Loader {
 public:
  Result<void> load(const PolicyPlace& place) {
    std::error_code ignored;
    fs::path real = fs::weakly_canonical(place.file, ignored);
    if (!seen_.insert(ignored ? place.file : real).second) return {};  // listed twice
    cache_only_ = place.cache_only;
    SMALTI_TRY(const std::optional<std::string> text, slurp(place.file));
    if (!text) return {};
    return take(*text, place.file, 0);
  }

  Policies done() && { return std::move(policies_); }

 private:
  Result<void> take(const std::string& text, const fs::path& file, int depth) {
    if (++files_ > most_files)
      return fail(Errc::invalid,
                  fmt::format("policy {}: more than {} policy files", file.string(), most_files));
    SMALTI_TRY(std::vector<PolicyItem> items, parse_policy(text, file.string()));
    for (PolicyItem& item : items) {
      if (auto* entry = std::get_if<PolicyEntry>(&item)) {
        if (!cache_only_ || entry->domain == Domain::cache) policies_.entries.push_back(std::move(*entry));
      } else {
        SMALTI_CHECK(include(std::get<PolicyInclude>(item), file, depth));
      }
    }
    return {};
  }

  Result<void> include(const PolicyInclude& include, const fs::path& from, int depth) {
    const auto wrong = [&](std::string_view what) {
      return fail(Errc::invalid, fmt::format("policy {} line {}: <include file=\"{}\">: {}", from.string(),
                                             include.line, include.target, what));
    };
    if (depth == deepest_include) return wrong("too many files include one another");
    const fs::path target = from.parent_path() / include.target;
    auto text = slurp(target);
    if (!text) return wrong(text.error().what);
    if (!*text) return wrong("no such file");
    return take(**text, target, depth + 1);
  }

  // nullopt: there is none, or it is another program's and not for our eyes.
  Result<std::optional<std::string>> slurp(const fs::path& file) const {
    // Non-blocking: a fifo in a policy's place must not hang every run.
    const int descriptor = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (descriptor < 0) {
      const int why = errno;
      if (why == ENOENT || why == ENOTDIR || (cache_only_ && why == EACCES))
        return std::optional<std::string>();
      return fail(Errc::io, "policy " + file.string(), why);
    }
    std::string text(longest_policy + 1, '\0');  // one more: parse_policy refuses what is longer
    std::size_t have = 0;
    ssize_t got = 1;
    while (got > 0 && have < text.size()) {
      got = ::read(descriptor, text.data() + have, text.size() - have);
      if (got > 0) have += static_cast<std::size_t>(got);
      if (got < 0 && errno == EINTR) got = 1;
    }
    const int why = got < 0 ? errno : 0;
    ::close(descriptor);
    if (why != 0) return fail(Errc::io, "policy " + file.string(), why);
    text.resize(have);
    return std::optional<std::string>(std::move(text));
  }

  Policies policies_;
  std::set<fs::path> seen_;
  std::size_t files_ = 0;
  bool cache_only_ = false;
};

// Resources of ImageMagick's that are no limits of ours, and so no reason for a note.
bool known_elsewhere(std::string_view name) noexcept {
  for (const std::string_view known : {"temporary-path", "dynamic-throttle", "max-memory-request", "shred"})
    if (same_word(name, known)) return true;
  return false;
}

void add_folders(std::vector<PolicyPlace>& places, const std::optional<std::string>& list) {
  if (!list) return;
  std::string_view rest = *list;
  while (!rest.empty()) {
    const std::size_t colon = std::min(rest.find(':'), rest.size());
    if (colon > 0) places.push_back({fs::path(rest.substr(0, colon)) / "policy.xml"});
    rest.remove_prefix(std::min(colon + 1, rest.size()));
  }
}

}  // namespace

std::vector<PolicyPlace> policy_places(const Environment& environment, const fs::path& root) {
  std::vector<PolicyPlace> places;
  add_folders(places, environment("SMALTI_CONFIGURE_PATH"));
  add_folders(places, environment("MAGICK_CONFIGURE_PATH"));
  places.push_back({root / "etc/smalti/policy.xml"});
  std::vector<fs::path> homes;
  if (const auto xdg = environment("XDG_CONFIG_HOME")) homes.emplace_back(*xdg);
  if (const auto home = environment("HOME")) homes.push_back(fs::path(*home) / ".config");
  if (!homes.empty()) places.push_back({homes.front() / "smalti/policy.xml"});
  for (const fs::path& home : homes) places.push_back({home / "ImageMagick/policy.xml"});
  places.push_back({root / "etc/ImageMagick-7/policy.xml", true});
  places.push_back({root / "etc/ImageMagick-6/policy.xml", true});
  return places;
}

const PolicyEntry* Policies::first(Domain domain, std::string_view name) const noexcept {
  for (const PolicyEntry& entry : entries)
    if (entry.domain == domain && !entry.value.empty() && same_word(entry.name, name)) return &entry;
  return nullptr;
}

Result<Ceilings> Policies::ceilings() const {
  Ceilings lowest;
  for (const PolicyEntry& entry : entries) {
    if (entry.domain != Domain::resource || entry.value.empty()) continue;
    const auto what = resource_named(entry.name);
    if (!what) continue;
    const auto amount = parse_amount(*what, entry.value);
    if (!amount) return pass(amount.error(), entry.where());
    std::optional<Ceiling>& so_far = lowest[static_cast<std::size_t>(*what)];
    const bool stricter =
        !so_far || (*what == Resource::throttle ? *amount > so_far->amount : *amount < so_far->amount);
    if (stricter) so_far = Ceiling{*amount, entry.where()};
  }
  return lowest;
}

std::vector<std::string> Policies::notes() const {
  std::vector<std::string> notes;
  for (const PolicyEntry& entry : entries)
    if (entry.domain == Domain::resource && !resource_named(entry.name) && !known_elsewhere(entry.name))
      notes.push_back(
          fmt::format("{}: unknown resource `{:.64}', which limits nothing", entry.where(), entry.name));
  return notes;
}

Result<Policies> load_policies(const std::vector<PolicyPlace>& places) {
  Loader loader;
  for (const PolicyPlace& place : places) SMALTI_CHECK(loader.load(place));
  return std::move(loader).done();
}

}  // namespace smalti
