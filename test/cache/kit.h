// What the tests of the pixel cache share: a place to put one together, and images whose pixels tell where
// they belong.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "smalti/cache/pixel_cache.h"
#include "test/cache/map_store.h"

namespace smalti::test {

inline constexpr PixelFormat rgb8{Sample::u8, 3, 0};

// Pixels with their memory.
class Canvas {
 public:
  Canvas(Extent size, PixelFormat format, std::byte first = std::byte{0})
      : bytes_(size.area() * format.pixel_bytes(), first),
        pixels_{bytes_.data(), size, static_cast<std::ptrdiff_t>(std::size_t{size.w} * format.pixel_bytes()),
                format} {}
  Canvas(Canvas&&) = default;

  MutablePixels pixels() noexcept { return pixels_; }
  std::vector<std::byte>& bytes() noexcept { return bytes_; }
  bool same_as(const Canvas& other) const noexcept { return bytes_ == other.bytes_; }

 private:
  std::vector<std::byte> bytes_;
  MutablePixels pixels_;
};

// The value of byte b of pixel (x, y) in the test images: any shift or mix-up shows.
inline std::byte value_at(std::int64_t x, std::int64_t y, std::size_t b) {
  const auto n =
      static_cast<std::uint64_t>(x) * 2654435761u + static_cast<std::uint64_t>(y) * 40503u + b * 97u;
  return static_cast<std::byte>((n ^ n >> 15) & 0xff);
}

inline Canvas picture(Rect rect, PixelFormat format) {
  Canvas canvas(rect.size, format);
  std::size_t at = 0;
  for (std::uint32_t y = 0; y < rect.size.h; ++y)
    for (std::uint32_t x = 0; x < rect.size.w; ++x)
      for (std::size_t b = 0; b < format.pixel_bytes(); ++b)
        canvas.bytes()[at++] = value_at(rect.x + x, rect.y + y, b);
  return canvas;
}

inline Limits no_limits() {
  Limits limits{};
  limits.most.fill(unlimited);
  return limits;
}

// Everything a cache needs. Waits at the end for nothing: declare caches after it.
struct Kit {
  explicit Kit(bool hot, Limits limits = no_limits())
      : ledger(limits), store(std::make_shared<MapStore>(hot)) {}

  Result<PixelCache> make(const ImageSpec& spec, CacheOptions options = {}) {
    return PixelCache::create({store, ledger, heap, ahead}, Call{}, spec, options);
  }

  Ledger ledger;
  TileHeap heap;
  std::shared_ptr<MapStore> store;
  Pool ahead{2};
};

inline testing::AssertionResult ok(const Result<void>& result) {
  if (result) return testing::AssertionSuccess();
  return testing::AssertionFailure() << name_of(result.error().code) << ": " << result.error().what;
}

// Writes the test image in strips.
inline void paint(PixelCache& cache, std::uint32_t strip = 16) {
  const Extent size = cache.spec().size;
  for (std::uint32_t y = 0; y < size.h; y += strip) {
    const Rect rect{0, y, {size.w, std::min(strip, size.h - y)}};
    Canvas canvas = picture(rect, cache.spec().format);
    ASSERT_TRUE(ok(cache.write(Call{}, rect, canvas.pixels())));
  }
}

// Reads rect and compares it with the test image.
inline testing::AssertionResult shows(const PixelCache& cache, Rect rect, const Outside& outside = {}) {
  Canvas got(rect.size, cache.spec().format, std::byte{0xcd});
  if (auto read = cache.read(Call{}, rect, got.pixels(), outside); !read) return ok(read);
  const Extent image = cache.spec().size;
  const std::size_t bytes = cache.spec().format.pixel_bytes();
  for (std::uint32_t y = 0; y < rect.size.h; ++y) {
    for (std::uint32_t x = 0; x < rect.size.w; ++x) {
      const From from = resolve(outside.edge, rect.x + x, rect.y + y, image, outside.seed);
      for (std::size_t b = 0; b < bytes; ++b) {
        const std::byte want = !from.fill             ? value_at(from.x, from.y, b)
                               : outside.fill.empty() ? std::byte{0}
                                                      : outside.fill[b];
        if (got.pixels().at(x, y)[b] != want)
          return testing::AssertionFailure()
                 << "pixel " << rect.x + x << "," << rect.y + y << " byte " << b << " is "
                 << static_cast<int>(got.pixels().at(x, y)[b]) << ", not " << static_cast<int>(want);
      }
    }
  }
  return testing::AssertionSuccess();
}

// Polls, since nothing may depend on how fast the machine is.
inline bool eventually(const std::function<bool()>& holds) {
  for (int i = 0; i < 3000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

}  // namespace smalti::test
