// A frame's head while it is being read. For the native decoder only.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "wire/native.h"
#include "wire/native_bytes.h"

namespace smalti::wire::native {

inline tl::unexpected<Error> corrupt(std::string what) {
  return fail(Errc::corrupt, "native protocol: " + std::move(what));
}

// A head being read: its fields, and what its items say about the body.
struct Head {
  Reader r;
  std::uint64_t body = 0;       // sum of payloads
  std::optional<Error> refuse;  // understood, but not acceptable
  void no(std::string why) {
    if (!refuse) refuse = corrupt(std::move(why)).value();
  }
  // A count of fixed items that must be there in full before anything is allocated.
  std::uint32_t items(std::size_t each, std::uint32_t most) {
    const std::uint32_t n = r.u32();
    if (n == 0 || n > most || std::uint64_t{n} * each > r.left()) {
      no(fmt::format("{} items in a head of {} bytes", n, r.left()));
      return 0;
    }
    return n;
  }
  // Bytes of a payload and of its pixels; returns the former where it is coded, else 0.
  std::uint32_t payload(std::uint32_t bytes, std::uint32_t pixels, std::uint32_t least) {
    if (bytes < least || pixels > most_tile_bytes) no(fmt::format("a payload of {} bytes", std::max(bytes, pixels)));
    if (bytes > pixels || (bytes == 0 && pixels != 0)) no(fmt::format("{} bytes for {} of pixels", bytes, pixels));
    body += bytes;
    return bytes != pixels ? bytes : 0;
  }
};

inline ImageId take_image(Head& h) { return {h.r.array<16>()}; }

}  // namespace smalti::wire::native
