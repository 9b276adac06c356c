#include "ops/op_place.h"

#include <algorithm>
#include <string>
#include <utility>

#include "ops/foresight.h"
#include "ops/op_geometry.h"
#include "ops/op_lazy.h"

namespace smalti::ops {
namespace {

// Runs one of libvips' operations, which hands back a new reference.
template <class Run>
Result<VipsPtr> operated(std::string_view what, Run run) {
  VipsImage* out = nullptr;
  if (run(&out) != 0) return vips_fail(Errc::internal, std::string(what));
  return VipsPtr(out);
}

Result<VipsPtr> mirrored(const VipsPtr& image, VipsDirection direction) {
  SMALTI_TRY(VipsPtr out, operated("flip", [&](VipsImage** made) {
               return vips_flip(image.get(), made, direction, nullptr);
             }));
  foresee_through(out, image,
                  [size = extent_of(image.get()), direction](const Rect& area, const auto& wants) {
                    const bool sideways = direction == VIPS_DIRECTION_HORIZONTAL;
                    wants(sideways ? Rect{size.w - area.right(), area.y, area.size}
                                   : Rect{area.x, size.h - area.bottom(), area.size});
                  });
  return out;
}

// Where a rectangle of a turned image was, in the image of that size.
Rect before_turn(const Rect& area, Extent image, int turns) {
  const Extent across{area.size.h, area.size.w};
  switch (turns) {
    case 1:
      return {area.y, image.h - area.right(), across};
    case 2:
      return {image.w - area.right(), image.h - area.bottom(), area.size};
    default:
      return {image.w - area.bottom(), area.x, across};
  }
}

// Where an image lies after its canvas was turned over along an axis.
std::int64_t from_far_side(std::int64_t offset, std::uint32_t length, std::uint32_t canvas) {
  return canvas == 0 ? -offset : static_cast<std::int64_t>(canvas) - length - offset;
}

}  // namespace

Result<PictureState> flipped(const PictureState& in) {
  SMALTI_TRY(VipsPtr image, mirrored(in.image, VIPS_DIRECTION_VERTICAL));
  PictureState out = in.with(std::move(image));
  out.page.y = from_far_side(in.page.y, extent_of(in.image.get()).h, in.page.size.h);
  return out;
}

Result<PictureState> flopped(const PictureState& in) {
  SMALTI_TRY(VipsPtr image, mirrored(in.image, VIPS_DIRECTION_HORIZONTAL));
  PictureState out = in.with(std::move(image));
  out.page.x = from_far_side(in.page.x, extent_of(in.image.get()).w, in.page.size.w);
  return out;
}

Result<PictureState> turned(const PictureState& in, int quarter_turns) {
  const int turns = ((quarter_turns % 4) + 4) % 4;
  if (turns == 0) return in.with(share(in.image));
  static constexpr VipsAngle angles[] = {VIPS_ANGLE_D0, VIPS_ANGLE_D90, VIPS_ANGLE_D180, VIPS_ANGLE_D270};
  SMALTI_TRY(VipsPtr image, operated("rotate", [&](VipsImage** out) {
               return vips_rot(in.image.get(), out, angles[turns], nullptr);
             }));
  foresee_through(image, in.image,
                  [before = extent_of(in.image.get()), turns](const Rect& area, const auto& wants) {
                    wants(before_turn(area, before, turns));
                  });
  PictureState out = in.with(std::move(image));
  const Extent size = extent_of(in.image.get());
  const Rect& page = in.page;
  const std::int64_t far_x = from_far_side(page.x, size.w, page.size.w);
  const std::int64_t far_y = from_far_side(page.y, size.h, page.size.h);
  switch (turns) {
    case 1:
      out.page = {far_y, page.x, {page.size.h, page.size.w}};
      break;
    case 2:
      out.page = {far_x, far_y, page.size};
      break;
    default:
      out.page = {page.y, far_x, {page.size.h, page.size.w}};
      break;
  }
  return out;
}

// By EXIF's number: 1 lies as it is seen.
Result<PictureState> upright(const PictureState& in, int orientation) {
  const bool mirrored_too = orientation == 5 || orientation == 7;
  switch (orientation) {
    case 2:
      return flopped(in);
    case 3:
      return turned(in, 2);
    case 4:
      return flipped(in);
    case 5:
    case 6:
    case 7: {
      SMALTI_TRY(const PictureState quarter, turned(in, 1));
      if (!mirrored_too) return quarter.with(share(quarter.image));
      return orientation == 5 ? flopped(quarter) : flipped(quarter);
    }
    case 8:
      return turned(in, 3);
    default:
      return in.with(share(in.image));
  }
}

Result<PictureState> cut(const PictureState& in, std::string_view text, std::string_view gravity) {
  SMALTI_TRY(const Geometry geometry, parse_geometry("-crop", text));
  if (geometry.area || (!geometry.x && (geometry.w.value_or(0) > 0 || geometry.h.value_or(0) > 0)))
    return fail(Errc::unsupported,
                "-crop '" + std::string(text) +
                    "' cuts the picture into many: one is cut with an offset, as in 640x480+0+0");
  SMALTI_TRY(const Crop crop, cropped(geometry, extent_of(in.image.get()), in.page, gravity));
  const VipsRect rect = to_vips(crop.cut);
  SMALTI_TRY(VipsPtr image, operated("crop", [&](VipsImage** out) {
               return vips_extract_area(in.image.get(), out, rect.left, rect.top, rect.width, rect.height,
                                        nullptr);
             }));
  foresee_through(image, in.image, [at = crop.cut](const Rect& area, const auto& wants) {
    wants(Rect{area.x + at.x, area.y + at.y, area.size});
  });
  PictureState out = in.with(std::move(image));
  out.page = crop.page;
  return out;
}

Result<PictureState> unpaged(const PictureState& in) {
  PictureState out = in.with(share(in.image));
  out.page = {};
  return out;
}

Result<PictureState> paged(const PictureState& in, std::string_view text) {
  SMALTI_TRY(const Geometry geometry, parse_geometry("-repage", text));
  PictureState out = in.with(share(in.image));
  // A canvas of 0 is as large as the image needs; a single number is both sides.
  const Extent size = extent_of(in.image.get());
  const auto side = [](double length, std::uint32_t image, const std::optional<double>& offset) {
    return static_cast<std::uint32_t>(length > 0 ? length : image + std::max(offset.value_or(0), 0.0));
  };
  if (geometry.w || geometry.h) {
    const double w = geometry.w.value_or(0), h = geometry.h.value_or(w);
    out.page.size = {side(w, size.w, geometry.x), side(h, size.h, geometry.y)};
  }
  if (geometry.x) out.page.x = static_cast<std::int64_t>(*geometry.x);
  if (geometry.y) out.page.y = static_cast<std::int64_t>(*geometry.y);
  return out;
}

}  // namespace smalti::ops
