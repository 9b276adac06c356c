#include "net/sim_pipe.h"

#include <gmock/gmock.h>

#include "test/net/pairs.h"

namespace smalti::net {
namespace {

using namespace std::chrono_literals;

TEST(SimPipe, CarriesInShortReadsWithDelays) {
  Loop loop;
  auto [a, b] = sim_pipe(loop, {.seed = 7, .most_a_read = 1000, .most_delay = 50us, .window = 4096});
  const auto sent = pattern(200'000);
  auto [wrote, read] = both(loop, write_all(a.get(), sent), read_exactly(b.get(), sent.size()));
  ASSERT_TRUE(wrote && read);
  EXPECT_TRUE(*read == sent);
}

TEST(SimPipe, IsCutWhereItWasToldTo) {
  Loop loop;
  auto [a, b] = sim_pipe(loop, {.seed = 7, .cut_after = 1000});
  const auto sent = pattern(2000);
  auto [wrote, read] = both(loop, write_all(a.get(), sent), read_exactly(b.get(), 1000));
  ASSERT_FALSE(wrote);
  EXPECT_EQ(wrote.error().code, Errc::unavailable);
  ASSERT_TRUE(read);  // what was on the way still arrives
  auto more = loop.run(read_exactly(b.get(), 1));
  ASSERT_FALSE(more);
  EXPECT_EQ(more.error().code, Errc::unavailable);
}

TEST(SimPipe, TimesOutAndCloses) {
  Loop loop;
  auto [a, b] = sim_pipe(loop, {});
  auto late = loop.run(read_exactly(b.get(), 1, soon(10ms)));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, Errc::timeout);
  ASSERT_TRUE(loop.run(close_on_loop(std::move(a))));
  EXPECT_EQ(loop.run(read_exactly(b.get(), 1))->size(), 0u);
}

}  // namespace
}  // namespace smalti::net
