#include "cli/program.h"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <mutex>

#include "cli/listing.h"
#include "cli/progress.h"
#include "cli/run.h"
#include "cli/script.h"
#include "cli/serve.h"
#include "cli/signals.h"
#include "client/names.h"
#include "house/house.h"
#include "house/names_report.h"
#include "house/probe.h"
#include "house/report.h"
#include "policy/policies.h"
#include "policy/resolve.h"
#include "policy/words.h"

namespace smalti::cli {

namespace {

// Work that is done sooner draws no bar, unless -monitor asks for it.
constexpr auto quiet_for = std::chrono::seconds(1);

std::string_view name_of_program(std::span<const std::string_view> argv) {
  const std::string_view path = argv.empty() ? std::string_view("smalti") : argv[0];
  return path.substr(path.rfind('/') + 1);
}

// stdout; false where nobody could read it.
bool print(std::string_view text) {
  return std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
}

// Lines for people on stderr, whole, and never through the progress bar.
class Voice {
 public:
  Voice(std::string_view name, ProgressStyle style, Clock::duration quiet)
      : name_(name), bar_(STDERR_FILENO, style, quiet) {}

  void line(std::string_view text) {
    const std::lock_guard lock(mutex_);
    bar_.clear();
    const std::string whole = fmt::format("{}\n", text);
    std::fwrite(whole.data(), 1, whole.size(), stderr);
  }
  // ImageMagick's way: "smalti: what happened".
  void complain(std::string_view text) { line(fmt::format("{}: {}", name_, text)); }
  ProgressBar& bar() noexcept { return bar_; }

