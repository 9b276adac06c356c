#include "ops/engine.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

#include "ops/vips.h"

namespace smalti::ops {

namespace {

// What GLib's handler needs: decoders repeat one warning for every row of a damaged picture; once is enough.
struct Route {
  Log* log = nullptr;
  std::mutex mutex;
  std::string last;  // guarded by mutex

  bool is_new(std::string_view line) {
    const std::lock_guard lock(mutex);
    if (last == line) return false;
    last = line;
    return true;
  }
};

// libvips and GLib are process-wide, and so is their log handler: this is the one place where that shows.
std::atomic<Route*>& current_route() {
  static std::atomic<Route*> current{nullptr};
  return current;
}

void hear(const gchar* domain, GLogLevelFlags level, const gchar* message, gpointer) {
  Route* route = current_route().load(std::memory_order_acquire);
  if (!route) return;
  const bool grave = (level & (G_LOG_LEVEL_ERROR | G_LOG_LEVEL_CRITICAL)) != 0;
  // A line for every strip of a salvaged picture says no more than the first.
  const bool echo = message && std::string_view(message).starts_with("error in tile");
  const Level ours = grave                                         ? Level::error
                     : (level & G_LOG_LEVEL_WARNING) != 0 && !echo ? Level::warning
                                                                   : Level::debug;
  if (!route->log->wants(ours)) return;
  const std::string line = std::string(domain ? domain : "glib") + ": " + (message ? message : "");
  if (route->is_new(line)) route->log->line(ours, line);
}

// Without its plug-ins (other decoders: PDF, slides, a whole ImageMagick) libvips starts in 2 ms, not 26. It
// looks for them under VIPSHOME; an empty folder that does not exist keeps it from looking elsewhere.
Result<void> start_once() {
  static const int failed = [] {
    const char* home = std::getenv("VIPSHOME");
    const std::string before = home ? home : "";
    setenv("VIPSHOME", "/nonexistent/smalti", 1);
    const int result = VIPS_INIT("smalti");
    if (home)
      setenv("VIPSHOME", before.c_str(), 1);
    else
      unsetenv("VIPSHOME");
    return result;
  }();
  if (failed != 0) return vips_fail(Errc::internal, "libvips does not start");
  return {};
}

// Decoders of hostile bytes: only those that we offer and test.
void choose_decoders() {
  vips_operation_block_set("VipsForeignLoad", TRUE);
  for (const char* loader :
       {"VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadTiff", "VipsForeignLoadWebp",
        "VipsForeignLoadPpm", "VipsForeignLoadNsgif", "VipsForeignLoadJp2k"})
    vips_operation_block_set(loader, FALSE);
}

// Strips of pixels are large and short-lived, and freed by other threads than took them: with an arena a
// thread and a threshold that grows, freed strips would stay resident, beyond every limit.
void tune_heap() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_MMAP_THRESHOLD, 128 << 10);
  mallopt(M_TRIM_THRESHOLD, 4 << 20);
}

class VipsEngine final : public Engine {
 public:
  explicit VipsEngine(Log& log) {
    route_.log = &log;
    before_ = g_log_set_default_handler(hear, nullptr);
    current_route().store(&route_, std::memory_order_release);
  }
  ~VipsEngine() override {
    Route* mine = &route_;
    if (current_route().compare_exchange_strong(mine, nullptr)) g_log_set_default_handler(before_, nullptr);
  }

 private:
  Route route_;
  GLogFunc before_;
};

}  // namespace

Result<std::unique_ptr<Engine>> start_engine(EngineOptions options, Log& log) {
  tune_heap();
  SMALTI_CHECK(start_once());
  choose_decoders();
  vips_concurrency_set(static_cast<int>(options.threads));
  vips_cache_set_max(0);
  vips_cache_set_max_mem(0);
  vips_cache_set_max_files(0);
  return std::unique_ptr<Engine>(std::make_unique<VipsEngine>(log));
}

}  // namespace smalti::ops
