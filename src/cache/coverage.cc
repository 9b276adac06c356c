#include "cache/coverage.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace smalti::cache {

Coverage::Coverage(Extent size)
    : size_(size),
      row_words_((std::size_t{size.w} + 63) / 64),
      left_(size.area()),
      words_(row_words_ * size.h) {}

template <class Words, class F>
void Coverage::words_of(Words& words, std::size_t first_word, std::uint32_t x, std::uint32_t w, F f) {
  const std::uint64_t end = std::uint64_t{x} + w;
  for (std::uint64_t at = x; at < end;) {
    const std::uint64_t stop = std::min(end, (at / 64 + 1) * 64);
    const std::uint64_t bits = (stop - at == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << (stop - at)) - 1)
                               << at % 64;
    f(words[first_word + at / 64], bits);
    at = stop;
  }
}

void Coverage::mark(Rect rect) {
  if (left_ == 0) return;
  for (std::uint32_t j = 0; j < rect.size.h; ++j) {
    const std::size_t first = (static_cast<std::size_t>(rect.y) + j) * row_words_;
    words_of(words_, first, static_cast<std::uint32_t>(rect.x), rect.size.w,
             [this](std::uint64_t& word, std::uint64_t bits) {
               left_ -= static_cast<std::uint64_t>(std::popcount(bits & ~word));
               word |= bits;
             });
  }
}

bool Coverage::covers(Rect rect) const noexcept {
  if (left_ == 0) return true;
  bool all = true;
  for (std::uint32_t j = 0; all && j < rect.size.h; ++j) {
    const std::size_t first = (static_cast<std::size_t>(rect.y) + j) * row_words_;
    words_of(words_, first, static_cast<std::uint32_t>(rect.x), rect.size.w,
             [&all](std::uint64_t word, std::uint64_t bits) { all &= (word & bits) == bits; });
  }
  return all;
}

bool Coverage::has(std::uint32_t x, std::uint32_t y) const noexcept {
  return (words_[y * row_words_ + x / 64] >> x % 64 & 1) != 0;
}

void Coverage::fill_rest(Pixels from, MutablePixels to) const noexcept {
  if (left_ == 0) return;
  const std::size_t bytes = to.format.pixel_bytes();
  for (std::uint32_t y = 0; y < size_.h; ++y) {
    for (std::uint32_t x = 0; x < size_.w;) {
      const std::uint32_t start = x;
      const bool covered = has(x, y);
      while (x < size_.w && has(x, y) == covered) ++x;
      if (covered) continue;
      if (from.data)
        std::memcpy(to.at(start, y), from.at(start, y), (x - start) * bytes);
      else
        std::memset(to.at(start, y), 0, (x - start) * bytes);
    }
  }
}

}  // namespace smalti::cache
