// The native protocol's decoder: whatever a peer says, no memory but what is bounded, no frame that does not
// say itself again. The first byte chooses the side and the form: bytes as they are, or a head whose frame is
// made right around it (a check that holds is not something a fuzzer finds).
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "wire/native_bytes.h"
#include "wire/native_decode.h"

namespace {

using namespace smalti::wire::native;

// [kind, body bytes (4), head...] -> a frame.
std::vector<std::byte> framed(std::span<const std::byte> in) {
  Writer w(header_bytes + in.size());
  std::array<std::byte, 5> start{};
  std::copy_n(in.begin(), std::min(in.size(), start.size()), start.begin());
  const auto head = in.subspan(std::min(in.size(), start.size()));
  w.u16(frame_mark);
  w.u8(frame_version);
  w.raw(std::span(start).first(1));
  w.u32(static_cast<std::uint32_t>(head.size()));
  w.u64(1);
  w.u64(2);
  w.raw(std::span(start).subspan(1));
  w.u32(0);
  w.u32(3);
  w.u32(0);
  w.raw(head);
  w.patch(check_offset, head_check(w.bytes()));
  return std::move(w.bytes());
}

void check(const Frame& frame, Decoder::From from) {
  if (frame.body_bytes > most_body_bytes) std::abort();
  const auto again = encode(frame.meta, frame.message);
  Decoder decoder(from);
  for (std::span<const std::byte> left(again); !left.empty();) {
    const auto space = decoder.space();
    const std::size_t n = std::min(space.size(), left.size());
    std::memcpy(space.data(), left.data(), n);
    decoder.filled(n);
    left = left.subspan(n);
  }
  auto same = decoder.next();
  if (!same || !*same || (*same)->body_bytes != frame.body_bytes) std::abort();
  if (encode((*same)->meta, (*same)->message) != again) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto from = data[0] & 1 ? Decoder::From::server : Decoder::From::client;
  const std::size_t piece = 1u + data[1];
  std::span<const std::byte> in = std::as_bytes(std::span(data + 2, size - 2));
  std::vector<std::byte> made;
  if (data[0] & 2) {
    made = framed(in);
    in = made;
  }
  Decoder decoder(from);
  std::vector<std::byte> sink(4096);
  while (true) {
    if (decoder.body_left() > 0) {
      const auto into = std::span(sink).first(std::min<std::size_t>(sink.size(), decoder.body_left()));
      const auto rest = decoder.claim(into);
      const std::size_t n = std::min(rest.size(), in.size());
      in = in.subspan(n);
      if (n < rest.size()) return 0;
      continue;
    }
    const auto frame = decoder.next();
    if (!frame) return 0;
    if (*frame) {
      check(**frame, from);
      continue;
    }
    if (in.empty()) return 0;
    const auto space = decoder.space();
    const std::size_t n = std::min({space.size(), in.size(), piece});
    std::memcpy(space.data(), in.data(), n);
    decoder.filled(n);
    in = in.subspan(n);
  }
}
