// An image of 20,000 x 20,000 pixels in the pixel cache: written tile by tile, read through a window that hangs over
// its corner. What does not fit the limits goes to the servers named on the command line: window HOST:PORT,...
#include <smalti/house/site.h>
#include <smalti/tile/grid.h>

#include <cstdio>
#include <vector>

using namespace smalti;

Result<void> run(const char* hosts) {
  SiteOptions options{.limits = {{"memory", "64MiB"}, {"map", "0"}, {"disk", hosts ? "0" : "1GiB"}}};
  if (hosts) options.defines = {{"cache:hosts", hosts}};
  SMALTI_TRY(const auto site, Site::open(std::move(options)));

  const Call call;  // may wait as long as it takes; call.within(10s) would not
  const CacheParts parts = site->parts();
  const ImageSpec spec = spec_for({20000, 20000}, {Sample::u8, 1}, parts.ledger);
  SMALTI_TRY(PixelCache cache, PixelCache::create(parts, call, spec));

  const Grid grid(spec);
  std::vector<std::byte> pixels(spec.tile.area());
  for (std::uint32_t row = 0; row < grid.rows(); ++row)
    for (std::uint32_t col = 0; col < grid.cols(); ++col) {
      const Rect tile = grid.rect(col, row);
      const MutablePixels span{pixels.data(), tile.size, tile.size.w, spec.format};
      fill_pixels(span, std::vector{std::byte(1 + (col + row) % 250)});
      SMALTI_CHECK(cache.write(call, tile, span));
    }
  SMALTI_CHECK(cache.sync(call));

  const Rect window{-2, -2, {6, 4}};  // two columns and rows of it are virtual
  const MutablePixels into{pixels.data(), window.size, window.size.w, spec.format};
  SMALTI_CHECK(cache.read(call, window, into, {.edge = Edge::fill, .fill = {std::byte{0}}}));
  for (std::uint32_t y = 0; y < window.size.h; ++y) {
    for (const std::byte sample : into.row(y)) std::printf("%d ", static_cast<int>(sample));
    std::puts("");
  }
  return {};
}

int main(int argc, char** argv) {
  if (const auto done = run(argc > 1 ? argv[1] : nullptr); !done) {
    std::fprintf(stderr, "window: %s\n", done.error().what.c_str());
    return 1;
  }
}
