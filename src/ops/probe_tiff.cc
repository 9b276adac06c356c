// TIFF's directories, classic and Big: only what decides about sizes, memory and offsets.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <unordered_set>

#include "ops/probe.h"

namespace smalti::ops {

namespace {

constexpr std::size_t most_pages = 65535;
constexpr std::uint64_t most_entries = 4096;

enum Tag : std::uint16_t {
  image_width = 256,
  image_length = 257,
  bits_per_sample = 258,
  compression = 259,
  samples_per_pixel = 277,
  rows_per_strip = 278,
  strip_byte_counts = 279,
  x_resolution = 282,
  y_resolution = 283,
  planar_configuration = 284,
  x_position = 286,
  y_position = 287,
  tile_length = 323,
};

struct Directory {
  std::uint64_t width = 0, height = 0, bits = 1, packing = 1, samples = 1, rows = 0, planar = 1,
                tile_height = 0;
  std::uint64_t strip_bytes = 0;  // of the first strip, as stored
  double x_resolution = 0, y_resolution = 0, x = 0, y = 0;
  std::uint64_t next = 0;  // where the next directory is; 0: this is the last
};

class Reader {
 public:
  Reader(const InputFile& file, bool little, bool big) : bytes_(file, little), big_(big) {}

  std::optional<std::uint64_t> pointer(std::uint64_t at) const {
    if (big_) return bytes_.u64(at);
    return bytes_.u32(at);
  }
  std::optional<Directory> directory(std::uint64_t at) const;

 private:
  std::uint64_t entry_bytes() const { return big_ ? 20 : 12; }
  std::uint64_t first_value(std::uint64_t entry) const;
  double rational(std::uint64_t entry) const;
  void take(Directory& into, std::uint64_t entry) const;