 private:
  const std::string name_;
  std::mutex mutex_;
  ProgressBar bar_;
};

ops::CacheWatch watch_of(const Script& script, house::House& house, Voice& voice) {
  if (!script.debug_cache && !script.verbose) return {};
  return [&script, &house, &voice](ops::CacheEvent event, const std::string& name, std::uint32_t scene,
                                   const PixelCache& cache) {
    if (event == ops::CacheEvent::closing) {
      if (script.debug_cache) voice.line(house::destroy_line(name, scene));
      if (script.verbose)
        voice.line(fmt::format("{}[{}]:\n{}", name, scene, house::cache_line(cache.counts())));
      return;
    }
    const auto uses = house::uses_of(*house.store, cache.id());
    if (script.debug_cache) voice.line(house::open_line(name, scene, cache.spec(), uses));
    if (!script.verbose) return;
    std::string text =
        fmt::format("{}[{}]: {}x{}x{}, {} stored", name, scene, cache.spec().size.w, cache.spec().size.h,
                    cache.spec().format.channels, house::short_bytes(cache.spec().stored_bytes()));
    for (const std::string& line : house::tier_lines(uses)) text += "\n" + line;
    voice.line(text);
  };
}

// Each pass is told with what the store answered since the one before.
ops::PassWatch passes_of(const Script& script, house::House& house, Voice& voice) {
  if (!script.verbose) return {};
  return [&house, &voice, before = house::counts_of(*house.store)](const ops::Pass& pass) mutable {
    auto now = house::counts_of(*house.store);
    voice.line(house::pass_text(pass, before, now));
    before = std::move(now);
  };
}

void tell_totals(const house::House& house, Clock::time_point from, Voice& voice) {
  std::string text = fmt::format("total: {:.3f} s, at most {} of memory, {} of map, {} of disk",
                                 std::chrono::duration<double>(Clock::now() - from).count(),
                                 house::short_bytes(house.ledger.peak(Resource::memory)),
                                 house::short_bytes(house.ledger.peak(Resource::map)),
                                 house::short_bytes(house.ledger.peak(Resource::disk)));
  const auto tell = [&text](const Count& count) {
    if (count.value > 0) text += fmt::format("\n  {} {}", count.name, count.value);
  };
  house.store->count(tell);
  if (house.names) house.names->count(tell);
  voice.line(text);
}

Result<void> list(const Script& script, const Policies& policies, const Environment& environment,
                  std::span<const ops::OperatorInfo> operators) {
  std::string text;
  if (same_word(script.list, "policy")) {
    text = list_policy(policies);
  } else if (same_word(script.list, "resource")) {
    SMALTI_TRY(const house::Config config, house::configure(script.asked, policies, environment));
    text = list_resource(config.limits);
  } else {
    text = list_text(script.list, operators);
  }
  if (!print(text)) return fail(Errc::io, "standard output could not be written");
  return {};
}

Result<void> work(const Script& script, const house::Config& config, Signals& signals, Voice& voice) {
  const auto from = Clock::now();
  Log log([&voice](Level, std::string_view text) { voice.complain(text); }, script.verbose ? Level::info
                                                                            : script.quiet ? Level::error
                                                                                           : Level::warning);
  SMALTI_TRY(auto house, house::build(config, house::Purpose::client, log));
  const ops::Workshop workshop = house::workshop_of(
      *house,
      [&voice](std::string_view what, std::uint64_t done, std::uint64_t of) {
        voice.bar().report(what, done, of);
      },
      watch_of(script, *house, voice), passes_of(script, *house, voice));
  const Say say = [&voice](const std::string& text) { voice.line(text); };
  const Say complain = [&voice](const std::string& text) { voice.complain(text); };
  const Call call = house::call_for(*house, signals.stop());
  auto done = run_steps(script, workshop, call, config.temporary.string(), say, complain);
  voice.bar().clear();
  if (!done) return tl::unexpected<Error>(house::explained(*house, call, std::move(done.error())));
  if (script.verbose) tell_totals(*house, from, voice);
  return {};
}

// What needs servers but no pictures.
Result<void> with_names(const Script& script, const house::Config& config, Signals& signals, Voice& voice,
                        const std::function<Result<void>(client::Names&, const Call&)>& act) {
  Log log([&voice](Level, std::string_view text) { voice.complain(text); }, script.verbose ? Level::info
                                                                                           : Level::error);
  if (config.hosts.empty())
    return fail(Errc::invalid, "no pixel servers are set: -define registry:cache:hosts=HOST:PORT,..., or the policy `hosts'");
  SMALTI_TRY(auto house, house::build(config, house::Purpose::client, log));
  const Call call = house::call_for(*house, signals.stop());
  return act(*house->names, call);
}

Result<void> erase(const Script& script, const house::Config& config, Signals& signals, Voice& voice) {
  return with_names(script, config, signals, voice, [&](client::Names& names, const Call& call) -> Result<void> {
    for (const std::string& name : script.names) SMALTI_CHECK(names.erase(call, name, config.forced_delete));
    return {};
  });
}

Result<void> repair(const Script& script, const house::Config& config, Signals& signals, Voice& voice) {
  return with_names(script, config, signals, voice, [&script](client::Names& names, const Call& call) -> Result<void> {
    for (const std::string& name : script.names) {
      SMALTI_TRY(const std::uint64_t copied, names.repair(call, name));
      if (!print(fmt::format("{}: {} tiles were copied, and each has its copies\n", name, copied)))
        return fail(Errc::io, "standard output could not be written");
    }
    return {};
  });
}

Result<void> list_cache(const Script& script, const house::Config& config, Signals& signals, Voice& voice) {
  return with_names(script, config, signals, voice, [](client::Names& names, const Call& call) -> Result<void> {
    SMALTI_TRY(const client::Listing listing, names.list(call));
    if (!print(house::listing_text(listing, house::now_in_milliseconds())))
      return fail(Errc::io, "standard output could not be written");
    return {};
  });
}

// The ports of -distribute-cache beside it are those that the advice names.
Result<void> probe(const Script& script) {
  SMALTI_TRY(const house::Probed probed, house::probe_client(script.probe));
  const std::uint16_t port = script.serve.empty() ? default_port : script.serve[0].port;
  if (!print(house::advice(script.probe, probed, port)))
    return fail(Errc::io, "standard output could not be written");
  return {};
}

Result<void> act(const Script& script, std::string_view name, const Environment& environment,
                 std::span<const ops::OperatorInfo> operators, Signals& signals, Voice& voice) {
  if (script.act == Act::probe) return probe(script);
  if (script.act == Act::help) {
    if (!print(help_text(name, operators))) return fail(Errc::io, "standard output could not be written");
    return {};
  }
  SMALTI_TRY(const Policies policies, load_policies(policy_places(environment)));
  const bool cache_listed = script.act == Act::list && same_word(script.list, "cache");
  if (script.act == Act::list && !cache_listed) return list(script, policies, environment, operators);
  SMALTI_TRY(const house::Config config, house::configure(script.asked, policies, environment));
  if (cache_listed && config.hosts.empty()) return list(script, policies, environment, operators);
  if (cache_listed) return list_cache(script, config, signals, voice);
  if (script.act == Act::erase) return erase(script, config, signals, voice);
  if (script.act == Act::repair) return repair(script, config, signals, voice);
  if (script.act == Act::version) {
    if (!print(version_text(config.quantum))) return fail(Errc::io, "standard output could not be written");
    return {};
  }
  if (!script.quiet)
    for (const std::string& note : config.notes) voice.complain(note);
  if (script.act == Act::serve) return serve(script, config, signals);
  return work(script, config, signals, voice);
}

}  // namespace

int program(std::span<const std::string_view> argv, const Environment& environment) {
  Signals signals;
  const std::string_view name = name_of_program(argv);
  const auto operators = ops::operators();
  const auto script = parse(argv, operators);
  const bool terminal = ::isatty(STDERR_FILENO) == 1;
  const bool monitor = script && script->monitor;
  Voice voice(name, style_for(terminal, monitor), monitor ? Clock::duration{} : Clock::duration{quiet_for});
  if (!script) {
    voice.complain(script.error().what);
    return 1;
  }
  const auto done = act(*script, name, environment, operators, signals, voice);
  if (done) return 0;
  const int caught = signals.caught();
  voice.complain(caught != 0 ? "interrupted: nothing half-written remains" : done.error().what);
  return caught != 0 ? 128 + caught : 1;
}

}  // namespace smalti::cli
