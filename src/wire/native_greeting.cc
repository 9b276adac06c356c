#include "wire/native_greeting.h"

#include <sys/random.h>

namespace smalti::wire {

namespace {

void draw(std::span<std::byte> into) {
  while (!into.empty()) {
    const ssize_t n = ::getrandom(into.data(), into.size(), 0);
    if (n > 0) into = into.subspan(static_cast<std::size_t>(n));
  }
}

}  // namespace

std::vector<std::byte> draw_greeting(Greeting greeting) {
  std::vector<std::byte> nonce(greeting_bytes(greeting));
  draw(nonce);
  for (std::size_t i = 0; i < nonce.size(); i += 8)
    while (nonce[i] == tls_record) draw(std::span(nonce).subspan(i, 1));
  return nonce;
}

std::optional<std::size_t> tls_begins(std::span<const std::byte> from_server) noexcept {
  for (const Greeting greeting : {Greeting::none, Greeting::n8, Greeting::n16}) {
    const std::size_t at = greeting_bytes(greeting);
    if (from_server.size() <= at) return std::nullopt;
    if (from_server[at] == tls_record || greeting == Greeting::n16) return at;
  }
  return std::nullopt;
}

}  // namespace smalti::wire
