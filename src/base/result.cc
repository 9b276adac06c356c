#include "smalti/base/result.h"

#include <array>
#include <system_error>

namespace smalti {

std::string_view name_of(Errc code) noexcept {
  static constexpr std::array<std::string_view, 13> names{
      "invalid",    "limit",    "unauthorized", "incompatible", "timeout",     "cancelled", "unavailable",
      "would_wait", "conflict", "io",           "corrupt",      "unsupported", "internal"};
  const auto index = static_cast<std::size_t>(code);
  return index < names.size() ? names[index] : "unknown";
}

tl::unexpected<Error> fail(Errc code, std::string what, int sys) {
  if (sys != 0) what += ": " + std::generic_category().message(sys);
  return tl::unexpected<Error>(Error{code, std::move(what), sys});
}

tl::unexpected<Error> pass(Error error) { return tl::unexpected<Error>(std::move(error)); }

tl::unexpected<Error> pass(Error error, std::string_view context) {
  error.what = std::string(context) + ": " + error.what;
  return tl::unexpected<Error>(std::move(error));
}

}  // namespace smalti
