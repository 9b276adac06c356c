// Any text is an amount or an error; what is printed reads back as (nearly) the same amount.
#include "policy/units.h"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace smalti;
  if (size == 0) return 0;
  const auto what = static_cast<Resource>(data[0] % resource_count);
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto amount = parse_amount(what, text);
  if (!amount) {
    if (amount.error().code != Errc::invalid) std::abort();
    return 0;
  }
  const auto back = parse_amount(what, print_amount(what, *amount));
  if (!back) std::abort();
  const double a = static_cast<double>(*amount);
  if (std::abs(static_cast<double>(*back) - a) > a * 1e-5) std::abort();
  return 0;
}
