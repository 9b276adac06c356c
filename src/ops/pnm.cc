#include "ops/pnm.h"

#include <fmt/format.h>

#include <bit>
#include <charconv>
#include <limits>
#include <optional>
#include <string>

#include "ops/probe.h"

namespace smalti::ops {

namespace {

constexpr std::size_t most_header = 1 << 16;
constexpr std::size_t most_pictures = 65535;

struct Header {
  char kind = 0;                                             // '1' to '7', 'f', 'F'
  std::uint64_t width = 0, height = 0, depth = 1, most = 1;  // most: the sample that means full
  std::string tuple;                                         // PAM's TUPLTYPE
  std::uint64_t data = 0;                                    // where the rows begin

  bool wide() const noexcept { return most > 255; }
  std::uint64_t row_bytes() const noexcept {
    return kind == '4' ? width / 8 + (width % 8 != 0) : product(width, depth, wide() ? 2 : 1);
  }
  std::uint64_t bytes() const noexcept { return product(row_bytes(), height); }
};

// Words of a header: separated by space, `#` to the line's end is a comment.
class Words {
 public:
  explicit Words(std::string_view text) : text_(text) {}
  std::string_view next() {
    while (at_ < text_.size() && (space(text_[at_]) || text_[at_] == '#')) {
      if (text_[at_] == '#')
        skip_line();
      else
        ++at_;
    }
    const std::size_t from = at_;
    while (at_ < text_.size() && !space(text_[at_])) ++at_;
    return text_.substr(from, at_ - from);
  }
  std::optional<std::uint64_t> number() {
    const std::string_view word = next();
    std::uint64_t value = 0;
    const auto [end, failed] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (failed != std::errc() || end != word.data() + word.size() ||
        value > std::numeric_limits<std::uint32_t>::max())
      return std::nullopt;
    return value;
  }
  void skip_line() {
    while (at_ < text_.size() && text_[at_] != '\n') ++at_;
  }
  std::size_t at() const noexcept { return at_; }
  bool ended() const noexcept { return at_ >= text_.size(); }

