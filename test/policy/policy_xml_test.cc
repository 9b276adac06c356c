#include "policy/policy_xml.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace smalti {
namespace {

using ::testing::HasSubstr;

std::vector<PolicyEntry> entries(std::string_view text) {
  auto items = parse_policy(text, "p.xml");
  EXPECT_TRUE(items) << items.error().what;
  std::vector<PolicyEntry> out;
  if (items)
    for (auto& item : *items)
      if (auto* entry = std::get_if<PolicyEntry>(&item)) out.push_back(*entry);
  return out;
}

TEST(PolicyXml, ReadsWhatImageMagickWrites) {
  const auto all = entries(R"(<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE policymap [
  <!ELEMENT policymap (policy)*>
  <!ATTLIST policy domain NMTOKEN #REQUIRED value CDATA #IMPLIED>
]>
<!-- a comment -- with dashes -->
<policymap>
  <!-- <policy domain="cache" name="memory-map" value="anonymous"/> -->
  <!-- <policy domain="cache" name="unclosed" value="x"/>
  <!-- <policy domain="system" name="shred" value="2"/> -->
  <policy domain="cache" name="shared-secret" value="passphrase" stealth="true"/>
  <POLICY Domain='Resource' Name='Memory' Value='1GiB'/>
  <policy domain="coder" rights="read | write" pattern="{GIF,JPEG}" />
</policymap>
)");
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].domain, Domain::cache);
  EXPECT_EQ(all[0].name, "shared-secret");
  EXPECT_EQ(all[0].value, "passphrase");
  EXPECT_TRUE(all[0].stealth);
  EXPECT_EQ(all[0].line, 11u);
  EXPECT_EQ(all[0].where(), "policy p.xml line 11");
  EXPECT_EQ(all[1].domain, Domain::resource);
  EXPECT_EQ(all[1].value, "1GiB");
  EXPECT_FALSE(all[1].stealth);
  EXPECT_EQ(all[2].rights, "read | write");
  EXPECT_EQ(all[2].pattern, "{GIF,JPEG}");
}

TEST(PolicyXml, KeepsValuesRawAsImageMagickDoes) {
  const auto all = entries(
      R"(<policymap><policy domain="cache" name="shared-secret" value="a&amp;b&#65;&lol;"/></policymap>)");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].value, "a&amp;b&#65;&lol;");
}

TEST(PolicyXml, ExpandsNoEntities) {
  const auto all = entries(
      R"(<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY c SYSTEM "file:///etc/passwd">]>
<policymap><policy domain="system" name="font" value="&b;&c;"/></policymap>)");
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].value, "&b;&c;");
}

TEST(PolicyXml, FindsIncludesInTheirPlace) {
  const auto items = parse_policy(R"(<policymap>
<policy domain="cache" name="a" value="1"/>
<include file="more/site.xml"/>
</policymap>)",
                                  "p.xml");
  ASSERT_TRUE(items);
  ASSERT_EQ(items->size(), 2u);
  const auto* include = std::get_if<PolicyInclude>(&(*items)[1]);
  ASSERT_NE(include, nullptr);
  EXPECT_EQ(include->target, "more/site.xml");
  EXPECT_EQ(include->line, 3u);
}

struct Bad {
  std::string_view text;
  std::string_view line;
  std::string_view says;
};

TEST(PolicyXml, AMalformedFileIsNamedWithItsLine) {
  const Bad table[] = {
      {"<policymap>\n<policy domain=\"cache\"\n", "line 2", ""},
      {"<policymap>\n<policy domain=\"cache\" name=\"x\n", "line", ""},
      {"<policymap>\n\n</policy>", "line 3", ""},
      {"<policymap>\n<polcy domain=\"cache\"/>\n</policymap>", "line 2", "polcy"},
      {"<policymap>\n\n<policy domain=\"resorce\"/></policymap>", "line 3", "resorce"},
      {"<policymap>\n<policy domain=\"cache\" stealth=\"perhaps\"/></policymap>", "line 2", "perhaps"},
      {"<policymap>\n<include/></policymap>", "line 2", "names no file"},
      {"<html>\n</html>", "line 1", "policymap"},
      {"", "line 1", ""},
      {"\n\njust text", "line", ""},
  };
  for (const Bad& bad : table) {
    const auto items = parse_policy(bad.text, "/some/policy.xml");
    ASSERT_FALSE(items) << bad.text;
    EXPECT_EQ(items.error().code, Errc::invalid);
    EXPECT_THAT(items.error().what, HasSubstr("/some/policy.xml"));
    EXPECT_THAT(items.error().what, HasSubstr(std::string(bad.line))) << bad.text;
    EXPECT_THAT(items.error().what, HasSubstr(std::string(bad.says)));
  }
}

TEST(PolicyXml, BoundsHostileInput) {
  EXPECT_FALSE(parse_policy(std::string(longest_policy + 1, ' '), "p"));
  EXPECT_FALSE(parse_policy(std::string_view("<policymap>\0</policymap>", 24), "p"));
  std::string deep;
  for (int i = 0; i < 100'000; ++i) deep += "<a>";
  EXPECT_FALSE(parse_policy(deep, "p"));
  std::string many = "<policymap>";
  for (int i = 0; i < 20'000; ++i) many += "<policy/>";
  const auto refused = parse_policy(many + "</policymap>", "p");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr("too many"));
}

}  // namespace
}  // namespace smalti
