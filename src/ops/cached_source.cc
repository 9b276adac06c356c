#include "ops/cached_source.h"

#include <fmt/format.h>

#include <optional>

#include "ops/foresight.h"
#include "ops/work.h"

namespace smalti::ops {

namespace {

struct Source {
  std::shared_ptr<const PixelCache> cache;
  FlowPtr flow;
  Hold pipeline;
};

std::optional<VipsBandFormat> band_format(Sample sample) {
  switch (sample) {
    case Sample::u8:
      return VIPS_FORMAT_UCHAR;
    case Sample::u16:
      return VIPS_FORMAT_USHORT;
    case Sample::f32:
      return VIPS_FORMAT_FLOAT;
    default:
      return std::nullopt;
  }
}

// Straight into the region's own memory: the only copy between tile and operator.
int generate(VipsRegion* region, void*, void* a, void*, gboolean*) {
  const auto* source = static_cast<const Source*>(a);
  const Stopwatch reading(nullptr);
  const VipsRect& want = region->valid;
  const Rect rect{
      want.left, want.top, {static_cast<std::uint32_t>(want.width), static_cast<std::uint32_t>(want.height)}};
  const MutablePixels into{reinterpret_cast<std::byte*>(VIPS_REGION_ADDR(region, want.left, want.top)),
                           rect.size, static_cast<std::ptrdiff_t>(VIPS_REGION_LSKIP(region)),
                           source->cache->spec().format};
  const Call call = source->flow->call();
  Result<void> done = call.alive();
  if (done) done = source->cache->read(call, rect, into);
  if (done) return 0;
  vips_error("smalti", "%s", done.error().what.c_str());
  source->flow->fail_with(std::move(done.error()));
  return -1;
}

}  // namespace

Result<VipsPtr> image_over(std::shared_ptr<const PixelCache> cache, FlowPtr flow,
                           VipsInterpretation interpretation, Hold pipeline) {
  const ImageSpec& spec = cache->spec();
  const auto format = band_format(spec.format.sample);
  if (!format || spec.format.meta_bytes != 0)
    return fail(Errc::unsupported,
                fmt::format("a cached image of sample kind {} with {} bytes of metacontent cannot be "
                            "operated on",
                            static_cast<int>(spec.format.sample), spec.format.meta_bytes));
  VipsPtr image(vips_image_new());
  vips_image_init_fields(image.get(), static_cast<int>(spec.size.w), static_cast<int>(spec.size.h),
                         spec.format.channels, *format, VIPS_CODING_NONE, interpretation, 1.0, 1.0);
  set_foresight(image, [cache](const Rect& wanted, Pace pace) { cache->expect(wanted, pace); });
  auto* source = new Source{std::move(cache), std::move(flow), std::move(pipeline)};
  g_object_set_data_full(G_OBJECT(image.get()), "smalti-source", source,
                         [](gpointer data) { delete static_cast<Source*>(data); });
  // Strips as wide as the image: what every row-by-row encoder wants, and a halo'd strip then reads few
  // tiles.
  if (vips_image_pipelinev(image.get(), VIPS_DEMAND_STYLE_FATSTRIP, nullptr) != 0 ||
      vips_image_generate(image.get(), nullptr, generate, nullptr, source, nullptr) != 0)
    return vips_fail(Errc::internal, "an image over the pixel cache");
  return image;
}

}  // namespace smalti::ops
