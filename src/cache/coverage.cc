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

// The first column from x on whose pixel is covered (or not); the width where there is none.
std::uint32_t Coverage::next(std::uint32_t x, std::uint32_t y, bool covered) const noexcept {
  while (x < size_.w) {
    const std::uint64_t word = words_[y * row_words_ + x / 64];
    const std::uint64_t from_x = (covered ? word : ~word) >> x % 64;
    if (from_x != 0) return std::min(size_.w, x + static_cast<std::uint32_t>(std::countr_zero(from_x)));
    x = (x / 64 + 1) * 64;
  }
  return size_.w;
}

void Coverage::fill_rest(Pixels from, MutablePixels to) const noexcept {
  if (left_ == 0) return;
  const std::size_t bytes = to.format.pixel_bytes();
  for (std::uint32_t y = 0; y < size_.h; ++y) {
    for (std::uint32_t x = next(0, y, false); x < size_.w;) {
      const std::uint32_t end = next(x, y, true);
      if (from.data)
        std::memcpy(to.at(x, y), from.at(x, y), (end - x) * bytes);
      else
        std::memset(to.at(x, y), 0, (end - x) * bytes);
      x = next(end, y, false);
    }
  }
}

}  // namespace smalti::cache
