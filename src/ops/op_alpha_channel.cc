#include "ops/op_alpha_channel.h"

#include <string>
#include <utility>

#include "ops/foresight.h"
#include "ops/op_lazy.h"
#include "ops/op_point.h"
#include "ops/op_settings.h"
#include "policy/words.h"

namespace smalti::ops {
namespace {

// A picture that is laid on an opaque colour, sample by sample; without its alpha.
template <class In, class Out>
MakeRow lay_on(std::vector<std::uint16_t> ground, double scale, double most) {
  return [ground = std::move(ground), scale, most](const std::byte* from, std::byte* to, std::size_t pixels) {
    const std::size_t colors = ground.size();
    const auto* a = reinterpret_cast<const In*>(from);
    auto* b = reinterpret_cast<Out*>(to);
    for (std::size_t i = 0; i < pixels; ++i, a += colors + 1, b += colors) {
      const double alpha = scale * a[colors] / most;
      for (std::size_t c = 0; c < colors; ++c)
        b[c] = static_cast<Out>(alpha * (scale * a[c]) + (1 - alpha) * ground[c] + 0.5);
    }
  };
}

Result<VipsPtr> laid_on_background(const PictureState& in, const Color& color, int quantum_depth) {
  std::vector<std::uint16_t> ground = bands_of(color, in);
  ground.pop_back();  // its own alpha
  Shape shape = shape_of(in.image);
  --shape.bands;
  const bool wide = in.image->BandFmt == VIPS_FORMAT_USHORT;
  if (quantum_depth == 8) {
    SMALTI_TRY(const VipsPtr narrow, to_depth(in.image, 8));
    for (std::uint16_t& v : ground) v = static_cast<std::uint16_t>((v + 128) / 257);
    set_depth(shape, 8);
    return pointwise(narrow, shape, lay_on<std::uint8_t, std::uint8_t>(std::move(ground), 1, 255));
  }
  set_depth(shape, 16);
  return pointwise(in.image, shape,
                   wide ? lay_on<std::uint16_t, std::uint16_t>(std::move(ground), 1, 65535)
                        : lay_on<std::uint8_t, std::uint16_t>(std::move(ground), 257, 65535));
}

Result<PictureState> without_alpha(const PictureState& in) {
  PictureState out = in.with(share(in.image));
  if (!in.alpha) return out;
  VipsImage* colors = nullptr;
  if (vips_extract_band(in.image.get(), &colors, 0, "n", in.image->Bands - 1, nullptr) != 0)
    return vips_fail(Errc::internal, "-alpha off");
  out.image = VipsPtr(colors);
  foresee_through(out.image, in.image);
  out.alpha = false;
  return out;
}

Result<PictureState> opaque(PictureState out) {
  if (out.alpha) return out;
  SMALTI_TRY(out.image, with_opaque_alpha(out.image));
  out.alpha = true;
  return out;
}

}  // namespace

Result<PictureState> with_alpha(const PictureState& in, std::string_view word, const Settings& settings,
                                int quantum_depth) {
  if (same_word(word, "off") || same_word(word, "deactivate")) return without_alpha(in);
  if (same_word(word, "on") || same_word(word, "activate") || same_word(word, "set"))
    return opaque(in.with(share(in.image)));
  if (same_word(word, "opaque")) {
    SMALTI_TRY(PictureState plain, without_alpha(in));
    return opaque(std::move(plain));
  }
  if (!same_word(word, "remove"))
    return fail(Errc::unsupported,
                "-alpha '" + std::string(word) + "' is not offered: take off, on, set, opaque or remove");
  SMALTI_TRY(const Color ground, background_of(settings));
  PictureState out = in.with(share(in.image));
  if (!in.alpha || !ground.opaque()) return out;
  SMALTI_TRY(out.image, laid_on_background(in, ground, quantum_depth));
  out.alpha = false;
  return out;
}

}  // namespace smalti::ops
