#include "house/config.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <span>

#include "policy/machine.h"
#include "policy/resolve.h"
#include "policy/units.h"
#include "policy/words.h"

namespace smalti::house {

namespace fs = std::filesystem;

namespace {

// What a row's setter works on.
struct Draft {
  Config config;
  std::optional<std::string> temporary;
  std::optional<Encryption> least_encryption;  // what a policy asks for
  bool from_policy = false;
};

using Set = Result<void> (*)(Draft&, std::string_view value);

template <class T>
struct Word {
  std::string_view word;
  T value;
};

template <class T, std::size_t N>
Result<T> choose(std::string_view value, const std::array<Word<T>, N>& words) {
  std::string known;
  for (const auto& row : words) {
    if (same_word(value, row.word)) return row.value;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", row.word);
  }
  return fail(Errc::invalid, fmt::format("`{}' is none of {}", value, known));
}

Result<std::uint32_t> whole_number(std::string_view value, std::uint32_t least, std::uint32_t most) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (value.empty() || error != std::errc() || end != value.data() + value.size() || number < least ||
      number > most)
    return fail(Errc::invalid, fmt::format("`{}' is no whole number from {} to {}", value, least, most));
  return number;
}

Result<bool> flag(std::string_view value) {
  const auto known = parse_flag(value.empty() ? "true" : value);
  if (!known) return fail(Errc::invalid, fmt::format("`{}' is neither true nor false", value));
  return *known;
}

Result<void> set_hosts(Draft& draft, std::string_view value) {
  SMALTI_TRY(draft.config.hosts, parse_hosts(value));
  draft.config.hosts_defined = !draft.from_policy;
  return {};
}

Result<void> set_placement(Draft& draft, std::string_view value) {
  static constexpr std::array<Word<Placement>, 3> words{{{"auto", Placement::automatic},
                                                         {"round-robin", Placement::round_robin},
                                                         {"sharded", Placement::sharded}}};
  SMALTI_TRY(draft.config.placement, choose(value, words));
  return {};
}

Result<void> set_share(Draft& draft, std::string_view value) {
  static constexpr std::array<Word<bool>, 2> words{{{"auto", true}, {"none", false}}};
  SMALTI_TRY(draft.config.share, choose(value, words));
  return {};
}

Result<void> set_compress(Draft& draft, std::string_view value) {
  static constexpr std::array<Word<Compress>, 4> words{{{"auto", Compress::automatic},
                                                        {"none", Compress::none},
                                                        {"lz4", Compress::lz4},
                                                        {"zstd", Compress::zstd}}};
  SMALTI_TRY(draft.config.compress, choose(value, words));
  return {};
}

Result<void> set_encryption(Draft& draft, std::string_view value) {
  static constexpr std::array<Word<Encryption>, 3> words{
      {{"native", Encryption::native}, {"required", Encryption::required}, {"none", Encryption::none}}};
  SMALTI_TRY(draft.config.encryption, choose(value, words));
  if (draft.from_policy)
    draft.least_encryption = draft.config.encryption;
  else if (draft.least_encryption && draft.config.encryption < *draft.least_encryption)
    return fail(Errc::invalid, fmt::format("the policy `encryption' asks for more than `{}'", value));
  return {};
}

Result<void> set_first(Draft& draft, std::string_view value) {
  SMALTI_TRY(draft.config.first, whole_number(value, 0, 1u << 20));
  return {};
}

Result<void> set_replicas(Draft& draft, std::string_view value) {
  SMALTI_TRY(draft.config.replicas, whole_number(value, 1, 8));
  return {};
}

Result<void> set_greetings(Draft& draft, std::string_view value) {
  draft.config.greetings.clear();
  while (true) {
    const std::string_view word = value.substr(0, value.find(','));
    Greeting greeting;
    if (!same_word(word, "none")) {
      SMALTI_TRY(greeting, wire::magick::parse_dialect(word));
    }
    draft.config.greetings.push_back(greeting);
    if (word.size() == value.size()) return {};
    value.remove_prefix(word.size() + 1);
  }
}

Result<void> set_allow(Draft& draft, std::string_view value) {
  SMALTI_TRY(draft.config.allow, net::parse_networks(value));
  return {};
}

Result<void> set_spin(Draft& draft, std::string_view value) {
  SMALTI_TRY(draft.config.spin, flag(value));
  return {};
}

Result<void> set_quota(Draft& draft, std::string_view value) {
  SMALTI_TRY(draft.config.quota, parse_amount(Resource::memory, value));
  return {};
}

Result<void> set_persist(Draft& draft, std::string_view value) {
  if (value.empty()) return fail(Errc::invalid, "name a folder");
  draft.config.persist = std::filesystem::path(value);
  return {};
}

Result<void> set_grace(Draft& draft, std::string_view value) {
  SMALTI_TRY(const std::uint64_t seconds, parse_amount(Resource::time, value));
  if (seconds < 1 || seconds > 86400) return fail(Errc::invalid, fmt::format("`{}' is not between a second and a day", value));
  draft.config.grace = std::chrono::seconds(seconds);
  return {};
}

Result<void> set_clients(Draft& draft, std::string_view value) {
  SMALTI_TRY(draft.config.clients, whole_number(value, 1, 1u << 16));
  return {};
}

Result<void> set_strangers(Draft& draft, std::string_view value) {
  SMALTI_TRY(draft.config.strangers, whole_number(value, 1, 1u << 16));
  return {};
}

Result<void> set_depth(Draft& draft, std::string_view value) {
  static constexpr std::array<Word<std::uint32_t>, 2> words{{{"8", 8}, {"16", 16}}};
  SMALTI_TRY(draft.config.quantum.depth, choose(value, words));
  return {};
}

Result<void> set_hdri(Draft& draft, std::string_view value) {
  SMALTI_TRY(draft.config.quantum.hdri, flag(value));
  return {};
}

Result<void> set_salvage(Draft& draft, std::string_view value) {
  SMALTI_TRY(draft.config.salvage, flag(value));
  return {};
}

Result<void> set_forced(Draft& draft, std::string_view value) {
  if (draft.from_policy) return fail(Errc::invalid, "it is for one command: give it with -define");
  SMALTI_TRY(draft.config.forced_delete, flag(value));
  return {};
}

Result<void> set_stream(Draft& draft, std::string_view value) {
  static constexpr std::array<Word<bool>, 2> words{{{"never", false}, {"auto", true}}};
  SMALTI_TRY(draft.config.stream, choose(value, words));
  return {};
}

Result<void> set_temporary(Draft& draft, std::string_view value) {
  draft.temporary = std::string(value);
  return {};
}

Result<void> ignore(Draft&, std::string_view) { return {}; }  // understood by ImageMagick, of no use to us

struct Row {
  std::string_view key;     // of -define
  std::string_view policy;  // the same in a policy of domain cache; empty: none
  std::string_view value;   // for people
  std::string_view help;    // empty: not told
  Set set;
};

// Adding a define is adding a row.
constexpr std::array rows{
    Row{"registry:cache:hosts", "hosts", "HOST[:PORT],...", "pixel servers for what fits nowhere here",
        set_hosts},
    Row{"cache:hosts", "", "HOST[:PORT],...", "the same", set_hosts},
    Row{"cache:placement", "placement", "auto|round-robin|sharded",
        "whole images server by server, or each image over all servers; auto: by size", set_placement},
    Row{"cache:first", "first", "N", "the server of the first whole image, from 0; else drawn at random",
        set_first},
    Row{"cache:replicas", "replicas", "1..8", "servers that have each tile, so that others may be lost",
        set_replicas},
    Row{"cache:encryption", "encryption", "native|required|none",
        "between Smalti peers always; and none in clear but from this host; or not at all", set_encryption},
    Row{"cache:compress", "compress", "auto|none|lz4|zstd",
        "tiles on their way to and from servers; auto: where pixels then move faster, as measured", set_compress},
    Row{"cache:shared-memory", "shared-memory", "auto|none",
        "with servers on this host: tiles pass in memory that both map", set_share},
    Row{"cache:magick", "magick", "n16|n8|s|l|none,...",
        "the handshake that each port greets ImageMagick's clients with; -probe-client finds a client's",
        set_greetings},
    Row{"cache:allow", "allow", "NETWORK,...",
        "where ImageMagick's clients may come from; handshakes s and l: else this host", set_allow},
    Row{"cache:spin", "spin", "true|false", "answer ImageMagick's clients elsewhere sooner, on an idle core",
        set_spin},
    Row{"cache:quota", "quota", "BYTES", "what named images may hold on a server", set_quota},
    Row{"cache:persist", "persist", "FOLDER", "where a server keeps named images through restarts", set_persist},
    Row{"cache:grace", "grace", "SECONDS", "for which a server keeps the unnamed images and locks of a client that is gone",
        set_grace},
    Row{"cache:forced-delete", "", "true|false",
        "-delete-cache without a majority: the servers that cannot be reached are gone for good", set_forced},
    Row{"cache:max-dpc-clients", "max-dpc-clients", "N", "connections that a server takes", set_clients},
    Row{"cache:max-dpc-unauthenticated-clients", "max-dpc-unauthenticated-clients", "N",
        "of these, connections that have not proved the secret", set_strangers},
    Row{"cache:stream", "stream", "never|auto",
        "auto: what is read once and downward goes from decoder to encoder without a cache", set_stream},
    Row{"quantum:depth", "quantum:depth", "8|16", "bits of arithmetic and of stored results", set_depth},
    Row{"quantum:hdri", "quantum:hdri", "true|false", "floating-point samples", set_hdri},
    Row{"input:salvage", "", "true|false", "take what a truncated picture has, instead of an error",
        set_salvage},
    Row{"registry:temporary-path", "", "FOLDER", "where pixels on disk are kept", set_temporary},
    Row{"registry:precision", "", "", "", ignore},
    Row{"registry:date:precision", "", "", "", ignore},
    Row{"registry:option:pedantic", "", "", "", ignore},
    Row{"registry:filename:literal", "", "", "", ignore},
    Row{"cache:synchronize", "synchronize", "", "", ignore},
    Row{"cache:memory-map", "memory-map", "", "", ignore},
};

bool ours(std::string_view key) noexcept {
  for (const std::string_view space : {"cache:", "registry:", "quantum:", "input:"})
    if (key.starts_with(space)) return true;
  return false;
}

Result<void> apply_policies(Draft& draft, const Policies& policies) {
  draft.from_policy = true;
  for (const Row& row : rows) {
    if (row.policy.empty()) continue;
    const PolicyEntry* entry = policies.first(Domain::cache, row.policy);
    if (!entry && row.key.starts_with("quantum:")) entry = policies.first(Domain::system, row.policy);
    if (!entry) continue;
    if (auto set = row.set(draft, entry->value); !set)
      return pass(set.error(), fmt::format("{}: {}", entry->where(), row.policy));
  }
  draft.from_policy = false;
  if (const PolicyEntry* entry = policies.first(Domain::cache, "shared-secret"))
    draft.config.secret = Secret(entry->value);
  return {};
}

Result<void> apply_define(Draft& draft, std::string_view key, std::string_view value) {
  for (const Row& row : rows) {
    if (!same_word(row.key, key)) continue;
    if (auto set = row.set(draft, value); !set) return pass(set.error(), fmt::format("-define {}", row.key));
    return {};
  }
  if (!ours(key)) {  // a codec's, which reads it where it is needed; unless a letter is wrong
    static constexpr std::array<std::string_view, 6> spaces{"cache", "registry", "quantum", "input", "jpeg", "tiff"};
    const std::size_t colon = std::min(key.find(':'), key.size());
    const auto near = nearest_word(key.substr(0, colon), spaces);
    const std::string meant = near ? std::string(*near) + std::string(key.substr(colon)) : std::string();
    for (const Row& row : rows)
      if (same_word(row.key, meant))
        return fail(Errc::invalid, fmt::format("unrecognized define `{}': did you mean `{}'?", key, row.key));
    return {};
  }
  std::array<std::string_view, rows.size()> known;
  for (std::size_t i = 0; i < rows.size(); ++i) known[i] = rows[i].key;
  return fail(Errc::invalid, fmt::format("unrecognized define `{}'{}", key, did_you_mean(key, known)));
}

std::vector<std::string> notes_of(const Policies& policies) {
  std::vector<std::string> notes = policies.notes();
  for (const PolicyEntry& entry : policies.entries) {
    if (entry.domain != Domain::cache || entry.name.empty() || same_word(entry.name, "shared-secret"))
      continue;
    std::array<std::string_view, rows.size()> known;
    std::size_t count = 0;
    bool found = false;
    for (const Row& row : rows) {
      if (row.policy.empty()) continue;
      known[count++] = row.policy;
      found = found || same_word(row.policy, entry.name);
    }
    if (!found)
      notes.push_back(fmt::format("{}: unknown cache policy `{:.64}'{}", entry.where(), entry.name,
                                  did_you_mean(entry.name, std::span(known).first(count))));
  }
  return notes;
}

fs::path state_folder(const Environment& environment) {
  if (const auto state = environment("XDG_STATE_HOME")) return fs::path(*state) / "smalti";
  if (const auto home = environment("HOME")) return fs::path(*home) / ".local/state/smalti";
  return "/var/lib/smalti";
}

}  // namespace

Result<Config> configure(const Asked& asked, const Policies& policies, const Environment& environment,
                         const fs::path& root) {
  Draft draft;
  SMALTI_CHECK(apply_policies(draft, policies));
  for (const auto& [key, value] : asked.defines) SMALTI_CHECK(apply_define(draft, key, value));
  Config config = std::move(draft.config);
  SMALTI_TRY(config.temporary, temporary_folder(draft.temporary, policies, environment));
  SMALTI_TRY(const Ceilings ceilings, policies.ceilings());
  const Limits defaults = default_limits(measure_machine(config.temporary, root));
  SMALTI_TRY(config.limits, effective_limits(defaults, environment, asked.limits, ceilings));
  config.state = state_folder(environment);
  config.notes = notes_of(policies);
  return config;
}

std::vector<DefineInfo> defines() {
  std::vector<DefineInfo> infos;
  for (const Row& row : rows)
    if (!row.help.empty()) infos.push_back({row.key, row.value, row.help});
  return infos;
}

}  // namespace smalti::house
