#include "policy/policies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "policy/machine.h"
#include "policy/resolve.h"

namespace smalti {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint64_t mib = 1u << 20;

class PoliciesTest : public ::testing::Test {
 protected:
  PoliciesTest() {
    std::string pattern = (fs::temp_directory_path() / "smalti-policy-XXXXXX").string();
    root = ::mkdtemp(pattern.data());
  }
  ~PoliciesTest() override { fs::remove_all(root); }

  void write(const std::string& file, const std::string& text) const {
    fs::create_directories((root / file).parent_path());
    std::ofstream(root / file) << text;
  }
  void policy(const std::string& file, const std::string& rows) const {
    write(file, "<policymap>\n" + rows + "\n</policymap>\n");
  }
  Environment env(std::map<std::string, std::string> more = {}) const {
    more.emplace("HOME", (root / "home").string());
    return fixed_environment(std::move(more));
  }
  Result<Policies> load(std::map<std::string, std::string> more = {}) const {
    return load_policies(policy_places(env(std::move(more)), root));
  }

  fs::path root;
};

TEST_F(PoliciesTest, ReadsThePlacesInOrder) {
  std::vector<std::string> files;
  for (const auto& place :
       policy_places(env({{"SMALTI_CONFIGURE_PATH", "/a::/b:"}, {"MAGICK_CONFIGURE_PATH", "/c"}})))
    files.push_back(place.file.string() + (place.cache_only ? "!" : ""));
  const std::string home = (root / "home/.config").string();
  EXPECT_THAT(files, ElementsAre("/a/policy.xml", "/b/policy.xml", "/c/policy.xml", "/etc/smalti/policy.xml",
                                 home + "/smalti/policy.xml", home + "/ImageMagick/policy.xml",
                                 "/etc/ImageMagick-7/policy.xml!", "/etc/ImageMagick-6/policy.xml!"));
}

TEST_F(PoliciesTest, NoFileIsNoError) {
  const auto policies = load();
  ASSERT_TRUE(policies) << policies.error().what;
  EXPECT_TRUE(policies->entries.empty());
  EXPECT_EQ(policies->first(Domain::cache, "shared-secret"), nullptr);
}

TEST_F(PoliciesTest, TheFirstSecretWinsAndTheLowestCeiling) {
  policy("etc/smalti/policy.xml", R"(<policy domain="cache" name="shared-secret" value="site" stealth="true"/>
<policy domain="resource" name="memory" value="256MiB"/>
<policy domain="resource" name="throttle" value="5"/>
<policy domain="resource" name="disk" value=""/>)");
  policy("home/.config/smalti/policy.xml", R"(<policy domain="cache" name="Shared-Secret" value="mine"/>
<policy domain="resource" name="memory" value="1GiB"/>
<policy domain="resource" name="map" value="1MiB"/>
<policy domain="resource" name="throttle" value="9"/>)");
  const auto policies = load();
  ASSERT_TRUE(policies) << policies.error().what;
  EXPECT_EQ(policies->first(Domain::cache, "shared-secret")->value, "site");
  const auto ceilings = policies->ceilings();
  ASSERT_TRUE(ceilings);
  EXPECT_EQ((*ceilings)[static_cast<std::size_t>(Resource::memory)]->amount, 256 * mib);
  EXPECT_THAT((*ceilings)[static_cast<std::size_t>(Resource::memory)]->where,
              HasSubstr("etc/smalti/policy.xml line 3"));
  EXPECT_EQ((*ceilings)[static_cast<std::size_t>(Resource::map)]->amount, mib);
  EXPECT_EQ((*ceilings)[static_cast<std::size_t>(Resource::throttle)]->amount, 9u);
  EXPECT_FALSE((*ceilings)[static_cast<std::size_t>(Resource::disk)]);
}

TEST_F(PoliciesTest, AUserMaySupplyWhatTheSiteLeavesOpen) {
  policy("etc/smalti/policy.xml", R"(<policy domain="cache" name="shared-secret" value=""/>)");
  policy("home/.config/ImageMagick/policy.xml",
         R"(<policy domain="cache" name="shared-secret" value="mine"/>)");
  const auto policies = load();
  ASSERT_TRUE(policies);
  EXPECT_EQ(policies->first(Domain::cache, "shared-secret")->value, "mine");
}

TEST_F(PoliciesTest, OfADistributionsImageMagickOnlyTheCacheCounts) {
  policy("etc/ImageMagick-6/policy.xml", R"(<policy domain="resource" name="memory" value="1MiB"/>
<policy domain="cache" name="shared-secret" value="debian"/>
<include file="more.xml"/>)");
  policy("etc/ImageMagick-6/more.xml", R"(<policy domain="resource" name="map" value="1MiB"/>)");
  const auto policies = load();
  ASSERT_TRUE(policies) << policies.error().what;
  EXPECT_EQ(policies->entries.size(), 1u);
  EXPECT_EQ(policies->first(Domain::cache, "shared-secret")->value, "debian");
}

TEST_F(PoliciesTest, FollowsIncludesRelativeToTheirFileAndInPlace) {
  policy("a/policy.xml", R"(<include file="sub/one.xml"/>
<policy domain="cache" name="hosts" value="late"/>)");
  policy("a/sub/one.xml", R"(<policy domain="cache" name="hosts" value="early"/><include file="two.xml"/>)");
  policy("a/sub/two.xml", R"(<policy domain="cache" name="placement" value="sharded"/>)");
  const auto policies = load({{"SMALTI_CONFIGURE_PATH", (root / "a").string()}});
  ASSERT_TRUE(policies) << policies.error().what;
  EXPECT_EQ(policies->first(Domain::cache, "hosts")->value, "early");
  EXPECT_EQ(policies->first(Domain::cache, "placement")->value, "sharded");
}

TEST_F(PoliciesTest, IncludesEndSomewhere) {
  policy("a/policy.xml", "<include file=\"policy.xml\"/>");
  const auto cycle = load({{"SMALTI_CONFIGURE_PATH", (root / "a").string()}});
  ASSERT_FALSE(cycle);
  EXPECT_THAT(cycle.error().what, AllOf(HasSubstr("policy.xml line 2"), HasSubstr("include")));

  std::string wide;
  for (int i = 0; i < 100; ++i) wide += "<include file=\"leaf.xml\"/>";
  policy("b/policy.xml", wide);
  policy("b/leaf.xml", "");
  EXPECT_FALSE(load({{"SMALTI_CONFIGURE_PATH", (root / "b").string()}}));

  policy("c/policy.xml", "\n<include file=\"gone.xml\"/>");
  const auto gone = load({{"SMALTI_CONFIGURE_PATH", (root / "c").string()}});
  ASSERT_FALSE(gone);
  EXPECT_THAT(gone.error().what, AllOf(HasSubstr("c/policy.xml line 3"), HasSubstr("gone.xml")));
}

TEST_F(PoliciesTest, AMalformedFileStopsUs) {
  write("home/.config/smalti/policy.xml", "<policymap>\n<policy domain=");
  const auto policies = load();
  ASSERT_FALSE(policies);
  EXPECT_THAT(policies.error().what, AllOf(HasSubstr("home/.config/smalti/policy.xml"), HasSubstr("line 2")));
}

TEST_F(PoliciesTest, AnAmountThatIsNoneIsNamedWithFileAndLine) {
  policy("etc/smalti/policy.xml", R"(
<policy domain="resource" name="memory" value="lots"/>)");
  const auto policies = load();
  ASSERT_TRUE(policies);
  const auto ceilings = policies->ceilings();
  ASSERT_FALSE(ceilings);
  EXPECT_THAT(ceilings.error().what, AllOf(HasSubstr("etc/smalti/policy.xml line 3"), HasSubstr("lots")));
}

TEST_F(PoliciesTest, UnknownResourcesAreNoted) {
  policy("etc/smalti/policy.xml", R"(<policy domain="resource" name="memmory" value="1"/>
<policy domain="resource" name="temporary-path" value="/tmp"/>)");
  const auto policies = load();
  ASSERT_TRUE(policies);
  EXPECT_THAT(policies->notes(), ElementsAre(HasSubstr("memmory")));
}

TEST_F(PoliciesTest, AFifoInAPolicysPlaceDoesNotHang) {
  fs::create_directories(root / "f");
  ASSERT_EQ(::mkfifo((root / "f/policy.xml").c_str(), 0600), 0);
  EXPECT_FALSE(load({{"SMALTI_CONFIGURE_PATH", (root / "f").string()}}));  // empty: no <policymap>
}

TEST_F(PoliciesTest, ListsWhatIsNotStealthy) {
  policy("etc/smalti/policy.xml", R"(<policy domain="cache" name="shared-secret" value="hush" stealth="true"/>
<policy domain="cache" name="placement" value="sharded"/>
<policy domain="coder" rights="none" pattern="PS"/>)");
  const auto policies = load();
  ASSERT_TRUE(policies);
  const std::string list = list_policy(*policies);
  EXPECT_THAT(list, Not(HasSubstr("hush")));
  EXPECT_THAT(list, Not(HasSubstr("shared-secret")));
  EXPECT_EQ(list, "\nPath: " + (root / "etc/smalti/policy.xml").string() +
                      "\n  Policy: Cache\n    name: placement\n    value: sharded\n"
                      "  Policy: Coder\n    rights: none\n    pattern: PS\n"
                      "\nPath: [built-in]\n  Policy: Undefined\n    rights: None\n");
}

Limits plain() {
  return default_limits({.memory = 8ull << 30, .free_disk = 1000, .descriptors = 1024, .cores = 4});
}

TEST(DefaultLimits, FollowFromTheMachine) {
  const Limits limits = plain();
  EXPECT_EQ(limits[Resource::memory], 4ull << 30);
  EXPECT_EQ(limits[Resource::map], 0u);
  EXPECT_EQ(limits[Resource::disk], 900u);
  EXPECT_EQ(limits[Resource::file], 768u);
  EXPECT_EQ(limits[Resource::thread], 4u);
  EXPECT_EQ(limits[Resource::width], unlimited);
  EXPECT_EQ(limits[Resource::throttle], 0u);
  EXPECT_EQ(default_limits({})[Resource::file], 64u);
  EXPECT_EQ(default_limits({})[Resource::thread], 1u);
}

TEST(EffectiveLimits, PolicyHoldsAgainstEnvironmentAndCommandLine) {
  Ceilings ceilings;
  ceilings[static_cast<std::size_t>(Resource::memory)] = Ceiling{1024 * mib, "policy"};
  ceilings[static_cast<std::size_t>(Resource::throttle)] = Ceiling{5, "policy"};
  const auto env = fixed_environment({{"MAGICK_MEMORY_LIMIT", "8GiB"},
                                      {"MAGICK_MAP_LIMIT", "1GiB"},
                                      {"SMALTI_MAP_LIMIT", "2GiB"},
                                      {"MAGICK_LIST_LENGTH_LIMIT", "7"},
                                      {"MAGICK_DISK_LIMIT", "10"}});
  const auto limits = effective_limits(plain(), env, {{Resource::disk, 20}, {Resource::thread, 0}}, ceilings);
  ASSERT_TRUE(limits) << limits.error().what;
  EXPECT_EQ((*limits)[Resource::memory], 1024 * mib);
  EXPECT_EQ((*limits)[Resource::map], 2048 * mib);
  EXPECT_EQ((*limits)[Resource::list_length], 7u);
  EXPECT_EQ((*limits)[Resource::disk], 20u);  // -limit may raise above the environment
  EXPECT_EQ((*limits)[Resource::throttle], 5u);
  EXPECT_EQ((*limits)[Resource::thread], 1u);
  const auto lower =
      effective_limits(plain(), env, {{Resource::memory, mib}, {Resource::memory, 2 * mib}}, ceilings);
  EXPECT_EQ((*lower)[Resource::memory], 2 * mib);
}

TEST(EffectiveLimits, ABadVariableIsNamed) {
  const auto limits = effective_limits(plain(), fixed_environment({{"SMALTI_DISK_LIMIT", "plenty"}}), {}, {});
  ASSERT_FALSE(limits);
  EXPECT_THAT(limits.error().what, AllOf(HasSubstr("SMALTI_DISK_LIMIT"), HasSubstr("plenty")));
}

TEST_F(PoliciesTest, TheTemporaryFolderIsTheFirstNamedOrAnError) {
  for (const char* name : {"registry", "policy", "smalti", "magick", "tmpdir", "tmp"})
    fs::create_directories(root / name);
  const auto at = [this](const char* name) { return (root / name).string(); };
  std::map<std::string, std::string> names{{"TMPDIR", at("tmp")}};
  EXPECT_EQ(*temporary_folder({}, {}, fixed_environment(names)), at("tmp"));
  names["MAGICK_TMPDIR"] = at("tmpdir");
  EXPECT_EQ(*temporary_folder({}, {}, fixed_environment(names)), at("tmpdir"));
  names["MAGICK_TEMPORARY_PATH"] = at("magick");
  EXPECT_EQ(*temporary_folder({}, {}, fixed_environment(names)), at("magick"));
  names["SMALTI_TEMPORARY_PATH"] = at("smalti");
  EXPECT_EQ(*temporary_folder({}, {}, fixed_environment(names)), at("smalti"));
  Policies policies;
  policies.entries.push_back(
      {.domain = Domain::resource, .name = "temporary-path", .value = at("policy"), .file = "p"});
  EXPECT_EQ(*temporary_folder({}, policies, fixed_environment(names)), at("policy"));
  EXPECT_EQ(*temporary_folder(at("registry"), policies, fixed_environment(names)), at("registry"));

  const auto gone = temporary_folder(at("gone"), policies, fixed_environment(names));
  ASSERT_FALSE(gone);
  EXPECT_THAT(gone.error().what, AllOf(HasSubstr(at("gone")), HasSubstr("registry:temporary-path")));
  write("file", "");
  EXPECT_FALSE(temporary_folder(at("file"), policies, fixed_environment(names)));
}

TEST_F(PoliciesTest, TheControlGroupsLimitIsTheLowestUpwards) {
  EXPECT_EQ(control_group_memory(root), unlimited);
  write("proc/self/cgroup", "0::/user.slice/job\n");
  write("sys/fs/cgroup/user.slice/job/memory.max", "max\n");
  write("sys/fs/cgroup/user.slice/memory.max", "1073741824\n");
  EXPECT_EQ(control_group_memory(root), 1ull << 30);
  write("proc/self/cgroup", "5:cpu,memory:/docker/abc\n1:name=systemd:/docker/abc\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes",
        "536870912\n");  // a container sees its group as the root
  EXPECT_EQ(control_group_memory(root), 512 * mib);
  const Machine machine = measure_machine(root, root);
  EXPECT_EQ(machine.memory, 512 * mib);
  EXPECT_GT(machine.free_disk, 0u);
  EXPECT_GE(machine.cores, 1u);
}

TEST(ListResource, AsImageMagickSeven) {
  Limits limits = plain();
  limits[Resource::area] = 128'000'000;
  EXPECT_EQ(
      list_resource(limits),
      "Resource limits:\n  Width: unlimited\n  Height: unlimited\n  Area: 128MP\n  List length: unlimited\n"
      "  Memory: 4GiB\n  Map: 0B\n  Disk: 900B\n  File: 768\n  Thread: 4\n  Throttle: 0\n  Time: "
      "unlimited\n");
}

}  // namespace
}  // namespace smalti
