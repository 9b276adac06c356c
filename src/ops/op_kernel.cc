#include "ops/op_kernel.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace smalti::ops {
namespace {

constexpr double tiny = 1e-12;
constexpr int widest = 4096;  // radius at which a search for one ends, and to which a given one is cut

double bell(double u, double sigma) { return std::exp(-u * u / (2 * sigma * sigma)); }

// The largest radius whose outermost weight, of a kernel of that radius that sums to 1, is still worth a
// sample step. dimensions: 2 where that weight lies in a square kernel's middle row, 1 where the kernel is a
// line.
int radius_for(double sigma, int dimensions, double step) {
  if (sigma <= tiny) return 1;
  double sum = 1 + 2 * bell(1, sigma);
  for (int r = 2; r < widest; ++r) {
    sum += 2 * bell(r, sigma);
    const double share = bell(r, sigma) / (dimensions == 2 ? sum * sum : sum);
    if (share < step || share < tiny) return r - 1;
  }
  return widest;
}

double step_of(int quantum_depth) { return 1.0 / (quantum_depth == 8 ? 255 : 65535); }

void normalise(std::vector<double>& half) {
  double sum = half[0];
  for (std::size_t u = 1; u < half.size(); ++u) sum += 2 * half[u];
  for (double& tap : half) tap /= sum;
}

std::vector<double> bell_taps(int radius, double sigma) {
  std::vector<double> half(static_cast<std::size_t>(radius) + 1);
  for (int u = 0; u <= radius; ++u) half[static_cast<std::size_t>(u)] = bell(u, std::max(sigma, tiny));
  return half;
}

int whole_radius(double radius) { return static_cast<int>(std::min<double>(radius, widest)); }

}  // namespace

Kernel gaussian_kernel(double radius, double sigma, int quantum_depth) {
  const int r = radius >= 1 ? whole_radius(radius) : radius_for(sigma, 2, step_of(quantum_depth));
  Kernel kernel{bell_taps(r, sigma)};
  normalise(kernel.half);
  return kernel;
}

Kernel blur_kernel(double radius, double sigma, int quantum_depth) {
  constexpr int fineness = 3;  // samples of the bell within a tap
  const int r = radius >= 1 ? whole_radius(radius) : radius_for(sigma, 1, step_of(quantum_depth));
  Kernel kernel{std::vector<double>(static_cast<std::size_t>(r) + 1, 0.0)};
  const double fine_sigma = std::max(sigma * fineness, tiny);
  for (int u = 0; u <= r; ++u)
    for (int part = -fineness / 2; part <= fineness / 2; ++part)
      kernel.half[static_cast<std::size_t>(u)] += bell(u * fineness + part, fine_sigma);
  normalise(kernel.half);
  return kernel;
}

Kernel sharpen_kernel(double radius, double sigma, int quantum_depth) {
  const int r =
      radius > tiny ? whole_radius(std::ceil(radius)) : radius_for(sigma, 2, step_of(quantum_depth));
  Kernel kernel{bell_taps(r, sigma)};
  // With T the sum of the square kernel whose centre is 1: the centre becomes 2T, the rest turns negative,
  // and the whole is divided by its sum, which is T + 1.
  double row = kernel.half[0];
  for (std::size_t u = 1; u < kernel.half.size(); ++u) row += 2 * kernel.half[u];
  const double total = row * row;
  normalise(kernel.half);
  kernel.keep = (2 * total + 1) / (total + 1);
  kernel.spread = -total / (total + 1);
  return kernel;
}

}  // namespace smalti::ops
