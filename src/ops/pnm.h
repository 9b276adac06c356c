// The PNM family, PBM to PAM: rows as they are, so that reading and writing cost a copy.
#pragma once

#include <vector>

#include "ops/format.h"

namespace smalti::ops {

bool is_pnm(std::span<const std::byte> head);
// P4 to P7; the text forms (P1 to P3) and PFM are left to libvips and told as 0x0. Several pictures in one
// file are several leaves.
Result<std::vector<Leaf>> probe_pnm(const InputFile&);
// Random access: rows are read where they are wanted.
Result<VipsPtr> open_pnm(const Decode&);

}  // namespace smalti::ops
