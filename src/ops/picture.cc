#include "ops/picture.h"

#include <fmt/format.h>

#include "ops/cached_sink.h"
#include "ops/cached_source.h"
#include "ops/metadata.h"
#include "ops/op_point.h"
#include "ops/passes.h"
#include "ops/state.h"

namespace smalti::ops {

namespace {

std::string colorspace_of(const PictureState& state) {
  if (state.linear) return "RGB";
  switch (state.image->Type) {
    case VIPS_INTERPRETATION_B_W:
    case VIPS_INTERPRETATION_GREY16:
      return "Gray";
    case VIPS_INTERPRETATION_CMYK:
      return "CMYK";
    default:
      return "sRGB";
  }
}

}  // namespace

Facts facts_of(const Picture& picture) {
  const PictureState& state = picture.state();
  Facts facts;
  facts.file = state.file;
  facts.format = state.format;
  facts.scene = state.scene;
  facts.size = {static_cast<std::uint32_t>(state.image->Xsize),
                static_cast<std::uint32_t>(state.image->Ysize)};
  facts.page = state.page.size.empty() ? Rect{state.page.x, state.page.y, facts.size} : state.page;
  facts.depth = state.depth;
  facts.colorspace = colorspace_of(state);
  facts.channels = static_cast<std::uint32_t>(state.image->Bands);
  facts.alpha = state.alpha;
  facts.file_bytes = state.file_bytes;
  return facts;
}

Result<VipsPtr> storable(const Workshop& workshop, const PictureState& in) {
  // Eight bits straight from a file lose nothing by staying so; an operator's result is ushort by now.
  const bool as_read = in.image->BandFmt == VIPS_FORMAT_UCHAR && workshop.quantum.depth == 16;
  if (as_read || in.image->BandFmt == VIPS_FORMAT_FLOAT) return share(in.image);
  return to_depth(in.image, static_cast<int>(workshop.quantum.depth));
}

Result<Picture> cached(const Workshop& workshop, const Call& call, const Picture& picture) {
  const PictureState& in = picture.state();
  if (!in.derived && !in.once) return picture;
  SMALTI_TRY(VipsPtr image, storable(workshop, in));
  const Run run{fmt::format("computing '{}'", in.file), in.flow, Errc::internal, false, false, {}};
  const Passing pass(workshop, in, "");
  SMALTI_TRY(auto cache, sink(workshop, call, image, run, in.file, in.scene));
  pass.told();
  auto flow = std::make_shared<Flow>(call);
  SMALTI_TRY(VipsPtr over, image_over(cache, flow, image->Type, charge_pipeline(workshop, image.get())));
  copy_metadata(in.image.get(), over.get());
  PictureState out = in.with(std::move(over));
  out.cache = std::move(cache);
  out.flow = std::move(flow);
  out.derived = out.once = out.streams = false;
  out.works.clear();
  return Picture(std::make_shared<const PictureState>(std::move(out)));
}

}  // namespace smalti::ops
