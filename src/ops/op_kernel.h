// Kernels of the neighbourhood operators: symmetric, separable, in doubles. Pure.
#pragma once

#include <vector>

namespace smalti::ops {

// The operator keep * identity + spread * (g outer g), where g(u) = half[|u|] sums to 1. Radius: half.size()
// - 1.
struct Kernel {
  std::vector<double> half;
  double keep = 0;
  double spread = 1;

  int radius() const noexcept { return static_cast<int>(half.size()) - 1; }
};

// A radius of 0 lets sigma choose one: the smallest whose next tap would add less than a sample step.
Kernel gaussian_kernel(double radius, double sigma, int quantum_depth);  // -gaussian-blur
Kernel blur_kernel(double radius, double sigma,
                   int quantum_depth);  // -blur: every tap the mean of three sub-taps
Kernel sharpen_kernel(double radius, double sigma, int quantum_depth);  // -sharpen

}  // namespace smalti::ops
