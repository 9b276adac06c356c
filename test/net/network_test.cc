#include "net/network.h"

#include <gtest/gtest.h>

namespace smalti::net {
namespace {

bool holds(std::string_view network, std::string_view address) {
  return parse_networks(network)->front().holds(address);
}

TEST(Network, HoldsItsAddresses) {
  EXPECT_TRUE(holds("192.168.100.0/24", "192.168.100.50"));
  EXPECT_TRUE(holds("192.168.100.0/24", "::ffff:192.168.100.50"));
  EXPECT_FALSE(holds("192.168.100.0/24", "192.168.101.50"));
  EXPECT_TRUE(holds("10.1.2.3/9", "10.100.0.1"));
  EXPECT_FALSE(holds("10.1.2.3/9", "10.200.0.1"));
  EXPECT_TRUE(holds("0.0.0.0/0", "8.8.8.8"));
  EXPECT_FALSE(holds("0.0.0.0/0", "::1"));
  EXPECT_TRUE(holds("::/0", "8.8.8.8"));
  EXPECT_TRUE(holds("fd00::/8", "[fd12::1]"));
  EXPECT_TRUE(holds("10.0.0.5", "10.0.0.5"));
  EXPECT_FALSE(holds("10.0.0.5", "10.0.0.6"));
  EXPECT_FALSE(holds("0.0.0.0/0", "nonsense"));
}

TEST(Network, ReadsListsAndNamesWhatIsWrong) {
  EXPECT_EQ(parse_networks("127.0.0.0/8,::1 10.0.0.5")->size(), 3u);
  for (const char* wrong :
       {"", " , ", "host", "10.0.0.0/33", "::1/129", "10.0.0.0/", "10.0.0.0/x", "10.0.0/8"})
    EXPECT_FALSE(parse_networks(wrong)) << wrong;
  EXPECT_NE(parse_networks("::1,10.0.0.0/33").error().what.find("10.0.0.0/33"), std::string::npos);
}

TEST(Network, KnowsWhatIsThisHostOnly) {
  EXPECT_TRUE(parse_networks("127.0.0.1")->front().loopback_only());
  EXPECT_TRUE(parse_networks("::1")->front().loopback_only());
  EXPECT_FALSE(parse_networks("10.0.0.1")->front().loopback_only());
  EXPECT_FALSE(parse_networks("0.0.0.0/0")->front().loopback_only());
}

}  // namespace
}  // namespace smalti::net
