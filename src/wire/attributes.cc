#include "wire/attributes.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>

namespace smalti::wire {

namespace {

template <class Value>
void note(std::string& out, std::string_view name, const Value& here, const Value& there) {
  if (here == there) return;
  fmt::format_to(std::back_inserter(out), "{}{} {} here, {} there", out.empty() ? "" : "; ", name, here,
                 there);
}

std::string_view on_off(bool on) { return on ? "on" : "off"; }
std::string_view order(bool little) { return little ? "little" : "big"; }

}  // namespace

std::string differences(const Attributes& here, const Attributes& there) {
  std::string out;
  note(out, "interface version", here.interface, there.interface);
  note(out, "quantum depth", here.quantum_depth, there.quantum_depth);
  note(out, "HDRI", on_off(here.hdri), on_off(there.hdri));
  note(out, "word size", std::uint64_t{here.word_bytes} * 8, std::uint64_t{there.word_bytes} * 8);
  note(out, "endianness", order(here.little_endian), order(there.little_endian));
  return out;
}

}  // namespace smalti::wire
