// Scripts run on real files, in memory.
#include "cli/run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "house/house.h"

namespace smalti::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Run : public ::testing::Test {
 protected:
  Run() {
    std::string pattern = (fs::temp_directory_path() / "smalti-run-XXXXXX").string();
    folder = ::mkdtemp(pattern.data());
    house::Config config;
    config.limits.most.fill(unlimited);
    config.limits[Resource::map] = config.limits[Resource::throttle] = 0;
    config.limits[Resource::thread] = 1;
    config.limits[Resource::list_length] = 3;
    config.temporary = folder;
    auto built = house::build(std::move(config), house::Purpose::client, log);
    EXPECT_TRUE(built) << built.error().what;
    home = std::move(*built);
    for (int gray : {10, 20, 30})
      std::ofstream(folder / (std::to_string(gray) + ".pgm")) << "P5 2 1 255 " << char(gray) << char(gray);
  }
  ~Run() override {
    home.reset();
    fs::remove_all(folder);
  }

  // Words of the form @name are files in the folder.
  Result<void> run(const std::string& line, std::stop_token stop = {}) {
    std::istringstream in("smalti " + line);
    std::vector<std::string> words;
    for (std::string word; in >> word;)
      words.push_back(word[0] == '@' ? (folder / word.substr(1)).string() : word);
    const std::vector<std::string_view> views(words.begin(), words.end());
    SMALTI_TRY(const Script script, parse(views, ops::operators()));
    const ops::Workshop workshop = house::workshop_of(*home, {}, {});
    return run_steps(script, workshop, house::call_for(*home, stop), folder.string(),
                     [](const std::string&) {});
  }
  // The first sample of a written file; -1: there is none.
  int gray(const std::string& name) const {
    std::ifstream in(folder / name, std::ios::binary);
    const std::string text{std::istreambuf_iterator<char>(in), {}};
    return text.size() < 2 ? -1 : static_cast<unsigned char>(text[text.size() - 2]);
  }
  std::vector<int> grays(std::initializer_list<const char*> names) const {
    std::vector<int> out;
    for (const char* name : names) out.push_back(gray(name));
    return out;
  }

  fs::path folder;
  Log log;
  std::unique_ptr<house::House> home;
};

#define ASSERT_RUNS(line)                   \
  do {                                      \
    const auto done = run(line);            \
    ASSERT_TRUE(done) << done.error().what; \
  } while (false)

TEST_F(Run, ACropWithoutAnOffsetMakesTilesThatAreNumbered) {
  ASSERT_RUNS("@10.pgm -crop 1x1 -write @p-%d.png +repage @o-%d.pgm");
  for (const char* name : {"p-0.png", "p-1.png", "o-0.pgm", "o-1.pgm"})
    EXPECT_TRUE(fs::exists(folder / name)) << name;
  EXPECT_FALSE(fs::exists(folder / "o-2.pgm"));
  ASSERT_RUNS("@p-1.png @again.png");
  const auto many = run("@10.pgm @20.pgm -crop 1x1 @q-%d.pgm");
  ASSERT_FALSE(many);
  EXPECT_THAT(many.error().what, HasSubstr("list-length"));
}

TEST_F(Run, WhatLiesBetweenTwoStepsIsNoImageOfTheList) {
  ASSERT_RUNS("@10.pgm @20.pgm @30.pgm -negate -write @mid-%d.pgm -negate @end-%d.pgm");
  EXPECT_THAT(grays({"mid-2.pgm", "end-2.pgm"}), ElementsAre(225, 30));
}

TEST_F(Run, APageHoldsForWhatIsReadBehindIt) {
  ASSERT_RUNS("-page 5x4+2+1 @10.pgm +page @20.pgm @a-%d.png");
  std::vector<Rect> pages;
  for (const char* name : {"a-0.png", "a-1.png"}) {
    const ops::Workshop workshop = house::workshop_of(*home, {}, {});
    const auto read = ops::read_pictures(workshop, Call(), (folder / name).string(), {}, false);
    ASSERT_TRUE(read) << read.error().what;
    pages.push_back(ops::facts_of(read->front()).page);
  }
  EXPECT_EQ(pages[0], (Rect{2, 1, {5, 4}}));
  EXPECT_EQ(pages[1].x, 0);
}

