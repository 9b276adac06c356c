#include "ops/state.h"

#include <utility>

namespace smalti::ops {

PictureState PictureState::with(VipsPtr pixels) const {
  PictureState next;
  next.image = std::move(pixels);
  next.cache = cache;
  next.flow = flow;
  next.alpha = alpha;
  next.derived = derived;
  next.once = once;
  next.streams = streams;
  next.works = works;
  next.indexed = indexed;
  next.linear = linear;
  next.depth = depth;
  next.page = page;
  next.quality = quality;
  next.packing = packing;
  next.file = file;
  next.format = format;
  next.scene = scene;
  next.file_bytes = file_bytes;
  return next;
}

}  // namespace smalti::ops
