#include "ops/sidecar.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

#include "ops/metadata.h"
#include "wire/native_bytes.h"

namespace smalti::ops {

namespace {

using wire::native::Reader;
using wire::native::Writer;

constexpr std::uint16_t layout = 1;
constexpr std::size_t most_word = 255;
constexpr std::uint32_t has_blank = 4;  // a flag
constexpr std::uint32_t most_fields = 4096;
constexpr std::size_t least_field_bytes = 7;
constexpr double most_resolution = 1e6;

enum class Kind : std::uint8_t { number, real, text, blob };

void put_field(Writer& w, Kind kind, std::string_view name, std::span<const std::byte> bytes) {
  w.u8(static_cast<std::uint8_t>(kind));
  w.text(name, most_word);
  w.u32(static_cast<std::uint32_t>(bytes.size()));
  w.raw(bytes);
}

void put_number(Writer& w, Kind kind, std::string_view name, std::uint64_t bits) {
  Writer value(8);
  value.u64(bits);
  put_field(w, kind, name, value.bytes());
}

struct Fields {
  Writer out{4096};
  std::uint32_t count = 0;
};

// A field of libvips' that travels, if it is of a kind that can.
void* put_value(VipsImage*, const char* name, GValue* value, void* into) {
  auto& fields = *static_cast<Fields*>(into);
  if (!travels(name) || std::string_view(name).size() > most_word || fields.count == most_fields) return nullptr;
  const GType type = G_VALUE_TYPE(value);
  if (type == G_TYPE_INT) {
    put_number(fields.out, Kind::number, name, static_cast<std::uint64_t>(std::int64_t{g_value_get_int(value)}));
  } else if (type == G_TYPE_DOUBLE) {
    put_number(fields.out, Kind::real, name, std::bit_cast<std::uint64_t>(g_value_get_double(value)));
  } else if (type == G_TYPE_STRING || type == VIPS_TYPE_REF_STRING) {
    const char* text = type == G_TYPE_STRING ? g_value_get_string(value) : vips_value_get_ref_string(value, nullptr);
    const std::string_view view(text ? text : "");
    put_field(fields.out, Kind::text, name, std::as_bytes(std::span(view)));
  } else if (type == VIPS_TYPE_BLOB) {
    std::size_t size = 0;
    const void* data = vips_value_get_blob(value, &size);
    put_field(fields.out, Kind::blob, name, {static_cast<const std::byte*>(data), size});
  } else {
    return nullptr;
  }
  ++fields.count;
  return nullptr;
}

tl::unexpected<Error> corrupt(std::string_view what) {
  return fail(Errc::corrupt, fmt::format("what travels beside the pixels makes no sense: {}", what));
}

Result<Sidecar::Field> take_field(Reader& r) {
  const auto kind = static_cast<Kind>(r.u8());
  Sidecar::Field field;
  field.name = r.text(most_word);
  const std::uint32_t size = r.u32();
  const auto bytes = r.raw(size);
  if (r.broken() || field.name.empty() || !travels(field.name)) return corrupt("a field");
  Reader value(bytes);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  switch (kind) {
    case Kind::number:
      field.value = static_cast<std::int64_t>(value.u64());
      break;
    case Kind::real:
      field.value = std::bit_cast<double>(value.u64());
      break;
    case Kind::text:
      if (text.find('\0') != std::string_view::npos) return corrupt("a text");
      field.value = std::string(text);
      return field;
    case Kind::blob:
      field.value = std::vector<std::byte>(bytes.begin(), bytes.end());
      return field;
    default:
      return corrupt("a field's kind");
  }
  if (value.broken() || value.left() != 0) return corrupt("a number");
  return field;
}

}  // namespace

Result<std::vector<std::byte>> encode_sidecar(const PictureState& picture, std::span<const std::byte> blank) {
  VipsImage* image = picture.image.get();
  Writer w(4096);
  w.u16(layout);
  w.text(vips_enum_nick(VIPS_TYPE_INTERPRETATION, image->Type), most_word);
  w.u32((picture.alpha ? 1u : 0u) | (picture.linear ? 2u : 0u) | (blank.empty() ? 0u : has_blank));
  w.u64(static_cast<std::uint64_t>(picture.page.x));
  w.u64(static_cast<std::uint64_t>(picture.page.y));
  w.u32(picture.page.size.w);
  w.u32(picture.page.size.h);
  w.text(picture.format, most_word);
  w.u64(std::bit_cast<std::uint64_t>(image->Xres));
  w.u64(std::bit_cast<std::uint64_t>(image->Yres));
  Fields fields;
  vips_image_map(image, put_value, &fields);
  w.u32(fields.count);
  w.raw(fields.out.bytes());
  if (!blank.empty()) w.u16(static_cast<std::uint16_t>(blank.size()));
  w.raw(blank);
  return std::move(w.bytes());
}

Result<Sidecar> decode_sidecar(std::span<const std::byte> bytes) {
  Reader r(bytes);
  if (const auto version = r.u16(); version != layout)
    return fail(Errc::unsupported, fmt::format("the image was written by another version of Smalti (layout {})", version));
  Sidecar out;
  const std::string interpretation = r.text(most_word);
  const int nick = vips_enum_from_nick("smalti", VIPS_TYPE_INTERPRETATION, interpretation.c_str());
  if (nick < 0) {
    vips_error_clear();
    return corrupt("its colour space");
  }
  out.interpretation = static_cast<VipsInterpretation>(nick);
  const std::uint32_t flags = r.u32();
  out.alpha = (flags & 1) != 0;
  out.linear = (flags & 2) != 0;
  out.page.x = static_cast<std::int64_t>(r.u64());
  out.page.y = static_cast<std::int64_t>(r.u64());
  out.page.size.w = r.u32();
  out.page.size.h = r.u32();
  out.format = r.text(most_word);
  out.resolution_x = std::bit_cast<double>(r.u64());
  out.resolution_y = std::bit_cast<double>(r.u64());
  const auto sane = [](double v) { return std::isfinite(v) && v >= 0 && v <= most_resolution; };
  constexpr std::int64_t far = std::int64_t{1} << 40;
  if (!sane(out.resolution_x) || !sane(out.resolution_y) || std::abs(out.page.x) > far || std::abs(out.page.y) > far)
    return corrupt("its resolution or page");
  const std::uint32_t fields = r.u32();
  if (r.broken() || fields > most_fields || fields * least_field_bytes > r.left()) return corrupt("its fields");
  for (std::uint32_t i = 0; i < fields; ++i) {
    SMALTI_TRY(auto field, take_field(r));
    out.fields.push_back(std::move(field));
  }
  if ((flags & has_blank) != 0) {
    const auto blank = r.raw(r.u16());
    out.blank.assign(blank.begin(), blank.end());
  }
  if (r.broken() || r.left() != 0) return corrupt("its end");
  return out;
}

Result<void> restore(const Sidecar& sidecar, PictureState& picture) {
  VipsImage* image = picture.image.get();
  if (sidecar.alpha && image->Bands < 2) return corrupt("alpha without a colour");
  picture.alpha = sidecar.alpha;
  picture.linear = sidecar.linear;
  picture.page = sidecar.page;
  picture.format = sidecar.format;
  for (const Sidecar::Field& field : sidecar.fields) {
    const char* name = field.name.c_str();
    if (const auto* number = std::get_if<std::int64_t>(&field.value))
      vips_image_set_int(image, name, static_cast<int>(*number));
    else if (const auto* real = std::get_if<double>(&field.value))
      vips_image_set_double(image, name, *real);
    else if (const auto* text = std::get_if<std::string>(&field.value))
      vips_image_set_string(image, name, text->c_str());
    else if (const auto* blob = std::get_if<std::vector<std::byte>>(&field.value))
      vips_image_set_blob_copy(image, name, blob->data(), blob->size());
  }
  image->Xres = sidecar.resolution_x;
  image->Yres = sidecar.resolution_y;
  return {};
}

}  // namespace smalti::ops
