// Which version of a named image is the one, from what its servers know. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "smalti/base/result.h"
#include "wire/native.h"

namespace smalti::client {

// How many of n servers must take part in a write, and in a read: any two such writes, and any such write and read,
// have a server in common. One: 1 and 1. Two: 2 and 1. Three: 2 and 2. Four: 3 and 2. Five: 3 and 3.
constexpr std::size_t writers_of(std::size_t n) noexcept { return n / 2 + 1; }
constexpr std::size_t readers_of(std::size_t n) noexcept { return n - writers_of(n) + 1; }

// What one server answered.
struct Answer {
  wire::native::Id server{};
  std::uint64_t incarnation = 0;
  Result<wire::native::Register> state = wire::native::Register{};  // or why it could not be had
};

// The later of two versions is the one with the larger number; of equal ones (which only servers that have forgotten
// what they promised can make) the one with the larger image id.
bool later(const wire::native::Register&, const wire::native::Register&) noexcept;

// Whether the server keeps a version that it was not told the outcome of.
bool unfinished(const Answer&) noexcept;

// Those of `keepers` that answered, as places in the answers, and can say what they were told: one that lives another life
// may have forgotten it. Where all of them answered all count: what they have forgotten nobody else knows.
std::vector<std::size_t> witnesses(const std::vector<Answer>&, const std::vector<wire::native::Keeper>& keepers);

// The answer with the latest version that is entered anywhere; none: nothing is entered.
std::optional<std::size_t> latest(const std::vector<Answer>&) noexcept;

// What is to be thought of the latest version.
struct Verdict {
  bool enough = false;   // enough of its servers were heard for it to be the latest
  bool settled = false;  // some server knows that enough servers have it
  std::vector<std::size_t> have;  // answers, of its keepers, that have it
  std::vector<std::size_t> lack;  // ... that were reached and do not
  std::string missing;            // keepers that were not heard: "10.0.0.1:6668, 10.0.0.2:6668"
};
Verdict judge(const std::vector<Answer>&, std::size_t latest);

// A number that no server here has heard of.
wire::native::Number next_number(const std::vector<Answer>&) noexcept;

}  // namespace smalti::client
