#include "ops/op_lazy.h"

#include <utility>

#include "ops/foresight.h"

namespace smalti::ops {
namespace {

struct Recipe {
  VipsPtr in;
  Make make;
  WorkPtr work;
};
constexpr const char* recipe_key = "smalti-recipe";

// One of these a worker thread and image.
struct Worker {
  VipsRegion* in = nullptr;
  Scratch scratch;
};

void* start(VipsImage*, void*, void* recipe) {
  auto worker = std::make_unique<Worker>();
  worker->in = vips_region_new(static_cast<Recipe*>(recipe)->in.get());
  if (worker->in == nullptr) return nullptr;
  return worker.release();
}

int generate(VipsRegion* out, void* sequence, void*, void* recipe, gboolean*) {
  auto* worker = static_cast<Worker*>(sequence);
  const auto* own = static_cast<Recipe*>(recipe);
  const Stopwatch computing(own->work.get());
  return own->make(out, worker->in, worker->scratch) ? 0 : -1;
}

int stop(void* sequence, void*, void*) {
  std::unique_ptr<Worker> worker(static_cast<Worker*>(sequence));
  if (worker && worker->in != nullptr) g_object_unref(worker->in);
  return 0;
}

}  // namespace

Shape shape_of(const VipsPtr& image) {
  return {extent_of(image.get()), image->Bands, image->BandFmt, image->Type};
}

Result<void> size_fits(const Ledger& ledger, std::string_view option, Extent size) {
  if (auto fits = ledger.fits(Resource::width, size.w); !fits) return pass(std::move(fits.error()), option);
  if (auto fits = ledger.fits(Resource::height, size.h); !fits) return pass(std::move(fits.error()), option);
  if (!size.empty() && size.w <= VIPS_MAX_COORD && size.h <= VIPS_MAX_COORD) return {};
  return fail(Errc::limit, std::string(option) + " would make " + std::to_string(size.w) + "x" +
                               std::to_string(size.h) + " pixels; at most " + std::to_string(VIPS_MAX_COORD) +
                               " a side can be made");
}

Result<VipsPtr> lazy_image(const VipsPtr& in, const Shape& shape, VipsDemandStyle style, Make make) {
  VipsPtr out(vips_image_new());
  if (vips_image_pipelinev(out.get(), style, in.get(), nullptr) != 0)
    return vips_fail(Errc::internal, "cannot set up an operator");
  out->Xsize = static_cast<int>(shape.size.w);
  out->Ysize = static_cast<int>(shape.size.h);
  out->Bands = shape.bands;
  out->BandFmt = shape.format;
  out->Type = shape.interpretation;
  out->Coding = VIPS_CODING_NONE;
  // Dies with the image, after every region on it.
  auto* recipe = new Recipe{share(in), std::move(make), nullptr};
  g_object_set_data_full(G_OBJECT(out.get()), recipe_key, recipe,
                         [](void* p) { delete static_cast<Recipe*>(p); });
  if (vips_image_generate(out.get(), start, generate, stop, nullptr, recipe) != 0)
    return vips_fail(Errc::internal, "cannot set up an operator");
  return out;
}

void bill(const VipsPtr& image, const VipsImage* input, const WorkPtr& work) {
  for (VipsImage* at = image.get(); at != input;) {
    auto* recipe = static_cast<Recipe*>(g_object_get_data(G_OBJECT(at), recipe_key));
    if (!recipe) return;
    recipe->work = work;
    at = recipe->in.get();
  }
}

Result<VipsPtr> pointwise(const VipsPtr& in, const Shape& shape, MakeRow row) {
  auto make = [row = std::move(row)](VipsRegion* out, VipsRegion* from, Scratch&) {
    const VipsRect area = out->valid;
    if (vips_region_prepare(from, &area) != 0) return false;
    for (int y = area.top; y < area.top + area.height; ++y)
      row(reinterpret_cast<const std::byte*>(VIPS_REGION_ADDR(from, area.left, y)),
          reinterpret_cast<std::byte*>(VIPS_REGION_ADDR(out, area.left, y)),
          static_cast<std::size_t>(area.width));
    return true;
  };
  SMALTI_TRY(VipsPtr out, lazy_image(in, shape, VIPS_DEMAND_STYLE_THINSTRIP, std::move(make)));
  foresee_through(out, in);
  return out;
}

}  // namespace smalti::ops
