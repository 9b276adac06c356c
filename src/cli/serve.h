// Being a pixel server.
#pragma once

#include "cli/script.h"
#include "cli/signals.h"
#include "house/config.h"

namespace smalti::cli {

// Opens the ports of -distribute-cache, says so on stdout, serves until a signal comes, and drains. Fails
// where no shared secret is set, or a port cannot be opened.
Result<void> serve(const Script&, const house::Config&, Signals&);

}  // namespace smalti::cli