  Bytes bytes_;
  bool big_;
};

// The first value of an entry, whichever integer type holds it; 0 where there is none.
std::uint64_t Reader::first_value(std::uint64_t entry) const {
  const std::uint16_t type = bytes_.u16(entry + 2).value_or(0);
  const std::uint64_t count =
      (big_ ? bytes_.u64(entry + 4) : std::optional<std::uint64_t>(bytes_.u32(entry + 4))).value_or(0);
  const std::uint64_t size = type == 3 ? 2 : type == 4 ? 4 : type == 16 ? 8 : 1;
  const std::uint64_t field = entry + (big_ ? 12 : 8);
  const std::uint64_t room = big_ ? 8 : 4;
  const std::uint64_t at = count > room / size ? pointer(field).value_or(0) : field;
  if (type == 3) return bytes_.u16(at).value_or(0);
  if (type == 4) return bytes_.u32(at).value_or(0);
  if (type == 16) return bytes_.u64(at).value_or(0);
  return bytes_.u8(at).value_or(0);
}

double Reader::rational(std::uint64_t entry) const {
  const std::uint64_t field = entry + (big_ ? 12 : 8);
  const std::uint64_t at = big_ ? field : pointer(field).value_or(0);
  const double above = bytes_.u32(at).value_or(0), below = bytes_.u32(at + 4).value_or(0);
  return below > 0 ? above / below : 0;
}

void Reader::take(Directory& into, std::uint64_t entry) const {
  switch (bytes_.u16(entry).value_or(0)) {
    case image_width:
      into.width = first_value(entry);
      break;
    case image_length:
      into.height = first_value(entry);
      break;
    case bits_per_sample:
      into.bits = first_value(entry);
      break;
    case compression:
      into.packing = first_value(entry);
      break;
    case samples_per_pixel:
      into.samples = first_value(entry);
      break;
    case rows_per_strip:
      into.rows = first_value(entry);
      break;
    case strip_byte_counts:
      into.strip_bytes = first_value(entry);
      break;
    case planar_configuration:
      into.planar = first_value(entry);
      break;
    case tile_length:
      into.tile_height = first_value(entry);
      break;
    case x_resolution:
      into.x_resolution = rational(entry);
      break;
    case y_resolution:
      into.y_resolution = rational(entry);
      break;
    case x_position:
      into.x = rational(entry);
      break;
    case y_position:
      into.y = rational(entry);
      break;
    default:
      break;
  }
}

std::optional<Directory> Reader::directory(std::uint64_t at) const {
  const auto count = big_ ? bytes_.u64(at) : std::optional<std::uint64_t>(bytes_.u16(at));
  if (!count || *count == 0 || *count > most_entries) return std::nullopt;
  Directory out;
  const std::uint64_t first = at + (big_ ? 8 : 2);
  for (std::uint64_t i = 0; i < *count; ++i) take(out, first + i * entry_bytes());
  const auto next = pointer(first + *count * entry_bytes());
  if (!next) return std::nullopt;
  out.next = *next;
  return out;
}

// JPEG is not among them: it would lose once more.
std::string_view packing_word(std::uint64_t number) {
  switch (number) {
    case 5:
      return "LZW";
    case 8:
    case 32946:
      return "Zip";
    case 32773:
      return "RLE";
    case 50000:
      return "Zstd";
    default:
      return {};
  }
}

Leaf leaf_of(const Directory& directory) {
  Leaf leaf;
  leaf.packing = packing_word(directory.packing);
  leaf.width = directory.width;
  leaf.height = directory.height;
  const auto offset = [](double inches, double a_unit) {
    const double pixels = std::ceil(inches * a_unit - 0.5);
    return pixels > 0 && pixels < 1e9 ? static_cast<std::int64_t>(pixels) : 0;
  };
  leaf.page.x = offset(directory.x, directory.x_resolution);
  leaf.page.y = offset(directory.y, directory.y_resolution);
  const std::uint64_t row =
      product(directory.width, directory.samples, std::max<std::uint64_t>(directory.bits, 8) / 8);
  if (directory.tile_height != 0) {
    leaf.held = product(row, std::min(directory.tile_height, std::max<std::uint64_t>(directory.height, 1)));
    leaf.why = "a TIFF of large tiles";
    leaf.cure = "save it with smaller tiles";
    return leaf;
  }
  const std::uint64_t rows =
      directory.rows == 0 ? directory.height : std::min(directory.rows, directory.height);
  const std::uint64_t unpacked = product(row, rows);
  // A strip of many rows is decoded row by row, but what it was packed to is kept whole.
  const bool by_rows = rows > 128 && directory.planar == 1;
  leaf.held = by_rows && directory.packing == 1 ? 0
              : by_rows                         ? std::min(directory.strip_bytes, unpacked)
                                                : unpacked;
  leaf.why = rows == directory.height ? "a TIFF of one strip" : "a TIFF of large strips";
  leaf.cure = "save it with strips of fewer rows";
  return leaf;
}

}  // namespace

Result<std::vector<Leaf>> probe_tiff(const InputFile& file) {
  const auto broken = [&](std::string_view what) {
    return fail(Errc::corrupt, fmt::format("'{}' is not a whole TIFF file: {}", file.name(), what));
  };
  const auto mark = Bytes(file, false).u16(0);
  if (!mark) return broken("it ends within its header");
  const bool little = *mark == 0x4949;
  const bool big = Bytes(file, little).u16(2) == 43;
  const Reader reader(file, little, big);
  auto at = reader.pointer(big ? 8 : 4);
  if (!at || *at == 0) return broken("it ends within its header");
  std::vector<Leaf> leaves;
  std::unordered_set<std::uint64_t> seen;
  while (*at != 0) {
    if (!seen.insert(*at).second) return broken("its directories go in a circle");
    if (leaves.size() >= most_pages) return broken("it has too many pages");
    const auto directory = reader.directory(*at);
    if (!directory)
      return broken(fmt::format("the directory of page {} is damaged or missing", leaves.size()));
    leaves.push_back(leaf_of(*directory));
    at = directory->next;
  }
  return leaves;
}

}  // namespace smalti::ops
