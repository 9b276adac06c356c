#include "ops/op_geometry.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

namespace smalti::ops {
namespace {

constexpr double widest = std::numeric_limits<std::int32_t>::max();

struct Cursor {
  std::string_view rest;

  bool take(char c) {
    if (rest.empty() || rest.front() != c) return false;
    rest.remove_prefix(1);
    return true;
  }
  // An unsigned number; a sign belongs to the grammar around it.
  std::optional<double> number() {
    if (rest.empty() || !((rest.front() >= '0' && rest.front() <= '9') || rest.front() == '.'))
      return std::nullopt;
    double value = 0;
    const auto [stop, error] =
        std::from_chars(rest.data(), rest.data() + rest.size(), value, std::chars_format::fixed);
    if (error != std::errc()) return std::nullopt;
    rest.remove_prefix(static_cast<std::size_t>(stop - rest.data()));
    return value;
  }
};

bool take_flag(Cursor& at, Geometry& geometry) {
  if (at.take('%')) return geometry.percent = true;
  if (at.take('!')) return geometry.exact = true;
  if (at.take('>')) return geometry.shrink = true;
  if (at.take('<')) return geometry.enlarge = true;
  if (at.take('^')) return geometry.cover = true;
  if (at.take('@')) return geometry.area = true;
  return false;
}

void take_flags(Cursor& at, Geometry& geometry) {
  while (take_flag(at, geometry)) {
  }
}

// {+-}NUMBER; nothing where there is no sign. False: a sign without a number.
bool take_offset(Cursor& at, Geometry& geometry, std::optional<double>& offset) {
  const bool minus = !at.rest.empty() && at.rest.front() == '-';
  if (!at.take('+') && !at.take('-')) return true;
  offset = at.number();
  if (offset && minus) offset = -*offset;
  take_flags(at, geometry);
  return offset.has_value();
}

tl::unexpected<Error> junk(std::string_view what, std::string_view text, std::string_view wanted) {
  return fail(Errc::invalid, std::string(what) + " '" + std::string(text) + "' is not understood: give " +
                                 std::string(wanted));
}

std::uint32_t at_least_one(double size) {
  return static_cast<std::uint32_t>(std::clamp(std::floor(size + 0.5), 1.0, widest));
}

Extent in_proportion(const Geometry& geometry, Extent image) {
  double factor = 1;
  if (geometry.w && geometry.h) {
    const double across = *geometry.w / image.w, down = *geometry.h / image.h;
    factor = geometry.cover ? std::max(across, down) : std::min(across, down);
  } else if (geometry.w) {
    factor = *geometry.w / image.w;
  } else if (geometry.h) {
    factor = *geometry.h / image.h;
  }
  return {at_least_one(factor * image.w), at_least_one(factor * image.h)};
}

// W@: the same proportions in about W pixels.
Extent of_area(const Geometry& geometry, Extent image) {
  const double factor = std::sqrt(*geometry.w / static_cast<double>(image.area()));
  return {at_least_one(factor * image.w), at_least_one(factor * image.h)};
}

// How far the rectangle's zero point lies from the canvas' left (or top): at the start, the middle or the
// end.
double anchor(std::string_view gravity, std::string_view start, std::string_view end, double canvas,
              double length) {
  if (gravity.empty() || gravity == "none" || gravity == "forget" ||
      gravity.find(start) != std::string_view::npos)
    return 0;
  return gravity.find(end) != std::string_view::npos ? canvas - length
                                                     : std::floor(canvas / 2) - std::floor(length / 2);
}

Result<std::string> known_gravity(std::string_view gravity) {
  std::string lower(gravity);
  for (char& c : lower) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
  static constexpr std::string_view words[] = {"",      "none",      "forget",    "northwest",
                                               "north", "northeast", "west",      "center",
                                               "east",  "southwest", "southeast", "south"};
  if (std::find(std::begin(words), std::end(words), lower) == std::end(words))
    return fail(Errc::invalid, "-gravity '" + std::string(gravity) +
                                   "' is not known: give Center or a point of the compass");
  return lower;
}

// One axis of the rectangle asked for, on the canvas. A length of 0 is the canvas' own.
void place(double length, double offset, double canvas, std::string_view gravity, std::string_view start,
           std::string_view end, std::int64_t& at, std::uint32_t& size) {
  if (length == 0) length = canvas;
  const bool from_end = gravity.find(end) != std::string_view::npos;
  const double zero = anchor(gravity, start, end, canvas, length);
  at = static_cast<std::int64_t>(from_end ? zero - offset : zero + offset);
  size = static_cast<std::uint32_t>(std::min(length, widest));
}

}  // namespace

Result<Geometry> parse_geometry(std::string_view what, std::string_view text) {
  constexpr std::string_view wanted = "[W][xH][+X+Y], with %, !, <, >, ^ or @ where it applies";
  Geometry geometry;
  Cursor at{text};
  geometry.w = at.number();
  take_flags(at, geometry);
  if (at.take('x') || at.take('X')) {
    geometry.h = at.number();
    if (!geometry.h && !geometry.w) return junk(what, text, wanted);
    take_flags(at, geometry);
  }
  if (!take_offset(at, geometry, geometry.x) || !take_offset(at, geometry, geometry.y))
    return junk(what, text, wanted);
  if (text.empty() || !at.rest.empty()) return junk(what, text, wanted);
  if (!geometry.w && !geometry.h && !geometry.x) return junk(what, text, wanted);
  for (const auto& part : {geometry.w, geometry.h, geometry.x, geometry.y})
    if (part && std::abs(*part) > (geometry.area ? widest * widest : widest))
      return fail(Errc::invalid,
                  std::string(what) + " '" + std::string(text) + "': a number is out of range");
  return geometry;
}

Result<double> parse_number(std::string_view what, std::string_view text) {
  Cursor at{text};
  const bool minus = at.take('-');
  if (!minus) (void)at.take('+');
  const auto number = at.number();
  if (!number || !at.rest.empty() || *number > widest) return junk(what, text, "a number");
  return minus ? -*number : *number;
}

Result<Extent> resized(const Geometry& geometry, Extent image, std::string_view option) {
  if ((geometry.w.value_or(1) <= 0) || (geometry.h.value_or(1) <= 0) || (!geometry.w && !geometry.h))
    return fail(Errc::invalid, std::string(option) + ": a width or height of 0 leaves no picture");
  if (geometry.area && geometry.w) {
    const Extent wanted = of_area(geometry, image);
    return geometry.shrink && wanted.area() >= image.area() ? image : wanted;
  }
  Extent wanted;
  if (geometry.percent) {
    const double across = geometry.w ? *geometry.w : *geometry.h;
    const double down = geometry.h ? *geometry.h : across;
    if (image.w * across < 50 || image.h * down < 50)
      return fail(Errc::invalid, std::string(option) + ": less than half a pixel would be left of a side");
    wanted = {at_least_one(image.w * across / 100), at_least_one(image.h * down / 100)};
  } else if (geometry.exact) {
    wanted = {geometry.w ? at_least_one(*geometry.w) : image.w,
              geometry.h ? at_least_one(*geometry.h) : image.h};
  } else {
    wanted = in_proportion(geometry, image);
  }
  if (geometry.shrink) wanted = {std::min(wanted.w, image.w), std::min(wanted.h, image.h)};
  if (geometry.enlarge) wanted = {std::max(wanted.w, image.w), std::max(wanted.h, image.h)};
  return wanted;
}

Result<Rect> extended(const Geometry& geometry, Extent image, std::string_view gravity) {
  SMALTI_TRY(const std::string toward, known_gravity(gravity));
  double w = geometry.w.value_or(0), h = geometry.h.value_or(geometry.percent ? w : 0);
  if (geometry.percent) {
    w = std::floor(w * image.w / 100 + 0.5);
    h = std::floor(h * image.h / 100 + 0.5);
  }
  if (geometry.shrink) w = std::min(w, static_cast<double>(image.w)), h = std::min(h, static_cast<double>(image.h));
  if (geometry.enlarge) w = std::max(w, static_cast<double>(image.w)), h = std::max(h, static_cast<double>(image.h));
  Rect shown;
  place(w, geometry.x.value_or(0), image.w, toward, "west", "east", shown.x, shown.size.w);
  place(h, geometry.y.value_or(0), image.h, toward, "north", "south", shown.y, shown.size.h);
  return shown;
}

Result<Crop> cropped(const Geometry& geometry, Extent image, const Rect& page, std::string_view gravity) {
  SMALTI_TRY(const std::string toward, known_gravity(gravity));
  const Extent canvas = page.size.empty() ? image : page.size;
  const Rect lies{page.x, page.y, image};  // where the image is on its canvas
  double w = geometry.w.value_or(0), h = geometry.h.value_or(geometry.w && !geometry.percent ? 0 : w);
  if (geometry.percent) {
    w = std::floor(w * image.w / 100 + 0.5);
    h = std::floor(h * image.h / 100 + 0.5);
  }
  Rect wanted;
  place(w, geometry.x.value_or(0), canvas.w, toward, "west", "east", wanted.x, wanted.size.w);
  place(h, geometry.y.value_or(0), canvas.h, toward, "north", "south", wanted.y, wanted.size.h);
  const Rect left = wanted.meet(lies);
  if (left.empty()) return fail(Errc::invalid, "-crop: the rectangle lies wholly outside the picture");
  Crop crop;
  crop.cut = {left.x - lies.x, left.y - lies.y, left.size};
  crop.page = {left.x, left.y, canvas};
  if (geometry.exact) crop.page = {left.x - wanted.x, left.y - wanted.y, wanted.size};
  return crop;
}

}  // namespace smalti::ops
