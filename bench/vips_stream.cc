// A peer for the benches: what one would write with libvips alone, streaming, no cache. The arithmetic of ImageMagick's
// -sharpen 5x2 as stock float operations: a * image - b * (separable Gaussian), rounded to 8 or 16 bits.
// usage: vips_stream sharpen|negate IN OUT [8|16]
#include <vips/vips8>

#include <cmath>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

namespace {

vips::VImage gaussian_taps(int radius, double sigma) {
  std::vector<double> taps;
  double sum = 0;
  for (int u = -radius; u <= radius; ++u) {
    taps.push_back(std::exp(-u * u / (2 * sigma * sigma)));
    sum += taps.back();
  }
  for (double& tap : taps) tap /= sum;
  return vips::VImage::new_matrix(static_cast<int>(taps.size()), 1, taps.data(), static_cast<int>(taps.size()));
}

double gaussian_total(int radius, double sigma) {
  double sum = 0;
  for (int u = -radius; u <= radius; ++u) sum += std::exp(-u * u / (2 * sigma * sigma));
  return sum * sum;
}

vips::VImage sharpen(const vips::VImage& in) {
  const double total = gaussian_total(5, 2);
  const double weight = total / (total + 1);
  const vips::VImage blurred =
      in.cast(VIPS_FORMAT_FLOAT).convsep(gaussian_taps(5, 2), vips::VImage::option()->set("precision", VIPS_PRECISION_FLOAT));
  return in * (1 + weight) - blurred * weight;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4 || VIPS_INIT(argv[0])) return 2;
  try {
    const bool deep = argc > 4 && std::strcmp(argv[4], "16") == 0;
    vips::VImage in = vips::VImage::new_from_file(argv[2], vips::VImage::option()->set("access", VIPS_ACCESS_SEQUENTIAL));
    const bool negate = std::string(argv[1]) == "negate";
    vips::VImage out = negate ? in.invert() : sharpen(in) + 0.5;
    if (!negate) out = out.cast(deep ? VIPS_FORMAT_USHORT : VIPS_FORMAT_UCHAR);
    out.write_to_file(argv[3]);
  } catch (const vips::VError& error) {
    std::cerr << "vips_stream: " << error.what();
    return 1;
  }
  return 0;
}
