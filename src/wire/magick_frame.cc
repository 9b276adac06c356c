#include "wire/magick_frame.h"

#include <fmt/format.h>

#include <cstring>
#include <type_traits>

namespace smalti::wire::magick {

namespace {

// Fields are little-endian without padding. REQUIRES of the caller: enough bytes.
class Reader {
 public:
  explicit Reader(Bytes bytes) noexcept : bytes_(bytes) {}

  template <class T>
  T take() noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < sizeof(T); ++i) value |= std::to_integer<std::uint64_t>(bytes_[at_ + i]) << (8 * i);
    at_ += sizeof(T);
    return static_cast<T>(value);
  }

 private:
  Bytes bytes_;
  std::size_t at_ = 0;
};

class Writer {
 public:
  explicit Writer(std::size_t expected) { out_.reserve(expected); }

  template <class T>
  void put(T value) {
    const auto raw = static_cast<std::uint64_t>(value);
    for (std::size_t i = 0; i < sizeof(T); ++i) out_.push_back(static_cast<std::byte>(raw >> (8 * i)));
  }
  void put(const Key& key) { out_.insert(out_.end(), key.begin(), key.end()); }
  std::vector<std::byte> done() && { return std::move(out_); }

 private:
  std::vector<std::byte> out_;
};

// With wide masks every later field stands four bytes further on. Read as if it did not, `columns` begins with the
// mask's upper half (unused: zero) and ends with the true columns, and so it is with `rows`: each is a multiple of
// 2^32, which no image has.
bool looks_wide(Bytes bytes) noexcept {
  Reader sizes(bytes.subspan(25));
  const auto columns = sizes.take<std::uint64_t>();
  const auto rows = sizes.take<std::uint64_t>();
  return columns != 0 && rows != 0 && (columns & 0xffffffff) == 0 && (rows & 0xffffffff) == 0;
}

std::size_t open_bytes(Family family, bool wide) noexcept {
  if (family == Family::im6) return open_bytes_im6;
  return wide ? open_bytes_im7_wide : open_bytes_im7;
}

Open parse_open_im6(Reader in) noexcept {
  Open open{.family = Family::im6};
  open.storage_class = in.take<std::uint32_t>();
  open.colorspace = in.take<std::uint32_t>();
  open.masks = in.take<std::uint64_t>();
  open.columns = in.take<std::uint64_t>();
  open.rows = in.take<std::uint64_t>();
  return open;
}

Open parse_open_im7(Reader in, bool wide) noexcept {
  Open open{.family = Family::im7, .wide_masks = wide};
  open.storage_class = in.take<std::uint32_t>();
  open.colorspace = in.take<std::uint32_t>();
  open.alpha = in.take<std::uint32_t>();
  open.masks = wide ? in.take<std::uint64_t>() : in.take<std::uint32_t>();
  open.columns = in.take<std::uint64_t>();
  open.rows = in.take<std::uint64_t>();
  open.channels = in.take<std::uint64_t>();
  for (ChannelEntry& entry : open.map) {
    entry.channel = in.take<std::uint32_t>();
    entry.traits = in.take<std::uint32_t>();
    entry.offset = in.take<std::int64_t>();
  }
  open.meta_bytes = in.take<std::uint64_t>();
  return open;
}

Region parse_region(Command command, Reader in) noexcept {
  Region region{.command = command};
  region.width = in.take<std::uint64_t>();
  region.height = in.take<std::uint64_t>();
  region.x = in.take<std::int64_t>();
  region.y = in.take<std::int64_t>();
  region.length = in.take<std::uint64_t>();
  return region;
}

void encode_body(const Open& open, Writer& out) {
  out.put(open.storage_class);
  out.put(open.colorspace);
  if (open.family == Family::im6) {
    out.put(open.masks);
    out.put(open.columns);
    out.put(open.rows);
    return;
  }
  out.put(open.alpha);
  if (open.wide_masks)
    out.put(open.masks);
  else
    out.put(static_cast<std::uint32_t>(open.masks));
  out.put(open.columns);
  out.put(open.rows);
  out.put(open.channels);
  for (const ChannelEntry& entry : open.map) {
    out.put(entry.channel);
    out.put(entry.traits);
    out.put(entry.offset);
  }
  out.put(open.meta_bytes);
}

void encode_body(const Region& region, Writer& out) {
  out.put(region.width);
  out.put(region.height);
  out.put(region.x);
  out.put(region.y);
  out.put(region.length);
}

void encode_body(const Destroy&, Writer&) {}

char letter_of(const Request& request) noexcept {
  if (const auto* region = std::get_if<Region>(&request)) return static_cast<char>(region->command);
  return static_cast<char>(std::holds_alternative<Open>(request) ? Command::open : Command::destroy);
}

}  // namespace

Result<std::optional<Frame>> parse_frame(Family family, Bytes bytes) {
  if (bytes.empty()) return std::optional<Frame>();
  const auto command = static_cast<Command>(bytes[0]);
  std::size_t need = 0;
  bool wide = false;
  switch (command) {
    case Command::open:
      if (bytes.size() < open_bytes_im6) return std::optional<Frame>();
      wide = family == Family::im7 && looks_wide(bytes);
      need = open_bytes(family, wide);
      break;
    case Command::read:
    case Command::write:
    case Command::read_meta:
    case Command::write_meta: need = region_bytes; break;
    case Command::destroy: need = destroy_bytes; break;
    default:
      return fail(Errc::unsupported, fmt::format("no command of ImageMagick's begins with byte 0x{:02x}",
                                                 std::to_integer<unsigned>(bytes[0])));
  }
  if (bytes.size() < need) return std::optional<Frame>();
  Frame frame{.bytes = need};
  std::memcpy(frame.key.data(), bytes.data() + 1, frame.key.size());
  const Reader body(bytes.subspan(prefix_bytes));
  if (command == Command::open)
    frame.request = family == Family::im6 ? parse_open_im6(body) : parse_open_im7(body, wide);
  else if (command == Command::destroy)
    frame.request = Destroy{};
  else
    frame.request = parse_region(command, body);
  return std::optional(frame);
}

std::vector<std::byte> encode(const Request& request, const Key& key) {
  Writer out(most_header_bytes);
  out.put(letter_of(request));
  out.put(key);
  std::visit([&](const auto& body) { encode_body(body, out); }, request);
  return std::move(out).done();
}

std::array<std::byte, status_bytes> encode_status(bool ok) noexcept {
  return {static_cast<std::byte>(ok ? 1 : 0), std::byte{0}, std::byte{0}, std::byte{0}};
}

}  // namespace smalti::wire::magick
