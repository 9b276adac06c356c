// libvips' decoders, one function a format: lazy, sequential images whose header is read.
#pragma once

#include "ops/format.h"

namespace smalti::ops {

Result<VipsPtr> open_jpeg(const Decode&);
Result<VipsPtr> open_png(const Decode&);
Result<VipsPtr> open_tiff(const Decode&);
Result<VipsPtr> open_webp(const Decode&);
Result<VipsPtr> open_gif(const Decode&);
Result<VipsPtr> open_jp2(const Decode&);

// For formats whose headers we do not read ourselves: what the decoder says of them.
Result<std::vector<Leaf>> probe_gif(const InputFile&);
Result<std::vector<Leaf>> probe_jp2(const InputFile&);

}  // namespace smalti::ops
