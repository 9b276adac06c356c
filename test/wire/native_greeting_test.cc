#include "wire/native_greeting.h"

#include <gtest/gtest.h>

namespace smalti::wire {
namespace {

TEST(Greeting, IsNeverTakenForTls) {
  for (int i = 0; i < 3000; ++i) {
    const auto nonce = draw_greeting(Greeting::n16);
    ASSERT_EQ(nonce.size(), 16u);
    ASSERT_NE(nonce[0], tls_record);
    ASSERT_NE(nonce[8], tls_record);
  }
  EXPECT_EQ(draw_greeting(Greeting::n8).size(), 8u);
  EXPECT_TRUE(draw_greeting(Greeting::none).empty());
  EXPECT_NE(draw_greeting(Greeting::n16), draw_greeting(Greeting::n16));
}

TEST(Greeting, TlsIsFoundBehindEach) {
  for (const Greeting greeting : {Greeting::none, Greeting::n8, Greeting::n16}) {
    auto bytes = draw_greeting(greeting);
    const std::size_t at = bytes.size();
    for (std::size_t i = 1; i < bytes.size(); ++i)
      if (i != 8) bytes[i] = tls_record;  // elsewhere it means nothing
    bytes.push_back(tls_record);
    for (std::size_t n = 0; n <= at; ++n) EXPECT_FALSE(tls_begins(std::span(bytes).first(n))) << at << " " << n;
    EXPECT_EQ(tls_begins(bytes), at);
  }
}

}  // namespace
}  // namespace smalti::wire
