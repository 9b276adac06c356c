// Site: everything that a program needs to keep images in the pixel cache, built as the command line builds it.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "smalti/base/log.h"
#include "smalti/cache/pixel_cache.h"

namespace smalti {

// The words of the command line, in their order; each beats the policies and the environment as it does there.
struct SiteOptions {
  std::vector<std::pair<std::string, std::string>> limits;   // -limit: {"memory", "1GiB"}
  std::vector<std::pair<std::string, std::string>> defines;  // -define: {"cache:hosts", "10.0.0.1:6668,10.0.0.2"}
  // The servers' shared secret; empty: as policy.xml says. Never logged.
  std::string secret;
  // Warnings, such as that a server was lost; any thread. Empty: nobody listens.
  Log::Sink log;
};

// One a process is enough: its caches share one account of memory, map, disk and servers. Thread-safe.
class Site {
 public:
  // Reads policy.xml and the environment (MAGICK_MEMORY_LIMIT, ...) as smalti does. Fails with Errc::invalid on a
  // limit, define or policy that is wrong, and names it. No server is asked before pixels go there.
  static Result<std::unique_ptr<Site>> open(SiteOptions = {});
  ~Site();

  // What PixelCache::create() takes. REQUIRES: the site outlives every cache made with it.
  CacheParts parts() noexcept;

 private:
  struct Rooms;
  explicit Site(std::unique_ptr<Rooms>);
  std::unique_ptr<Rooms> rooms_;
};

}  // namespace smalti
