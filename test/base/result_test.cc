#include "smalti/base/result.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace smalti {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return fail(Errc::invalid, "odd number");
  return n / 2;
}

Result<int> quarter(int n) {
  SMALTI_TRY(const int h, half(n));
  return half(h);
}

TEST(Result, TryHandsOnTheError) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().code, Errc::invalid);
}

TEST(Result, FailAppendsTheSystemsReason) {
  const Result<void> failed = fail(Errc::io, "tile file", ENOSPC);
  EXPECT_EQ(failed.error().sys, ENOSPC);
  EXPECT_EQ(failed.error().what, "tile file: No space left on device");
}

TEST(Error, SaysWhetherTryingAgainCanHelp) {
  EXPECT_TRUE((Error{Errc::timeout, ""}).retryable());
  EXPECT_FALSE((Error{Errc::unauthorized, ""}).retryable());
}

}  // namespace
}  // namespace smalti
