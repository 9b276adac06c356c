#include "wire/tile_coding.h"

#include <fmt/format.h>
#include <lz4.h>
#include <zstd.h>

#include <cstring>
#include <memory>
#include <vector>

namespace smalti::wire::native {

namespace {

constexpr std::size_t head_bytes = 4;  // coder, filters, and two of zero
constexpr int zstd_level = 1;

// Filters, as they lie in the second byte.
constexpr std::uint8_t delta = 1;   // each sample less the one to its left
constexpr std::uint8_t planes = 2;  // low bytes of all samples first, then the high ones

constexpr PixelFormat one_byte{Sample::u8, 1, 0};

tl::unexpected<Error> damaged() { return fail(Errc::corrupt, "a coded tile is damaged"); }

// Both filters want whole samples and nothing but samples in a pixel.
std::uint8_t filters_for(PixelFormat format) {
  if (format.meta_bytes != 0) return 0;
  if (format.sample == Sample::u8) return delta;
  return format.sample == Sample::u16 ? delta | planes : 0;
}

std::uint16_t sample_at(const std::byte* at) noexcept {
  std::uint16_t sample;
  std::memcpy(&sample, at, 2);
  return sample;
}

// A row's first pixel has no left neighbour, and stays.
void filter_bytes(const std::byte* from, std::byte* to, std::size_t row, std::size_t rows, std::size_t channels) {
  for (std::size_t y = 0; y < rows; ++y, from += row, to += row) {
    std::memcpy(to, from, channels);
    for (std::size_t i = channels; i < row; ++i)
      to[i] = static_cast<std::byte>(std::to_integer<int>(from[i]) - std::to_integer<int>(from[i - channels]));
  }
}

// In place. The number of channels is a constant where it can be: each keeps its running value in a register.
template <std::size_t known>
void sum_bytes(std::byte* row_at, std::size_t row, std::size_t rows, std::size_t some) {
  const std::size_t channels = known ? known : some;
  for (std::size_t y = 0; y < rows; ++y, row_at += row)
    for (std::size_t i = channels; i < row; ++i)
      row_at[i] = static_cast<std::byte>(std::to_integer<int>(row_at[i]) + std::to_integer<int>(row_at[i - channels]));
}

void filter_words(const std::byte* from, std::byte* to, std::size_t row, std::size_t rows, std::size_t channels) {
  std::byte* low = to;
  std::byte* high = to + row * rows;
  for (std::size_t y = 0; y < rows; ++y, from += 2 * row, low += row, high += row) {
    for (std::size_t i = 0; i < channels; ++i) {
      const std::uint16_t sample = sample_at(from + 2 * i);
      low[i] = static_cast<std::byte>(sample);
      high[i] = static_cast<std::byte>(sample >> 8);
    }
    for (std::size_t i = channels; i < row; ++i) {
      const auto difference = static_cast<std::uint16_t>(sample_at(from + 2 * i) - sample_at(from + 2 * (i - channels)));
      low[i] = static_cast<std::byte>(difference);
      high[i] = static_cast<std::byte>(difference >> 8);
    }
  }
}

template <std::size_t known>
void sum_words(const std::byte* from, std::byte* to, std::size_t row, std::size_t rows, std::size_t some) {
  const std::size_t channels = known ? known : some;
  const std::byte* low = from;
  const std::byte* high = from + row * rows;
  for (std::size_t y = 0; y < rows; ++y, to += 2 * row, low += row, high += row)
    for (std::size_t i = 0; i < row; ++i) {
      const std::uint16_t left = i < channels ? std::uint16_t{0} : sample_at(to + 2 * (i - channels));
      const int difference = std::to_integer<int>(low[i]) | std::to_integer<int>(high[i]) << 8;
      const auto sample = static_cast<std::uint16_t>(left + difference);
      std::memcpy(to + 2 * i, &sample, 2);
    }
}

// Samples of a row, rows, and channels.
struct Shape {
  std::size_t row, rows, channels;
  explicit Shape(Extent size, PixelFormat format)
      : row(std::size_t{size.w} * format.channels), rows(size.h), channels(format.channels) {}
};

template <std::size_t channels>
void unfilter_as(std::uint8_t filters, const Shape& of, const std::byte* from, std::byte* into) {
  if (filters & planes)
    sum_words<channels>(from, into, of.row, of.rows, of.channels);
  else
    sum_bytes<channels>(into, of.row, of.rows, of.channels);
}

// Undoes the filters: in place for bytes, from `from` to `into` for words.
void unfilter(std::uint8_t filters, const Shape& of, const std::byte* from, std::byte* into) {
  if (filters == 0) return;
  switch (of.channels) {
    case 1: return unfilter_as<1>(filters, of, from, into);
    case 3: return unfilter_as<3>(filters, of, from, into);
    case 4: return unfilter_as<4>(filters, of, from, into);
    default: return unfilter_as<0>(filters, of, from, into);
  }
}

struct FreeContext {
  void operator()(ZSTD_CCtx* context) const noexcept { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const noexcept { ZSTD_freeDCtx(context); }
};

// A thread's own: making one costs as much as coding a small tile.
struct Tools {
  std::unique_ptr<ZSTD_CCtx, FreeContext> coder{ZSTD_createCCtx()};
  std::unique_ptr<ZSTD_DCtx, FreeContext> decoder{ZSTD_createDCtx()};
  std::vector<std::byte> scratch;
};

Tools& tools() {
  thread_local Tools own;
  return own;
}

// Bytes of the coded form; 0 where it does not fit into `into`.
std::size_t code(Coder coder, std::span<const std::byte> from, std::span<std::byte> into) {
  const auto* in = reinterpret_cast<const char*>(from.data());
  auto* out = reinterpret_cast<char*>(into.data());
  if (coder == Coder::lz4) {
    const int size = LZ4_compress_default(in, out, static_cast<int>(from.size()), static_cast<int>(into.size()));
    return size > 0 ? static_cast<std::size_t>(size) : 0;
  }
  const std::size_t size = ZSTD_compressCCtx(tools().coder.get(), out, into.size(), in, from.size(), zstd_level);
  return ZSTD_isError(size) ? 0 : size;
}

bool uncode(Coder coder, std::span<const std::byte> from, std::span<std::byte> into) {
  const auto* in = reinterpret_cast<const char*>(from.data());
  auto* out = reinterpret_cast<char*>(into.data());
  if (coder == Coder::lz4)
    return LZ4_decompress_safe(in, out, static_cast<int>(from.size()), static_cast<int>(into.size())) ==
           static_cast<int>(into.size());
  return ZSTD_decompressDCtx(tools().decoder.get(), out, into.size(), in, from.size()) == into.size();
}

Result<Tile> strip(std::shared_ptr<const std::byte> owner, std::size_t bytes) {
  const Pixels pixels{owner.get(), {static_cast<std::uint32_t>(bytes), 1}, static_cast<std::ptrdiff_t>(bytes), one_byte};
  return Tile(pixels, std::move(owner));
}

}  // namespace

Result<Tile> encode_tile(const Tile& tile, Coder coder, TileHeap& heap) {
  const std::span<const std::byte> plain = tile.bytes();
  if (coder == Coder::none || plain.size() <= head_bytes + 1 || plain.size() > most_tile_bytes) return Tile();
  const Pixels pixels = tile.pixels();
  const std::uint8_t filters = filters_for(pixels.format);
  const Shape shape(pixels.size, pixels.format);
  std::vector<std::byte>& scratch = tools().scratch;
  std::span<const std::byte> from = plain;
  if (filters != 0) {
    scratch.resize(plain.size());
    const auto filter = filters & planes ? filter_words : filter_bytes;
    filter(plain.data(), scratch.data(), shape.row, shape.rows, shape.channels);
    from = scratch;
  }
  // Whoever does not get shorter than this is sent as it is.
  const std::size_t room = plain.size() - plain.size() / 16;
  auto buffer = heap.take(room);
  if (!buffer) return fail(Errc::limit, fmt::format("no memory to code a tile of {} bytes", plain.size()));
  const std::size_t size = code(coder, from, {buffer.get() + head_bytes, room - head_bytes});
  if (size == 0) return Tile();
  buffer.get()[0] = static_cast<std::byte>(coder);
  buffer.get()[1] = static_cast<std::byte>(filters);
  buffer.get()[2] = buffer.get()[3] = std::byte{0};
  return strip(std::move(buffer), head_bytes + size);
}

Result<Tile> decode_tile(std::span<const std::byte> coded, Extent size, PixelFormat format, TileHeap& heap) {
  if (coded.size() <= head_bytes) return damaged();
  const auto coder = static_cast<Coder>(coded[0]);
  const auto filters = std::to_integer<std::uint8_t>(coded[1]);
  if (coder != Coder::lz4 && coder != Coder::zstd)
    return fail(Errc::corrupt, fmt::format("a tile in coding {}, which is unknown here", static_cast<int>(coder)));
  if ((filters != 0 && filters != filters_for(format)) || coded[2] != std::byte{0} || coded[3] != std::byte{0})
    return fail(Errc::corrupt, fmt::format("a tile filtered in a way ({}) that is unknown here", filters));
  SMALTI_TRY(TileDraft draft, TileDraft::make(size, format, heap));
  const std::span<std::byte> into = draft.bytes();
  std::span<std::byte> raw = into;
  std::vector<std::byte>& scratch = tools().scratch;
  if (filters & planes) {
    scratch.resize(into.size());
    raw = scratch;
  }
  if (!uncode(coder, coded.subspan(head_bytes), raw)) return damaged();
  unfilter(filters, Shape(size, format), raw.data(), into.data());
  return std::move(draft).freeze();
}

}  // namespace smalti::wire::native