 private:
  static bool space(char c) noexcept {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f';
  }
  std::string_view text_;
  std::size_t at_ = 0;
};

bool parse_pam(Words& words, Header& out) {
  for (int lines = 0; lines < 1000; ++lines) {
    const std::string_view word = words.next();
    if (word == "ENDHDR") return out.width != 0 && out.height != 0;
    if (word == "TUPLTYPE") {
      out.tuple = words.next();
      continue;
    }
    const auto value = words.number();
    if (!value) return false;
    if (word == "WIDTH")
      out.width = *value;
    else if (word == "HEIGHT")
      out.height = *value;
    else if (word == "DEPTH")
      out.depth = *value;
    else if (word == "MAXVAL")
      out.most = *value;
    else
      return false;
  }
  return false;
}

// nullopt: not a header of P4 to P7.
std::optional<Header> parse(const InputFile& file, std::uint64_t at) {
  const auto head = file.peek(at, most_header);
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  if (text.size() < 3 || text[0] != 'P' || text[1] < '4' || text[1] > '7') return std::nullopt;
  Header out;
  out.kind = text[1];
  Words words(text.substr(2));
  if (out.kind == '7') {
    if (!parse_pam(words, out)) return std::nullopt;
  } else {
    const auto wide = words.number(), high = words.number();
    const auto most = out.kind == '4' ? std::optional<std::uint64_t>(1) : words.number();
    if (!wide || !high || !most) return std::nullopt;
    out.width = *wide;
    out.height = *high;
    out.most = *most;
    out.depth = out.kind == '6' ? 3 : 1;
  }
  if (words.ended() || out.most == 0 || out.most > 65535 || out.depth == 0 || out.depth > 255)
    return std::nullopt;
  out.data = at + 2 + words.at() + 1;  // one white space ends the header
  return out;
}

std::string_view variant_of(const Header& header) {
  return header.kind == '4' ? "PBM" : header.kind == '5' ? "PGM" : header.kind == '6' ? "PPM" : "PAM";
}

std::vector<Header> headers(const InputFile& file) {
  std::vector<Header> out;
  for (std::uint64_t at = 0; at < file.size() && out.size() < most_pictures;) {
    const auto header = parse(file, at);
    if (!header) break;
    out.push_back(*header);
    if (header->bytes() > file.size() - std::min(file.size(), header->data)) break;
    at = header->data + header->bytes();
    // Text between pictures, as some writers leave it, is not another picture.
    while (file.peek(at, 1) == std::vector<std::byte>{std::byte{'\n'}}) ++at;
  }
  return out;
}

// One picture's rows, and how its samples become ours.
struct Rows {
  std::shared_ptr<const InputFile> file;
  Header header;
  bool salvage;
};

void widen(const Rows& rows, const std::byte* from, std::uint64_t first, std::uint64_t samples,
           std::byte* to) {
  const std::uint64_t most = rows.header.most;
  if (rows.header.kind == '4') {
    for (std::uint64_t i = 0; i < samples; ++i) {
      const std::uint64_t bit = first + i;
      const bool black = (static_cast<unsigned>(from[bit / 8]) >> (7 - bit % 8) & 1) != 0;
      to[i] = black ? std::byte{0} : std::byte{255};
    }
  } else if (rows.header.wide()) {
    auto* out = reinterpret_cast<std::uint16_t*>(to);
    from += 2 * first;
    for (std::uint64_t i = 0; i < samples; ++i) {
      const std::uint64_t value =
          static_cast<unsigned>(from[2 * i]) << 8 | static_cast<unsigned>(from[2 * i + 1]);
      out[i] = static_cast<std::uint16_t>(most == 65535 ? value
                                                        : (std::min(value, most) * 65535 + most / 2) / most);
    }
  } else {
    from += first;
    for (std::uint64_t i = 0; i < samples; ++i) {
      const std::uint64_t value = static_cast<std::uint8_t>(from[i]);
      to[i] = static_cast<std::byte>(most == 255 ? value : (std::min(value, most) * 255 + most / 2) / most);
    }
  }
}

int generate(VipsRegion* region, void*, void* a, void*, gboolean*) {
  const auto& rows = *static_cast<const Rows*>(a);
  const VipsRect& want = region->valid;
  const std::uint64_t row_bytes = rows.header.row_bytes();
  const std::uint64_t depth = rows.header.depth;
  std::vector<std::byte> row(row_bytes);
  for (int y = want.top; y < want.top + want.height; ++y) {
    const std::uint64_t at = rows.header.data + static_cast<std::uint64_t>(y) * row_bytes;
    if (!rows.file->read(at, row)) {
      if (!rows.salvage) {
        vips_error("pnm", "the file ends in row %d", y);
        return -1;
      }
      std::fill(row.begin(), row.end(), std::byte{0});
      const auto rest = rows.file->peek(at, row_bytes);
      std::copy(rest.begin(), rest.end(), row.begin());
    }
    widen(rows, row.data(), static_cast<std::uint64_t>(want.left) * depth,
          static_cast<std::uint64_t>(want.width) * depth,
          reinterpret_cast<std::byte*>(VIPS_REGION_ADDR(region, want.left, y)));
  }
  return 0;
}

VipsInterpretation interpretation_of(const Header& header) {
  if (header.tuple.rfind("CMYK", 0) == 0) return VIPS_INTERPRETATION_CMYK;
  if (header.depth < 3) return header.wide() ? VIPS_INTERPRETATION_GREY16 : VIPS_INTERPRETATION_B_W;
  return header.wide() ? VIPS_INTERPRETATION_RGB16 : VIPS_INTERPRETATION_sRGB;
}

}  // namespace

bool is_pnm(std::span<const std::byte> head) {
  if (head.size() < 3 || head[0] != std::byte{'P'}) return false;
  const char kind = static_cast<char>(head[1]);
  const char next = static_cast<char>(head[2]);
  const bool spaced = next == ' ' || next == '\n' || next == '\r' || next == '\t' || next == '#';
  return spaced && ((kind >= '1' && kind <= '7') || kind == 'f' || kind == 'F');
}

Result<std::vector<Leaf>> probe_pnm(const InputFile& file) {
  const auto head = file.peek(0, 3);
  const char kind = head.size() > 1 ? static_cast<char>(head[1]) : 0;
  if (kind < '4' || kind > '7') {
    Leaf leaf;
    leaf.variant = kind == '1' ? "PBM" : kind == '2' ? "PGM" : kind == '3' ? "PPM" : "PFM";
    return std::vector<Leaf>{leaf};
  }
  std::vector<Leaf> leaves;
  for (const Header& header : headers(file)) {
    Leaf leaf;
    leaf.width = header.width;
    leaf.height = header.height;
    leaf.variant = variant_of(header);
    leaves.push_back(leaf);
  }
  if (leaves.empty())
    return fail(Errc::corrupt,
                fmt::format("'{}' is not a whole PNM file: its header is damaged or cut short", file.name()));
  return leaves;
}

Result<VipsPtr> open_pnm(const Decode& decode) {
  const auto all = headers(*decode.file);
  VipsImage* out = nullptr;
  if (all.empty()) {
    if (vips_ppmload(decode.file->path().c_str(), &out, "access", VIPS_ACCESS_SEQUENTIAL, nullptr) != 0)
      return vips_fail(Errc::corrupt, fmt::format("'{}'", decode.file->name()));
    return VipsPtr(out);
  }
  const Header& header = all.at(decode.scene);
  const std::uint64_t there = decode.file->size() - std::min(decode.file->size(), header.data);
  if (header.bytes() > there) {
    const std::string what = fmt::format("'{}' is truncated: {} of {} bytes of pixels are there",
                                         decode.file->name(), there, header.bytes());
    if (!decode.salvage)
      return fail(Errc::corrupt, what + " (-define input:salvage=true reads what there is)");
    if (decode.log) decode.log->line(Level::warning, what);
  }
  VipsPtr image(vips_image_new());
  vips_image_init_fields(image.get(), static_cast<int>(header.width), static_cast<int>(header.height),
                         static_cast<int>(header.depth),
                         header.wide() ? VIPS_FORMAT_USHORT : VIPS_FORMAT_UCHAR, VIPS_CODING_NONE,
                         interpretation_of(header), 1.0, 1.0);
  auto* rows = new Rows{decode.file, header, decode.salvage};
  g_object_set_data_full(G_OBJECT(image.get()), "smalti-rows", rows,
                         [](gpointer data) { delete static_cast<Rows*>(data); });
  if (vips_image_pipelinev(image.get(), VIPS_DEMAND_STYLE_FATSTRIP, nullptr) != 0 ||
      vips_image_generate(image.get(), nullptr, generate, nullptr, rows, nullptr) != 0)
    return vips_fail(Errc::internal, fmt::format("'{}'", decode.file->name()));
  return image;
}

}  // namespace smalti::ops
