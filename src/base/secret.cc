#include "smalti/base/secret.h"

#include <string.h>  // explicit_bzero

#include <algorithm>

namespace smalti {

Secret::Secret(std::string_view text)
    : text_(new std::string(text), [](const std::string* dying) {
        auto* bytes = const_cast<std::string*>(dying);
        ::explicit_bzero(bytes->data(), bytes->size());
        delete dying;
      }) {}

bool Secret::same_as(const Secret& other) const noexcept {
  const std::string_view a = reveal();
  const std::string_view b = other.reveal();
  const std::size_t length = std::max(a.size(), b.size());
  unsigned difference = static_cast<unsigned>(a.size() != b.size());
  for (std::size_t i = 0; i < length; ++i) {
    const unsigned char left = i < a.size() ? static_cast<unsigned char>(a[i]) : 0;
    const unsigned char right = i < b.size() ? static_cast<unsigned char>(b[i]) : 0;
    difference |= static_cast<unsigned>(left ^ right);
  }
  return difference == 0;
}

}  // namespace smalti
