// Any bytes from a client of ImageMagick's: the handshake gives a verdict, and no request that is let through reaches
// outside its image or beyond its own length. First byte: the dialect; second: bit 0 skips the handshake's answer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>

#include "wire/magick_dialect.h"
#include "wire/magick_talk.h"

using namespace smalti::wire::magick;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check(const Shape& shape, const Access& access) {
  require(access.rect.size.w >= 1 && access.rect.size.w <= shape.size().w);
  require(access.rect.size.h >= 1 && access.rect.size.h <= shape.size().h);
  require(access.length <= access.whole);
  require(access.whole == access.rect.size.area() * shape.pixel_bytes(access.plane));
  if (access.write) require(access.rect.inside(shape.size()));
  if (access.length != 0) require(shape.format(access.plane).pixel_bytes() == shape.pixel_bytes(access.plane));
}

void converse(const Greeter& greeter, Bytes bytes) {
  Talk talk(greeter.dialect().family(), greeter.key());
  for (int requests = 0; requests < 1000; ++requests) {
    const Step step = talk.next(bytes);
    require(step.used <= bytes.size());
    if (step.kind == Step::Kind::more || step.kind == Step::Kind::destroy || step.kind == Step::Kind::refuse) return;
    bytes = bytes.subspan(step.used);
    if (step.kind == Step::Kind::open) (void)talk.opened(true);
    if (step.kind != Step::Kind::transfer) continue;
    check(talk.shape(), step.access);
    if (step.access.write) bytes = bytes.subspan(std::min<std::size_t>(bytes.size(), step.access.length));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  constexpr const char* dialects[] = {"n16", "n8", "s", "s:im6", "l", "l:im6", "s:hdri"};
  const auto dialect = parse_dialect(dialects[data[0] % std::size(dialects)]);
  const std::byte nonce[16] = {std::byte{1}, std::byte{2}, std::byte{3}};
  const auto greeter = Greeter::with(*dialect, smalti::Secret("passphrase"), nonce);
  require(greeter.has_value());
  const Bytes bytes = std::as_bytes(std::span(data + 2, size - 2));
  const Arrival arrival = greeter->judge(bytes);
  require(arrival.used <= bytes.size());
  require((arrival.kind == Arrival::Kind::refused) == !arrival.why.empty());
  if ((data[1] & 1) != 0)
    converse(*greeter, bytes);
  else if (arrival.kind == Arrival::Kind::admitted)
    converse(*greeter, bytes.subspan(arrival.used));
  (void)parse_dialect({reinterpret_cast<const char*>(data), size});
  return 0;
}
