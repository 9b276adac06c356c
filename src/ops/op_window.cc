#include "ops/op_window.h"

#include <algorithm>
#include <cstring>

namespace smalti::ops {
namespace {

// A buffer that holds `rect`, being filled piece by piece.
struct Canvas {
  VipsRegion* in;
  Rect rect;
  const Surround& surround;
  Extent image;
  std::size_t pixel;  // bytes
  std::byte* data;
  std::vector<std::byte> fill;

  std::byte* at(std::int64_t x, std::int64_t y) const {
    return data +
           (static_cast<std::size_t>(y - rect.y) * rect.size.w + static_cast<std::size_t>(x - rect.x)) *
               pixel;
  }
  const std::byte* source(std::int64_t x, std::int64_t y) const {
    return reinterpret_cast<const std::byte*>(VIPS_REGION_ADDR(in, static_cast<int>(x), static_cast<int>(y)));
  }
};

std::vector<std::byte> fill_bytes(const VipsImage* image, const Surround& surround) {
  const std::size_t sample = VIPS_IMAGE_SIZEOF_ELEMENT(image);
  std::vector<std::byte> bytes(VIPS_IMAGE_SIZEOF_PEL(image));
  for (std::size_t band = 0; band < static_cast<std::size_t>(image->Bands); ++band) {
    const std::uint16_t value = band < surround.fill.size() ? surround.fill[band] : 0;
    if (sample == 1) {
      bytes[band] = static_cast<std::byte>(value);
    } else if (sample == 2) {
      std::memcpy(bytes.data() + band * 2, &value, 2);
    }
  }
  return bytes;
}

// Copies what the image itself has of the window.
bool copy_inside(const Canvas& canvas, const Rect& inside) {
  const VipsRect area = to_vips(inside);
  if (vips_region_prepare(canvas.in, &area) != 0) return false;
  for (std::int64_t y = inside.y; y < inside.bottom(); ++y)
    std::memcpy(canvas.at(inside.x, y), canvas.source(inside.x, y), inside.size.w * canvas.pixel);
  return true;
}

// Edge::edge, the usual case, by copying outward what is there already.
void repeat_border(const Canvas& canvas, const Rect& inside) {
  const Rect& rect = canvas.rect;
  for (std::int64_t y = inside.y; y < inside.bottom(); ++y) {
    for (std::int64_t x = rect.x; x < inside.x; ++x)
      std::memcpy(canvas.at(x, y), canvas.at(inside.x, y), canvas.pixel);
    for (std::int64_t x = inside.right(); x < rect.right(); ++x)
      std::memcpy(canvas.at(x, y), canvas.at(inside.right() - 1, y), canvas.pixel);
  }
  const std::size_t row = rect.size.w * canvas.pixel;
  for (std::int64_t y = rect.y; y < inside.y; ++y)
    std::memcpy(canvas.at(rect.x, y), canvas.at(rect.x, inside.y), row);
  for (std::int64_t y = inside.bottom(); y < rect.bottom(); ++y)
    std::memcpy(canvas.at(rect.x, y), canvas.at(rect.x, inside.bottom() - 1), row);
}

template <class Visit>
void visit_pixels(const Canvas& canvas, const Rect& piece, Visit visit) {
  for (std::int64_t y = piece.y; y < piece.bottom(); ++y)
    for (std::int64_t x = piece.x; x < piece.right(); ++x)
      visit(x, y, resolve(canvas.surround.edge, x, y, canvas.image, canvas.surround.seed));
}

// The part of the image that a piece of the outside takes its pixels from; empty where it is all fill.
Rect sources_of(const Canvas& canvas, const Rect& piece) {
  std::int64_t left = canvas.image.w, top = canvas.image.h, right = -1, bottom = -1;
  visit_pixels(canvas, piece, [&](std::int64_t, std::int64_t, const From& from) {
    if (from.fill) return;
    left = std::min(left, from.x), right = std::max(right, from.x);
    top = std::min(top, from.y), bottom = std::max(bottom, from.y);
  });
  if (right < left) return {};
  return {left,
          top,
          {static_cast<std::uint32_t>(right - left + 1), static_cast<std::uint32_t>(bottom - top + 1)}};
}

// Any method, pixel by pixel. A piece whose sources lie far apart is cut in halves, so that little is read in
// vain.
bool fill_piece(const Canvas& canvas, const Rect& piece) {
  if (piece.empty()) return true;
  if (canvas.surround.edge == Edge::fill) {
    for (std::int64_t y = piece.y; y < piece.bottom(); ++y)
      for (std::int64_t x = piece.x; x < piece.right(); ++x)
        std::memcpy(canvas.at(x, y), canvas.fill.data(), canvas.pixel);
    return true;
  }
  const Rect sources = sources_of(canvas, piece);
  constexpr std::uint64_t little = 4096;  // pixels
  if (sources.size.area() > std::max(4 * piece.size.area(), little)) {
    Rect first = piece, second = piece;
    if (piece.size.w > piece.size.h) {
      first.size.w = piece.size.w / 2;
      second.x += first.size.w, second.size.w -= first.size.w;
    } else {
      first.size.h = piece.size.h / 2;
      second.y += first.size.h, second.size.h -= first.size.h;
    }
    return fill_piece(canvas, first) && fill_piece(canvas, second);
  }
  if (!sources.empty()) {
    const VipsRect area = to_vips(sources);
    if (vips_region_prepare(canvas.in, &area) != 0) return false;
  }
  visit_pixels(canvas, piece, [&](std::int64_t x, std::int64_t y, const From& from) {
    std::memcpy(canvas.at(x, y), from.fill ? canvas.fill.data() : canvas.source(from.x, from.y),
                canvas.pixel);
  });
  return true;
}

// The frame of a window around what lies inside the image.
bool fill_outside(const Canvas& canvas, const Rect& inside) {
  const Rect& rect = canvas.rect;
  if (inside.empty()) return fill_piece(canvas, rect);
  const auto extent = [](std::int64_t w, std::int64_t h) {
    return Extent{static_cast<std::uint32_t>(w), static_cast<std::uint32_t>(h)};
  };
  return fill_piece(canvas, {rect.x, rect.y, extent(rect.size.w, inside.y - rect.y)}) &&
         fill_piece(canvas,
                    {rect.x, inside.bottom(), extent(rect.size.w, rect.bottom() - inside.bottom())}) &&
         fill_piece(canvas, {rect.x, inside.y, extent(inside.x - rect.x, inside.size.h)}) &&
         fill_piece(canvas, {inside.right(), inside.y, extent(rect.right() - inside.right(), inside.size.h)});
}

}  // namespace

std::optional<View> look(VipsRegion* in, const Rect& rect, const Surround& surround, Scratch& scratch,
                         std::size_t slot) {
  const Extent image = extent_of(in->im);
  const std::size_t pixel = VIPS_IMAGE_SIZEOF_PEL(in->im);
  if (rect.inside(image)) {
    const VipsRect area = to_vips(rect);
    if (vips_region_prepare(in, &area) != 0) return std::nullopt;
    return View{reinterpret_cast<const std::byte*>(VIPS_REGION_ADDR(in, area.left, area.top)),
                static_cast<std::ptrdiff_t>(VIPS_REGION_LSKIP(in))};
  }
  const Canvas canvas{in,
                      rect,
                      surround,
                      image,
                      pixel,
                      scratch.get<std::byte>(slot, rect.size.area() * pixel),
                      fill_bytes(in->im, surround)};
  const Rect inside = rect.meet(whole(image));
  if (!inside.empty() && !copy_inside(canvas, inside)) return std::nullopt;
  if (surround.edge == Edge::edge && !inside.empty()) {
    repeat_border(canvas, inside);
  } else if (!fill_outside(canvas, inside)) {
    return std::nullopt;
  }
  return View{canvas.data, static_cast<std::ptrdiff_t>(rect.size.w * pixel)};
}

}  // namespace smalti::ops
