#include "wire/magick_talk.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "smalti/base/checked.h"

namespace smalti::wire::magick {

namespace {

constexpr std::uint64_t most_side = std::numeric_limits<std::int32_t>::max();
constexpr std::uint64_t most_meta_bytes = 4096;

bool is_write(Command command) noexcept { return command == Command::write || command == Command::write_meta; }
Plane plane_of(Command command) noexcept {
  return command == Command::read || command == Command::write ? Plane::pixels : Plane::meta;
}

// By the edge rule every place left of -width looks alike, and so does every place right of the last column.
std::int64_t pulled_in(std::int64_t origin, std::uint64_t length, std::uint32_t image) noexcept {
  return std::clamp(origin, -static_cast<std::int64_t>(length), std::int64_t{image});
}

std::vector<std::byte> status_reply(bool ok, int times = 1) {
  const auto status = encode_status(ok);
  std::vector<std::byte> reply;
  for (int i = 0; i < times; ++i) reply.insert(reply.end(), status.begin(), status.end());
  return reply;
}

}  // namespace

Result<Shape> Shape::of(const Open& open) {
  if (open.columns == 0 || open.rows == 0 || open.columns > most_side || open.rows > most_side)
    return fail(Errc::invalid, fmt::format("an image of {}x{} pixels cannot be stored", open.columns, open.rows));
  if (open.channels == 0 || open.channels > most_channels)
    return fail(Errc::invalid, fmt::format("an image of {} channels cannot be stored (1 to {} can)", open.channels,
                                           most_channels));
  if (open.meta_bytes > most_meta_bytes)
    return fail(Errc::invalid, fmt::format("{} bytes of metacontent a pixel are too many (at most {})",
                                           open.meta_bytes, most_meta_bytes));
  Shape shape;
  shape.open_ = open;
  shape.size_ = {static_cast<std::uint32_t>(open.columns), static_cast<std::uint32_t>(open.rows)};
  shape.channels_ = static_cast<std::uint32_t>(open.channels);
  return shape;
}

std::uint64_t Shape::samples_a_pixel(Plane plane) const noexcept {
  if (plane == Plane::pixels) return channels_;
  if (open_.family == Family::im7) return 0;
  return open_.storage_class == class_pseudo || open_.colorspace == colorspace_cmyk_im6 ? 1 : 0;
}

std::uint32_t Shape::pixel_bytes(Plane plane) const noexcept {
  if (plane == Plane::meta && open_.family == Family::im7) return static_cast<std::uint32_t>(open_.meta_bytes);
  return static_cast<std::uint32_t>(samples_a_pixel(plane)) * sample_bytes_;
}

PixelFormat Shape::format(Plane plane) const noexcept {
  if (plane == Plane::meta && open_.family == Family::im7)
    return {Sample::u8, 1, static_cast<std::uint16_t>(open_.meta_bytes - 1)};
  constexpr Sample by_bytes[] = {Sample::u8, Sample::u8, Sample::u16, Sample::u8, Sample::f32,
                                 Sample::u8, Sample::u8, Sample::u8,  Sample::f64};
  return {by_bytes[sample_bytes_], static_cast<std::uint8_t>(samples_a_pixel(plane)), 0};
}

// Whole requests only teach; a request that would be whole at another sample size is one by a client whose samples
// changed, and answering it would hand out garbage.
Result<void> Shape::learn(const Region& region, std::uint64_t area, Plane plane) {
  const std::uint64_t samples = samples_a_pixel(plane);
  if (samples == 0 || region.length == 0) return {};
  for (const std::uint32_t size : {1, 2, 4, 8}) {
    const auto whole = checked_mul(area, samples * size);
    if (!whole || *whole != region.length) continue;
    if (sample_bytes_ == 0) sample_bytes_ = size;
    if (sample_bytes_ == size) return {};
    return fail(Errc::incompatible, fmt::format("samples of {} bytes in an image whose samples have {}", size,
                                                sample_bytes_));
  }
  if (sample_bytes_ == 0)
    return fail(Errc::incompatible, fmt::format("{} bytes for {}x{} pixels of {} samples tell no sample size",
                                                region.length, region.width, region.height, samples));
  return {};
}

Result<Access> Shape::admit(const Region& region) {
  const Plane plane = plane_of(region.command);
  const auto where = [&] {
    return fmt::format("{}x{}{:+}{:+} in an image of {}x{} pixels", region.width, region.height, region.x, region.y,
                       size_.w, size_.h);
  };
  if (region.width == 0 || region.height == 0 || region.width > size_.w || region.height > size_.h)
    return fail(Errc::invalid, fmt::format("region {}: empty, or larger than the image", where()));
  const std::uint64_t area = region.width * region.height;  // both fit 31 bits
  SMALTI_CHECK(learn(region, area, plane));
  const std::uint32_t bytes = pixel_bytes(plane);
  if (bytes == 0 && (region.length != 0 || plane == Plane::meta))
    return fail(Errc::invalid, "the image has neither metacontent nor indexes");
  const auto whole = checked_mul<std::uint64_t>(area, bytes);
  if (!whole || region.length > *whole)
    return fail(Errc::invalid, fmt::format("region {}: {} bytes are more than it has", where(), region.length));
  const Extent size{static_cast<std::uint32_t>(region.width), static_cast<std::uint32_t>(region.height)};
  const Rect rect{pulled_in(region.x, region.width, size_.w), pulled_in(region.y, region.height, size_.h), size};
  if (is_write(region.command) && !rect.inside(size_))
    return fail(Errc::invalid, fmt::format("region {}: a write outside the image", where()));
  return Access{is_write(region.command), plane, rect, region.length, *whole};
}

Step Talk::next(Bytes bytes) {
  auto parsed = parse_frame(family_, bytes);
  if (!parsed) return refuse(parsed.error().what, false);
  if (!*parsed) return {};
  const Frame& frame = **parsed;
  if (!same(frame.key, key_)) return refuse("a request with a key that is not this connection's", status_);
  Step step = std::visit([this](const auto& request) { return take(request); }, frame.request);
  step.used = frame.bytes;
  return step;
}

Step Talk::take(const Open& open) {
  auto shape = Shape::of(open);
  open_ = false;
  status_ = false;
  if (!shape) {
    Step step = refuse(shape.error().what, false);
    step.reply = status_reply(false, 2);
    return step;
  }
  shape_ = std::move(*shape);
  return {.kind = Step::Kind::open};
}

Step Talk::take(const Region& region) {
  if (!has_image()) return refuse("a request for pixels before an image is open", false);
  auto access = shape_->admit(region);
  if (!access) return refuse(access.error().what, false);
  status_ = true;
  return {.kind = Step::Kind::transfer, .access = *access};
}

Step Talk::take(const Destroy&) { return {.kind = Step::Kind::destroy, .reply = status_reply(has_image())}; }

Step Talk::refuse(std::string why, bool status) const {
  return {.kind = Step::Kind::refuse, .reply = status_reply(status), .why = std::move(why)};
}

// A refusal is said twice: as the answer to `o`, and at the end of the session.
std::vector<std::byte> Talk::opened(bool ok) {
  open_ = ok;
  status_ = ok;
  return status_reply(ok, ok ? 1 : 2);
}

std::vector<std::byte> Talk::failed(const Access& access) {
  if (!access.write && access.length <= status_bytes) return {};
  return status_reply(false);
}

}  // namespace smalti::wire::magick
