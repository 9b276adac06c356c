// The details of a named image's record, which any client may have written: no memory but what is bounded, and what is
// understood says itself again.
#include <cstdint>
#include <cstdlib>

#include "client/details.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace smalti;
  const ImageSpec spec{{1000, 600}, {Sample::u8, 3, 0}, {256, 256}};
  const auto details = client::decode_details(std::as_bytes(std::span(data, size)), spec);
  if (!details) return 0;
  const auto again = client::encode(*details);
  if (!again || again->size() != size) std::abort();
  const auto same = client::decode_details(*again, spec);
  if (!same || same->placing != details->placing || same->sidecar != details->sidecar) std::abort();
  return 0;
}
