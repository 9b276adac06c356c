#include "ops/op_point.h"

#include <algorithm>
#include <cstring>
#include <utility>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")  // vectorises the loops
#endif

namespace smalti::ops {
namespace {

bool wide(const VipsPtr& image) { return image->BandFmt == VIPS_FORMAT_USHORT; }

// A row function from samples of In to as many of Out.
template <class In, class Out, class Change>
MakeRow each_sample(int bands, Change change) {
  return [bands, change](const std::byte* from, std::byte* to, std::size_t pixels) {
    const In* a = reinterpret_cast<const In*>(from);
    Out* b = reinterpret_cast<Out*>(to);
    const std::size_t count = pixels * static_cast<std::size_t>(bands);
    for (std::size_t i = 0; i < count; ++i) b[i] = static_cast<Out>(change(a[i]));
  };
}

std::uint8_t nearest_byte(std::uint32_t v) { return static_cast<std::uint8_t>((v + 128) / 257); }

template <class T>
MakeRow append_opaque(int bands) {
  return [bands](const std::byte* from, std::byte* to, std::size_t pixels) {
    const T* a = reinterpret_cast<const T*>(from);
    T* b = reinterpret_cast<T*>(to);
    for (std::size_t i = 0; i < pixels; ++i, a += bands, b += bands + 1) {
      std::copy_n(a, bands, b);
      b[bands] = static_cast<T>(~T{0});
    }
  };
}

template <class T>
MakeRow spread_gray(bool alpha) {
  const int had = alpha ? 2 : 1;
  return [had](const std::byte* from, std::byte* to, std::size_t pixels) {
    const T* a = reinterpret_cast<const T*>(from);
    T* b = reinterpret_cast<T*>(to);
    for (std::size_t i = 0; i < pixels; ++i, a += had, b += had + 2) {
      b[0] = b[1] = b[2] = a[0];
      if (had == 2) b[3] = a[1];
    }
  };
}

}  // namespace

void set_depth(Shape& shape, int bits) {
  const bool deep = bits > 8;
  shape.format = deep ? VIPS_FORMAT_USHORT : VIPS_FORMAT_UCHAR;
  switch (shape.interpretation) {
    case VIPS_INTERPRETATION_CMYK:
      return;
    case VIPS_INTERPRETATION_B_W:
    case VIPS_INTERPRETATION_GREY16:
      shape.interpretation = deep ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W;
      return;
    default:
      break;
  }
  if (shape.bands < 3) {
    shape.interpretation = deep ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W;
  } else {
    shape.interpretation = deep ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB;
  }
}

Result<VipsPtr> to_depth(const VipsPtr& image, int bits) {
  Shape shape = shape_of(image);
  set_depth(shape, bits);
  if (wide(image) == (bits > 8)) return share(image);
  if (bits > 8)
    return pointwise(image, shape, each_sample<std::uint8_t, std::uint16_t>(image->Bands, [](unsigned v) {
                       return v * 257;
                     }));
  return pointwise(image, shape, each_sample<std::uint16_t, std::uint8_t>(image->Bands, nearest_byte));
}

Result<VipsPtr> cut_depth(const VipsPtr& given, int bits) {
  if (bits >= 16 || (bits == 8 && !wide(given))) return share(given);
  SMALTI_TRY(const VipsPtr image, to_depth(given, 16));
  const std::uint32_t range = (1U << bits) - 1;
  const bool narrow = 255 % range == 0;
  Shape shape = shape_of(image);
  set_depth(shape, narrow ? 8 : 16);
  const auto cut = [range](std::uint64_t v, std::uint64_t most) {
    return (v * range / 65535 * most + range / 2) / range;
  };
  return pointwise(
      image, shape,
      narrow
          ? each_sample<std::uint16_t, std::uint8_t>(image->Bands, [=](auto v) { return cut(v, 255); })
          : each_sample<std::uint16_t, std::uint16_t>(image->Bands, [=](auto v) { return cut(v, 65535); }));
}

Result<VipsPtr> negated(const VipsPtr& image) {
  const auto turn = [](unsigned v) { return ~v; };
  return pointwise(image, shape_of(image),
                   wide(image) ? each_sample<std::uint16_t, std::uint16_t>(image->Bands, turn)
                               : each_sample<std::uint8_t, std::uint8_t>(image->Bands, turn));
}

Result<VipsPtr> with_opaque_alpha(const VipsPtr& image) {
  Shape shape = shape_of(image);
  ++shape.bands;
  return pointwise(
      image, shape,
      wide(image) ? append_opaque<std::uint16_t>(image->Bands) : append_opaque<std::uint8_t>(image->Bands));
}

Result<VipsPtr> with_three_colors(const VipsPtr& image, bool alpha) {
  Shape shape = shape_of(image);
  shape.bands += 2;
  shape.interpretation = VIPS_INTERPRETATION_sRGB;
  set_depth(shape, wide(image) ? 16 : 8);
  return pointwise(image, shape,
                   wide(image) ? spread_gray<std::uint16_t>(alpha) : spread_gray<std::uint8_t>(alpha));
}

Result<VipsPtr> looked_up(const VipsPtr& image, std::vector<std::uint16_t> table) {
  Shape shape = shape_of(image);
  set_depth(shape, 16);
  const auto find = [table = std::move(table)](std::size_t v) { return table[v]; };
  return pointwise(image, shape,
                   wide(image) ? each_sample<std::uint16_t, std::uint16_t>(image->Bands, find)
                               : each_sample<std::uint8_t, std::uint16_t>(image->Bands, find));
}

Result<VipsPtr> arithmetic_input(const VipsPtr& image, Surround& surround, int quantum_depth) {
  const auto narrow = [&] {
    for (auto& value : surround.fill) value = nearest_byte(value);
  };
  if (quantum_depth == 8) {
    narrow();
    return to_depth(image, 8);
  }
  if (wide(image)) return share(image);
  if (std::any_of(surround.fill.begin(), surround.fill.end(), [](std::uint16_t v) { return v % 257 != 0; }))
    return to_depth(image, 16);
  narrow();
  return share(image);
}

}  // namespace smalti::ops
