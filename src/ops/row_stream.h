// A decoder's rows for a chain that needs no cache: each is decoded once and kept as long as somebody below
// it wants it. Private to ops/.
#pragma once

#include <string>
#include <vector>

#include "ops/flow.h"
#include "ops/vips.h"
#include "smalti/policy/limits.h"

namespace smalti::ops {

// REQUIRES: its readers go over it once, from the first row to the last, and tell so (foresight.h): rows go
// when the last step that was told to want them is done with; those of readers that tell nothing stay. What
// is kept is charged to Resource::memory. An error of the decoder lands in the flow, as Errc::corrupt and
// with `what` in front. `held` is given back with the image. REQUIRES: the Ledger outlives it.
Result<VipsPtr> row_stream(const VipsPtr& decoded, FlowPtr flow, std::string what, Ledger&,
                           std::vector<Hold> held);

}  // namespace smalti::ops
