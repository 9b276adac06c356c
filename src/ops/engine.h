// Engine: libvips, started for this process. The house makes one before any picture and keeps it as long as
// there are pictures.
#pragma once

#include <cstdint>
#include <memory>

#include "smalti/base/log.h"
#include "smalti/base/result.h"

namespace smalti::ops {

struct EngineOptions {
  std::uint32_t threads = 1;  // workers that compute; 0: one a processor
};

// Owned by the house; made and destroyed on one thread. One at a time in a process (libvips is process-wide):
// a later one takes the settings and the log over.
class Engine {
 public:
  virtual ~Engine() = default;
};

// Starts libvips: workers, no operation cache, warnings into `log`, only the decoders we vouch for, and a
// heap that gives freed buffers back. Fails with Errc::internal when libvips does not start. REQUIRES: log
// outlives the Engine.
Result<std::unique_ptr<Engine>> start_engine(EngineOptions options, Log& log);

}  // namespace smalti::ops
