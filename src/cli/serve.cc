#include "cli/serve.h"

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <mutex>

#include "house/serve.h"
#include "smalti/base/log.h"

namespace smalti::cli {

namespace {

// A server that is told to go ends soon: what its clients hold there is lost to them either way.
constexpr auto drain_grace = std::chrono::seconds(1);

void wait_for(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::unique_lock lock(mutex);
  changed.wait(lock, stop, [] { return false; });
}

}  // namespace

Result<void> serve(const Script& script, const house::Config& config, Signals& signals) {
  Log log(Log::stderr_sink(), script.debug_cache ? Level::debug : Level::info);
  SMALTI_TRY(auto house, house::open_ports(config, script.serve, log));
  for (const auto& server : house->servers) {
    const std::string line = house::ready_line(*house, *server) + "\n";
    if (std::fwrite(line.data(), 1, line.size(), stdout) != line.size() || std::fflush(stdout) != 0)
      return fail(Errc::io, "standard output could not be written");
  }
  wait_for(signals.stop());
  log.line(Level::info, "told to end: draining");
  house->drain(drain_grace);
  return {};
}

}  // namespace smalti::cli
