// Errors speak to an operator: what failed, on what, and whether trying again can help.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>

namespace smalti {

enum class Errc : std::uint8_t {
  invalid,       // the request or the configuration is wrong
  limit,         // a resource limit refuses it; the message names limit, need and cure
  unauthorized,  // the passphrase is not ours
  incompatible,  // a peer differs in a build attribute; the message names each
  timeout,       // a deadline passed
  cancelled,     // the caller's stop token was triggered
  unavailable,   // the thing is elsewhere and cannot be reached, or is gone
  would_wait,    // Reach::hot was asked for and the answer needs waiting
  conflict,      // somebody else changed it first
  io,            // the operating system failed; Error::sys holds errno
  corrupt,       // stored or transmitted bytes are not what was put there
  unsupported,   // understood, but not offered here
  internal,      // a defect of ours
};

std::string_view name_of(Errc) noexcept;

struct Error {
  Errc code = Errc::internal;
  std::string what;  // names the thing, what happened, and what to do
  int sys = 0;       // errno, or 0

  bool retryable() const noexcept {
    return code == Errc::timeout || code == Errc::unavailable || code == Errc::conflict;
  }
};

// tl::expected is not [[nodiscard]]; a Result that is dropped is a defect.
template <class T>
struct [[nodiscard]] Result : tl::expected<T, Error> {
  using tl::expected<T, Error>::expected;
};

// fail(Errc::io, "tile file /tmp/x: short read") converts to any Result<T>.
// With `sys` the text of that errno is appended to `what`.
tl::unexpected<Error> fail(Errc code, std::string what, int sys = 0);

// Hands on the error of another Result, optionally with the caller's own context in front ("context: what").
tl::unexpected<Error> pass(Error error);
tl::unexpected<Error> pass(Error error, std::string_view context);

}  // namespace smalti

#define SMALTI_CONCAT_(a, b) a##b
#define SMALTI_CONCAT(a, b) SMALTI_CONCAT_(a, b)

// SMALTI_TRY(auto x, f()): x is f()'s value, or the error is returned to our caller.
#define SMALTI_TRY(declaration, ...) SMALTI_TRY_(SMALTI_CONCAT(smalti_try_, __LINE__), declaration, __VA_ARGS__)
#define SMALTI_TRY_(name, declaration, ...)               \
  auto name = (__VA_ARGS__);                              \
  if (!name) return ::smalti::pass(std::move(name.error())); \
  declaration = std::move(*name)

// SMALTI_CHECK(f()): for Result<void>, or where the value does not matter.
#define SMALTI_CHECK(...)                                                                        \
  do {                                                                                           \
    if (auto smalti_checked = (__VA_ARGS__); !smalti_checked)                                    \
      return ::smalti::pass(std::move(smalti_checked.error()));                                  \
  } while (false)
