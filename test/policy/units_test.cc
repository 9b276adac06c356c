#include "policy/units.h"

#include <gtest/gtest.h>

#include "policy/words.h"

namespace smalti {
namespace {

struct Row {
  Resource what;
  std::string_view text;
  std::uint64_t amount;
};

// The first lines are ImageMagick's own readings, measured.
constexpr Row rows[] = {
    {Resource::memory, "100", 100},
    {Resource::memory, "100B", 100},
    {Resource::memory, "1KB", 1000},
    {Resource::memory, "1k", 1000},
    {Resource::width, "1KP", 1000},
    {Resource::memory, "1KiB", 1024},
    {Resource::memory, "1.5KiB", 1536},
    {Resource::memory, "1e6", 1'000'000},
    {Resource::memory, "10%", 10},
    {Resource::memory, "256MiB", 256u << 20},
    {Resource::memory, "1GiB", 1u << 30},
    {Resource::memory, "2GB", 2'000'000'000},
    {Resource::memory, "1P", 1'000'000'000'000'000},
    {Resource::width, "1000P", 1000},
    {Resource::area, "128MP", 128'000'000},
    {Resource::area, "2GP", 2'000'000'000},
    {Resource::area, "1PP", 1'000'000'000'000'000},
    {Resource::disk, " 4 GiB ", 4ull << 30},
    {Resource::disk, ".5KiB", 512},
    {Resource::disk, "UNLIMITED", unlimited},
    {Resource::disk, "18446744073709551615", unlimited},
    {Resource::disk, "18446744073709551614", unlimited - 1},
    {Resource::disk, "18446744073709551616", unlimited},
    {Resource::disk, "99QiB", unlimited},
    {Resource::disk, "1EiB", 1ull << 60},
    {Resource::time, "3600", 3600},
    {Resource::time, "2 hours", 7200},
    {Resource::time, "1minute", 60},
    {Resource::time, "2 Weeks", 2 * 7 * 86400},
    {Resource::file, "768", 768},
    {Resource::list_length, "1k", 1000},
    {Resource::throttle, "0", 0},
};

TEST(ParseAmount, ReadsWhatPeopleWrite) {
  for (const Row& row : rows) {
    const auto amount = parse_amount(row.what, row.text);
    ASSERT_TRUE(amount) << row.text << ": " << amount.error().what;
    EXPECT_EQ(*amount, row.amount) << row.text;
  }
}

TEST(ParseAmount, RefusesJunkAndNamesIt) {
  for (const std::string_view junk :
       {"abc", "", " ", "5x", "-1", "+1", "1KiBB", "1Ki B", "0x10", "inf", "nan", "1..5", "1 2", "KiB", "1e",
        "1iB", "1,5GiB", "1e99999", "2 hours"}) {
    const auto amount = parse_amount(Resource::memory, junk);
    ASSERT_FALSE(amount) << junk << " gave " << *amount;
    EXPECT_EQ(amount.error().code, Errc::invalid);
    EXPECT_NE(amount.error().what.find("`" + std::string(trimmed(junk)) + "'"), std::string::npos)
        << amount.error().what;
    EXPECT_NE(amount.error().what.find("memory"), std::string::npos);
  }
  EXPECT_FALSE(parse_amount(Resource::time, "2 fortnights"));
  EXPECT_FALSE(parse_amount(Resource::memory, std::string(100'000, '9')));
}

TEST(PrintAmount, AsListResourceDoes) {
  EXPECT_EQ(print_amount(Resource::memory, 1536), "1536B");
  EXPECT_EQ(print_amount(Resource::width, 1000), "1000P");
  EXPECT_EQ(print_amount(Resource::area, 256'000'000), "256MP");
  EXPECT_EQ(print_amount(Resource::memory, 1572864), "1.5MiB");
  EXPECT_EQ(print_amount(Resource::memory, 256u << 20), "256MiB");
  EXPECT_EQ(print_amount(Resource::disk, unlimited), "unlimited");
  EXPECT_EQ(print_amount(Resource::disk, unlimited - 1), "16EiB");
  EXPECT_EQ(print_amount(Resource::thread, 2), "2");
  EXPECT_EQ(print_amount(Resource::time, 7200), "7200");
}

TEST(PrintAmount, CanBeReadBack) {
  for (const Resource what :
       {Resource::width, Resource::area, Resource::memory, Resource::file, Resource::time})
    for (const std::uint64_t amount : {0ull, 1ull, 999ull, 1000ull, 999'999ull, 256'000'000ull}) {
      const auto back = parse_amount(what, print_amount(what, amount));
      ASSERT_TRUE(back);
      EXPECT_NEAR(static_cast<double>(*back), static_cast<double>(amount),
                  static_cast<double>(amount) * 1e-5);
    }
}

TEST(ResourceNamed, InAnyCase) {
  EXPECT_EQ(resource_named("Memory"), Resource::memory);
  EXPECT_EQ(resource_named("list-length"), Resource::list_length);
  EXPECT_EQ(resource_named("listlength"), Resource::list_length);
  EXPECT_FALSE(resource_named("memories"));
}

}  // namespace
}  // namespace smalti
