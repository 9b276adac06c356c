#include "ops/op_layers.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "ops/foresight.h"
#include "ops/op_alpha_channel.h"
#include "ops/op_colorspace.h"
#include "ops/op_lazy.h"
#include "ops/op_point.h"

namespace smalti::ops {
namespace {

struct Placed {
  VipsPtr image;
  Rect at;
};

struct Recipe {
  std::vector<Placed> layers;
  std::vector<VipsImage*> inputs;  // theirs, and a null: as libvips wants to be told
  std::vector<std::byte> ground;   // one pixel
  bool blend = false;
  int bands = 0;
  bool wide = false;
};

// `pixel` over what lies there; the last sample of both is alpha.
template <class T>
void blend(const T* from, T* to, int bands, std::size_t pixels) {
  constexpr double most = static_cast<T>(~T{0});
  for (std::size_t i = 0; i < pixels; ++i, from += bands, to += bands) {
    const double above = from[bands - 1] / most, below = to[bands - 1] / most * (1 - above);
    const double both = above + below;
    for (int c = 0; c + 1 < bands; ++c)
      to[c] = both > 0 ? static_cast<T>((above * from[c] + below * to[c]) / both + 0.5) : T{0};
    to[bands - 1] = static_cast<T>(both * most + 0.5);
  }
}

void fill(const std::vector<std::byte>& pixel, std::byte* row, std::size_t pixels) {
  for (std::size_t i = 0; i < pixels; ++i, row += pixel.size()) std::memcpy(row, pixel.data(), pixel.size());
}

bool lay(const Recipe& recipe, const Placed& layer, VipsRegion* from, VipsRegion* out) {
  const Rect part = from_vips(out->valid).meet(layer.at);
  if (part.empty()) return true;
  const VipsRect own = to_vips({part.x - layer.at.x, part.y - layer.at.y, part.size});
  if (vips_region_prepare(from, &own) != 0) return false;
  for (int y = 0; y < own.height; ++y) {
    const VipsPel* a = VIPS_REGION_ADDR(from, own.left, own.top + y);
    VipsPel* b = VIPS_REGION_ADDR(out, static_cast<int>(part.x), static_cast<int>(part.y) + y);
    if (!recipe.blend) {
      std::memcpy(b, a, part.size.w * recipe.ground.size());
    } else if (recipe.wide) {
      blend(reinterpret_cast<const std::uint16_t*>(a), reinterpret_cast<std::uint16_t*>(b), recipe.bands,
            part.size.w);
    } else {
      blend(a, b, recipe.bands, part.size.w);
    }
  }
  return true;
}

using Regions = std::vector<VipsRegion*>;

int stop(void* sequence, void*, void*) {
  const std::unique_ptr<Regions> regions(static_cast<Regions*>(sequence));
  if (regions)
    for (VipsRegion* region : *regions) g_object_unref(region);
  return 0;
}

void* start(VipsImage*, void*, void* recipe) {
  auto regions = std::make_unique<Regions>();
  for (const Placed& layer : static_cast<Recipe*>(recipe)->layers)
    regions->push_back(vips_region_new(layer.image.get()));
  return regions.release();
}

int generate(VipsRegion* out, void* sequence, void*, void* recipe_ptr, gboolean*) {
  const auto& recipe = *static_cast<const Recipe*>(recipe_ptr);
  const VipsRect& area = out->valid;
  for (int y = area.top; y < area.top + area.height; ++y)
    fill(recipe.ground, reinterpret_cast<std::byte*>(VIPS_REGION_ADDR(out, area.left, y)),
         static_cast<std::size_t>(area.width));
  for (std::size_t i = 0; i < recipe.layers.size(); ++i)
    if (!lay(recipe, recipe.layers[i], (*static_cast<Regions*>(sequence))[i], out)) return -1;
  return 0;
}

// Each layer is told what is wanted of its pixels.
void foresee_layers(const VipsPtr& out, const Recipe& recipe) {
  struct Told {
    std::shared_ptr<VipsImage> image;
    Rect at;
  };
  std::vector<Told> all;
  for (const Placed& layer : recipe.layers)
    all.push_back({std::shared_ptr<VipsImage>(share(layer.image).release(), Unref()), layer.at});
  set_foresight(out, [all = std::move(all)](const Rect& wanted, Pace pace) {
    for (const Told& layer : all) {
      const Foresee* told = foresight_of(layer.image.get());
      const Rect part = wanted.meet(layer.at);
      if (!told || (part.empty() && !wanted.empty())) continue;
      (*told)(wanted.empty() ? Rect{} : Rect{part.x - layer.at.x, part.y - layer.at.y, part.size}, pace);
    }
  });
}

bool is_cmyk(const PictureState& state) { return state.image->Type == VIPS_INTERPRETATION_CMYK; }

// What all pictures fit in.
struct Kind {
  bool cmyk = true, color = false, alpha = false, wide = false;
};

Kind kind_of(const std::vector<Layer>& layers, const Color& ground, int quantum_depth) {
  Kind kind;
  for (const Layer& layer : layers) {
    kind.cmyk = kind.cmyk && is_cmyk(layer.picture);
    kind.color = kind.color || layer.picture.image->Bands >= 3;
    kind.alpha = kind.alpha || layer.picture.alpha;
    kind.wide = kind.wide || layer.picture.image->BandFmt == VIPS_FORMAT_USHORT;
  }
  kind.color = kind.color || !ground.gray();
  kind.alpha = kind.alpha || !ground.opaque();
  for (const std::uint16_t level : {ground.red, ground.green, ground.blue, ground.alpha})
    kind.wide = kind.wide || level % 257 != 0;
  kind.wide = kind.wide && quantum_depth != 8;
  return kind;
}

Result<PictureState> as(const Kind& kind, const PictureState& in, int quantum_depth) {
  PictureState out = in.with(share(in.image));
  if (in.linear || (is_cmyk(in) && !kind.cmyk)) {
    SMALTI_TRY(out, to_colorspace(in, "sRGB", quantum_depth));
  }
  SMALTI_TRY(out.image, to_depth(out.image, kind.wide ? 16 : 8));
  if (kind.color && out.image->Bands < 3) {
    SMALTI_TRY(out.image, with_three_colors(out.image, out.alpha));
  }
  if (kind.alpha && !out.alpha) {
    SMALTI_TRY(out.image, with_opaque_alpha(out.image));
    out.alpha = true;
  }
  return out;
}

std::vector<std::byte> pixel_of(const Color& color, const PictureState& like, bool wide) {
  std::vector<std::byte> pixel;
  for (const std::uint16_t level : bands_of(color, like)) {
    const std::uint16_t sample = wide ? level : static_cast<std::uint16_t>((level + 128) / 257);
    const auto* bytes = reinterpret_cast<const std::byte*>(&sample);  // little-endian, as all we run on
    pixel.insert(pixel.end(), bytes, bytes + (wide ? 2 : 1));
  }
  return pixel;
}

Result<VipsPtr> canvas_of(std::unique_ptr<Recipe> recipe, Extent size) {
  for (const Placed& layer : recipe->layers) recipe->inputs.push_back(layer.image.get());
  recipe->inputs.push_back(nullptr);
  const VipsImage* like = recipe->inputs[0];
  VipsPtr out(vips_image_new());
  if (vips_image_pipeline_array(out.get(), VIPS_DEMAND_STYLE_FATSTRIP, recipe->inputs.data()) != 0)
    return vips_fail(Errc::internal, "laying pictures on a canvas");
  out->Xsize = static_cast<int>(size.w);
  out->Ysize = static_cast<int>(size.h);
  out->Bands = like->Bands;
  out->BandFmt = like->BandFmt;
  out->Type = like->Type;
  out->Coding = VIPS_CODING_NONE;
  foresee_layers(out, *recipe);
  Recipe* kept = recipe.release();  // dies with the image, after every region on it
  g_object_set_data_full(G_OBJECT(out.get()), "smalti-layers", kept,
                         [](void* p) { delete static_cast<Recipe*>(p); });
  if (vips_image_generate(out.get(), start, generate, stop, nullptr, kept) != 0)
    return vips_fail(Errc::internal, "laying pictures on a canvas");
  return out;
}

}  // namespace

Result<PictureState> laid_out(const Workshop& shop, const Call& call, Extent canvas, const Color& ground,
                              std::vector<Layer> layers, Meet meet) {
  const int depth = static_cast<int>(shop.quantum.depth);
  const Kind kind = kind_of(layers, ground, depth);
  auto recipe = std::make_unique<Recipe>();
  PictureState out = layers[0].picture.with(share(layers[0].picture.image));
  std::vector<FlowPtr> flows;
  out.works.clear();
  for (const Layer& layer : layers) {
    SMALTI_TRY(PictureState same, as(kind, layer.picture, depth));
    const Rect at{layer.x, layer.y, extent_of(same.image.get())};
    if (recipe->layers.empty()) recipe->ground = pixel_of(ground, same, kind.wide);
    recipe->layers.push_back({std::move(same.image), at});
    out.works.insert(out.works.end(), layer.picture.works.begin(), layer.picture.works.end());
    out.depth = std::max(out.depth, layer.picture.depth);
    if (layer.picture.flow) flows.push_back(layer.picture.flow);
  }
  recipe->bands = recipe->layers[0].image->Bands;
  recipe->blend = meet == Meet::over && kind.alpha;
  recipe->wide = kind.wide;
  const bool blends = recipe->blend;
  SMALTI_TRY(out.image, canvas_of(std::move(recipe), canvas));
  out.alpha = kind.alpha;
  if (blends && ground.opaque()) {  // then nothing is clear
    SMALTI_TRY(out, with_alpha(out, "off", {}, depth));
  }
  out.linear = false;
  out.page = {};
  if (layers.size() > 1) {
    out.flow = std::make_shared<Flow>(call, std::move(flows));
    out.cache = nullptr;  // of several, none is told of; the images hold on to theirs
  }
  return out;
}

}  // namespace smalti::ops
