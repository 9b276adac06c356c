#include "ops/named.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/names.h"
#include "ops/cached_sink.h"
#include "ops/cached_source.h"
#include "ops/sidecar.h"

namespace smalti::ops {

namespace {

Result<client::Names*> names_of(const Workshop& workshop, const std::string& name) {
  if (workshop.names) return workshop.names;
  return fail(Errc::invalid, fmt::format("`dpc:{}': no pixel servers are set; say where images with names are kept: "
                                         "-define registry:cache:hosts=HOST:PORT,..., or the policy `hosts'", name));
}

// The pixels alone: libvips' idea of an image of this spec.
Result<VipsPtr> shape_of(const ImageSpec& spec, VipsInterpretation interpretation) {
  const auto format = spec.format.sample == Sample::u8    ? VIPS_FORMAT_UCHAR
                      : spec.format.sample == Sample::u16 ? VIPS_FORMAT_USHORT
                                                          : VIPS_FORMAT_FLOAT;
  VipsPtr image(vips_image_new());
  vips_image_init_fields(image.get(), static_cast<int>(spec.size.w), static_cast<int>(spec.size.h), spec.format.channels,
                         format, VIPS_CODING_NONE, interpretation, 1.0, 1.0);
  return image;
}

// "0" and "-1" are all of it, as of any file that holds one picture.
Result<Picture> part_of(const Workshop& workshop, const Call& call, Picture whole, const std::string& name,
                        const std::string& select) {
  if (select.empty() || select == "0" || select == "-1") return whole;
  const bool place = select.find('x') != std::string::npos && select.find_first_of("+-") != std::string::npos &&
                     select.find_first_not_of("0123456789x+-") == std::string::npos;
  if (!place)
    return fail(Errc::invalid, fmt::format("`dpc:{}[{}]': write a part as [WIDTHxHEIGHT+X+Y] (-crop and -resize cut and "
                                           "scale)", name, select));
  SMALTI_TRY(const Picture cut, apply(workshop, call, whole, {"crop", select, {}}));
  PictureState state = cut.state().with(share(cut.state().image));
  state.page = {};
  return Picture(std::make_shared<const PictureState>(std::move(state)));
}

}  // namespace

Result<Picture> open_named(const Workshop& workshop, const Call& call, const std::string& name,
                           const std::string& select) {
  SMALTI_TRY(client::Names* const names, names_of(workshop, name));
  SMALTI_TRY(client::NamedImage image, names->open(call, name));
  const ImageSpec& spec = image.record.spec;
  const std::string file = fmt::format("dpc:{}", name);
  SMALTI_CHECK(check_size(workshop, spec.size.w, spec.size.h, file));
  SMALTI_TRY(const Sidecar sidecar, decode_sidecar(image.sidecar));
  CacheParts parts = workshop.cache;
  parts.store = image.store;
  CacheOptions options;
  options.blank = sidecar.blank;
  SMALTI_TRY(PixelCache cache, PixelCache::open(std::move(parts), image.record.image, spec, image.written, options));
  auto state = std::make_shared<PictureState>();
  state->cache = watched(workshop, std::move(cache), file, 0);
  state->flow = std::make_shared<Flow>(call);
  SMALTI_TRY(const VipsPtr shape, shape_of(spec, sidecar.interpretation));
  SMALTI_TRY(state->image,
             image_over(state->cache, state->flow, sidecar.interpretation, charge_pipeline(workshop, shape.get())));
  SMALTI_CHECK(restore(sidecar, *state));
  state->depth = std::clamp(image.record.depth, 1u, 64u);
  state->file = file;
  state->file_bytes = image.record.bytes;
  return part_of(workshop, call, Picture(std::move(state)), name, select);
}

Result<void> write_named(const Workshop& workshop, const Call& call, const PictureState& picture,
                         const std::string& name) {
  SMALTI_TRY(client::Names* const names, names_of(workshop, name));
  const std::string file = fmt::format("dpc:{}", name);
  SMALTI_TRY(const auto writer, names->write(call, name));
  SMALTI_TRY(const VipsPtr image, storable(workshop, picture));
  Workshop there = workshop;
  there.cache.store = writer->store();
  const Run run{fmt::format("writing '{}'", file), picture.flow, Errc::internal, false, false, {}, true};
  SMALTI_TRY(const auto cache, sink(there, call, image, run, file, picture.scene));
  SMALTI_TRY(std::vector<std::byte> sidecar, encode_sidecar(picture, cache->blank()));
  return writer->commit(call, cache->id(), cache->spec(), picture.depth, std::move(sidecar));
}

}  // namespace smalti::ops