TEST_F(Run, AnOperatorWorksOnWhatWasReadBeforeIt) {
  ASSERT_RUNS("@10.pgm -negate @20.pgm @o-%d.pgm");
  EXPECT_THAT(grays({"o-0.pgm", "o-1.pgm"}), ElementsAre(245, 20));
}

TEST_F(Run, ASequenceIsNumberedAndASingleImageIsNot) {
  ASSERT_RUNS("@10.pgm @20.pgm @o.pgm");
  EXPECT_THAT(grays({"o-0.pgm", "o-1.pgm", "o.pgm"}), ElementsAre(10, 20, -1));
  ASSERT_RUNS("@30.pgm @p.pgm");
  EXPECT_EQ(gray("p.pgm"), 30);
}

TEST_F(Run, ParenthesesWorkOnImagesOfTheirOwn) {
  ASSERT_RUNS("@10.pgm ( @20.pgm -negate ) @o-%d.pgm");
  EXPECT_THAT(grays({"o-0.pgm", "o-1.pgm"}), ElementsAre(10, 235));
  ASSERT_RUNS("@10.pgm ( +clone -negate ) @c-%d.pgm");
  EXPECT_THAT(grays({"c-0.pgm", "c-1.pgm"}), ElementsAre(10, 245));
}

TEST_F(Run, SequencesAreTurnedAndCut) {
  ASSERT_RUNS("@10.pgm @20.pgm @30.pgm -reverse @r-%d.pgm");
  EXPECT_THAT(grays({"r-0.pgm", "r-1.pgm", "r-2.pgm"}), ElementsAre(30, 20, 10));
  ASSERT_RUNS("@10.pgm @20.pgm @30.pgm -swap 0,2 -delete 1 @s-%d.pgm");
  EXPECT_THAT(grays({"s-0.pgm", "s-1.pgm", "s-2.pgm"}), ElementsAre(30, 10, -1));
  ASSERT_RUNS("@10.pgm @20.pgm +swap +delete @t.pgm");
  EXPECT_EQ(gray("t.pgm"), 20);
}

TEST_F(Run, WritesOnTheWayAndGoesOn) {
  ASSERT_RUNS("@10.pgm -negate -write @mid.pgm -negate @end.pgm");
  EXPECT_THAT(grays({"mid.pgm", "end.pgm"}), ElementsAre(245, 10));
}

TEST_F(Run, ErrorsNameWhatIsWrongAndLeaveNothing) {
  for (const auto& [line, says] : std::vector<std::pair<std::string, std::string>>{
           {"@gone.pgm @o.pgm", "gone.pgm"},
           {"@10.pgm @20.pgm @30.pgm @10.pgm @o.pgm", "list-length 4 exceeds the limit of 3"},
           {"@10.pgm -delete 0 @o.pgm", "no images left"},
           {"@10.pgm -delete 5 @o.pgm", "no such image `5'"},
           {"@10.pgm @20.pgm -swap 0 @o.pgm", "name two images"}}) {
    const auto done = run(line);
    ASSERT_FALSE(done) << line;
    EXPECT_THAT(done.error().what, HasSubstr(says));
    EXPECT_FALSE(fs::exists(folder / "o.pgm"));
  }
}

TEST_F(Run, StopsWhenItIsToldTo) {
  const auto source = std::make_unique<std::stop_source>();  // on the stack g++ 12 takes it for uninitialized
  source->request_stop();
  const auto done = run("@10.pgm @o.pgm", source->get_token());
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::cancelled);
}

TEST(SelectImages, UnderstandsNumbersRangesAndTheEnd) {
  EXPECT_THAT(*select_images("0,2", 3), ElementsAre(0u, 2u));
  EXPECT_THAT(*select_images("1-2", 3), ElementsAre(1u, 2u));
  EXPECT_THAT(*select_images("2-0", 3), ElementsAre(2u, 1u, 0u));
  EXPECT_THAT(*select_images("-1", 3), ElementsAre(2u));
  EXPECT_THAT(*select_images("0--2", 3), ElementsAre(0u, 1u));
  EXPECT_THAT(*select_images("-2,-1", 3), ElementsAre(1u, 2u));
  for (const char* bad : {"3", "-4", "", ",", "1,", "x", "1-", "1-9", "--", "99999999999999999999"})
    EXPECT_FALSE(select_images(bad, 3)) << bad;
}

}  // namespace
}  // namespace smalti::cli
