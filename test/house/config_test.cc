#include "house/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace smalti::house {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Environment nothing = fixed_environment({});

Policies cache(std::vector<std::pair<std::string, std::string>> values) {
  Policies policies;
  for (auto& [name, value] : values)
    policies.entries.push_back(
        {.domain = Domain::cache, .name = name, .value = value, .file = "p.xml", .line = 3});
  return policies;
}

TEST(Configure, ReadsTheDefines) {
  const auto config = configure({.limits = {{Resource::memory, 1024}},
                                 .defines = {{"registry:cache:hosts", "192.168.100.50:6668,192.168.100.51"},
                                             {"cache:placement", "sharded"},
                                             {"cache:compress", "lz4"},
                                             {"cache:shared-memory", "none"},
                                             {"cache:first", "1"},
                                             {"cache:replicas", "2"},
                                             {"cache:encryption", "none"},
                                             {"cache:magick", "n8,none"},
                                             {"cache:allow", "10.0.0.0/8,::1"},
                                             {"quantum:depth", "8"},
                                             {"quantum:hdri", "true"},
                                             {"input:salvage", ""},
                                             {"png:compression-level", "9"},
                                             {"registry:precision", "6"}}},
                                {}, nothing);
  ASSERT_TRUE(config) << config.error().what;
  EXPECT_THAT(config->hosts, ElementsAre(HostPort{"192.168.100.50", 6668}, HostPort{"192.168.100.51", 6668}));
  EXPECT_TRUE(config->hosts_defined);
  EXPECT_EQ(config->placement, Placement::sharded);
  EXPECT_EQ(config->compress, Compress::lz4);
  EXPECT_FALSE(config->share);
  EXPECT_EQ(config->first, 1u);
  EXPECT_EQ(config->replicas, 2u);
  EXPECT_EQ(config->encryption, Encryption::none);
  ASSERT_EQ(config->greetings.size(), 2u);
  EXPECT_EQ(config->greetings[0]->handshake, wire::magick::Handshake::n8);
  EXPECT_FALSE(config->greetings[1]);
  EXPECT_EQ(config->allow.size(), 2u);
  EXPECT_EQ(config->quantum.depth, 8u);
  EXPECT_TRUE(config->quantum.hdri);
  EXPECT_TRUE(config->salvage);
  EXPECT_EQ(config->limits[Resource::memory], 1024u);
  EXPECT_TRUE(config->secret.empty());
}

TEST(Configure, PoliciesSayTheSame) {
  const auto config = configure({},
                                cache({{"shared-secret", "hush"},
                                       {"hosts", "a"},
                                       {"placement", "round-robin"},
                                       {"max-dpc-clients", "7"},
                                       {"quantum:depth", "8"}}),
                                nothing);
  ASSERT_TRUE(config) << config.error().what;
  EXPECT_EQ(config->secret.reveal(), "hush");
  EXPECT_THAT(config->hosts, ElementsAre(HostPort{"a", 6668}));
  EXPECT_FALSE(config->hosts_defined);
  EXPECT_EQ(config->placement, Placement::round_robin);
  EXPECT_EQ(config->clients, 7u);
  EXPECT_EQ(config->quantum.depth, 8u);
  EXPECT_THAT(config->notes, ElementsAre());
}

TEST(Configure, ADefineReplacesAPolicyButNeverWeakensItsEncryption) {
  const Policies policies = cache({{"placement", "round-robin"}, {"encryption", "native"}});
  const auto stronger = configure(
      {.defines = {{"cache:placement", "auto"}, {"cache:encryption", "required"}}}, policies, nothing);
  ASSERT_TRUE(stronger) << stronger.error().what;
  EXPECT_EQ(stronger->placement, Placement::automatic);
  EXPECT_EQ(stronger->encryption, Encryption::required);
  const auto weaker = configure({.defines = {{"cache:encryption", "none"}}}, policies, nothing);
  ASSERT_FALSE(weaker);
  EXPECT_THAT(weaker.error().what, HasSubstr("encryption"));
}

TEST(Configure, NamesWhatIsWrong) {
  struct Bad {
    const char* key;
    const char* value;
    const char* says;
  };
  const Bad table[] = {{"cache:placment", "auto", "did you mean `cache:placement'"},
                       {"registry:cache:host", "a", "did you mean `registry:cache:hosts'"},
                       {"registry:frobnicate", "a", "unrecognized define `registry:frobnicate'"},
                       {"cache:placement", "everywhere", "auto, round-robin, sharded"},
                       {"cache:encryption", "", "native, required, none"},
                       {"quantum:depth", "12", "8, 16"},
                       {"quantum:hdri", "perhaps", "perhaps"},
                       {"cache:first", "-1", "-1"},
                       {"cache:replicas", "0", "0"},
                       {"cache:replicas", "9", "9"},
                       {"registry:cache:hosts", "a:99999", "a:99999"},
                       {"registry:temporary-path", "/nowhere/at/all", "/nowhere/at/all"}};
  for (const Bad& bad : table) {
    const auto config = configure({.defines = {{bad.key, bad.value}}}, {}, nothing);
    ASSERT_FALSE(config) << bad.key;
    EXPECT_THAT(config.error().what, HasSubstr(bad.says));
  }
}

TEST(Configure, APolicyThatIsWrongIsNamedWithItsLine) {
  const auto config = configure({}, cache({{"placement", "everywhere"}}), nothing);
  ASSERT_FALSE(config);
  EXPECT_THAT(config.error().what, AllOf(HasSubstr("policy p.xml line 3"), HasSubstr("everywhere")));
}

TEST(Configure, NotesUnknownCachePolicies) {
  const auto config = configure({}, cache({{"placment", "auto"}}), nothing);
  ASSERT_TRUE(config);
  EXPECT_THAT(config->notes,
              ElementsAre(AllOf(HasSubstr("placment"), HasSubstr("did you mean `placement'"))));
}

TEST(Configure, PoliciesOutlastTheCommandLine) {
  Policies policies;
  policies.entries.push_back({.domain = Domain::resource, .name = "memory", .value = "1MiB", .file = "p"});
  const auto config = configure({.limits = {{Resource::memory, unlimited}}}, policies,
                                fixed_environment({{"SMALTI_MEMORY_LIMIT", "8GiB"}, {"HOME", "/h"}}));
  ASSERT_TRUE(config);
  EXPECT_EQ(config->limits[Resource::memory], 1u << 20);
  EXPECT_EQ(config->state, "/h/.local/state/smalti");
}

TEST(Defines, TellWhatTheyDo) {
  EXPECT_GE(defines().size(), 10u);
  for (const DefineInfo& info : defines()) EXPECT_FALSE(info.value.empty()) << info.key;
}

}  // namespace
}  // namespace smalti::house
