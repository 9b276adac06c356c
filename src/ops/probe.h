// What headers say, read before any decoder allocates. Every number is hostile: bounded, never trusted.
#pragma once

#include <vector>

#include "ops/format.h"

namespace smalti::ops {

Result<std::vector<Leaf>> probe_jpeg(const InputFile&);
Result<std::vector<Leaf>> probe_png(const InputFile&);
Result<std::vector<Leaf>> probe_tiff(const InputFile&);
Result<std::vector<Leaf>> probe_webp(const InputFile&);

// a * b * c, or the largest number where that overflows.
std::uint64_t product(std::uint64_t a, std::uint64_t b, std::uint64_t c = 1) noexcept;

}  // namespace smalti::ops
