// Coverage: which pixels of a draft are written. Exact, one bit a pixel, so that no order of writes costs a
// read.
#pragma once

#include <cstdint>
#include <vector>

#include "smalti/geom/pixels.h"

namespace smalti::cache {

// Not thread-safe: whoever holds the draft holds it too.
class Coverage {
 public:
  Coverage() = default;
  explicit Coverage(Extent);

  // REQUIRES (both): rect inside the extent.
  void mark(Rect);
  bool covers(Rect) const noexcept;
  bool whole() const noexcept { return left_ == 0; }

  // Gives every pixel of `to` that is not covered the value it has in `from`, or zero where `from` has no
  // data.
  void fill_rest(Pixels from, MutablePixels to) const noexcept;

 private:
  // Calls f(word, bits) for each word of 64 pixels that columns x .. x+w of row y touch.
  template <class Words, class F>
  static void words_of(Words& words, std::size_t first_word, std::uint32_t x, std::uint32_t w, F f);
  std::uint32_t next(std::uint32_t x, std::uint32_t y, bool covered) const noexcept;

  Extent size_;
  std::size_t row_words_ = 0;
  std::uint64_t left_ = 0;  // pixels not covered
  std::vector<std::uint64_t> words_;
};

}  // namespace smalti::cache
