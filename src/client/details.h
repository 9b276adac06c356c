// Details: what the record of a named image holds beyond what servers read: where its tiles are, and what travels
// beside its pixels. Servers keep the bytes unread; clients write and read them. doc/wire-native.md says how they lie.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "client/placing.h"
#include "smalti/base/result.h"
#include "smalti/tile/grid.h"

namespace smalti::client {

inline constexpr std::size_t most_sidecar_bytes = 4u << 20;

struct Details {
  Placing placing;
  std::vector<std::byte> sidecar;  // of whoever made the image: profiles, orientation, resolution, ...
};

// Fails with limit where the record of a name has no room for so much.
Result<std::vector<std::byte>> encode(const Details&);
// Bytes of anybody: fails with corrupt unless they are details of an image of this geometry.
Result<Details> decode_details(std::span<const std::byte>, const ImageSpec&);

}  // namespace smalti::client
