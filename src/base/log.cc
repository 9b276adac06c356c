#include "smalti/base/log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>

namespace smalti {

void Log::line(Level level, std::string_view text) {
  if (!wants(level)) return;
  const std::lock_guard lock(mutex_);
  sink_(level, text);
}

Log::Sink Log::stderr_sink() {
  return [](Level level, std::string_view text) {
    static constexpr std::array<std::string_view, 4> names{"debug", "info", "warning", "error"};
    const std::string line = fmt::format("{:%Y-%m-%dT%H:%M:%SZ} smalti[{}] {}: {}\n", fmt::gmtime(std::time(nullptr)),
                                         ::getpid(), names[static_cast<std::size_t>(level)], text);
    std::fwrite(line.data(), 1, line.size(), stderr);
  };
}

}  // namespace smalti
