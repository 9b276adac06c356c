// Pictures in the cluster that have a name: "dpc:slide1". Private to ops/.
#pragma once

#include <string>

#include "ops/picture.h"
#include "ops/state.h"

namespace smalti::ops {

// Reads nothing yet: pixels are fetched as they are asked for. `select`: what stood in brackets, a part such as
// "1000x800+50000+20000"; empty: all of it.
Result<Picture> open_named(const Workshop&, const Call&, const std::string& name, const std::string& select);

// Computes the picture straight onto the servers. Readers get it when it is whole, and until then what was there before.
Result<void> write_named(const Workshop&, const Call&, const PictureState&, const std::string& name);

}  // namespace smalti::ops
