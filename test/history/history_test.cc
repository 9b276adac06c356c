// The checker finds what it is for, and nothing else.
#include "test/history/history.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace smalti::test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Event write(std::uint64_t version, Moment begun, Moment ended, std::uint32_t client = 1,
            std::uint64_t key = 1) {
  return {Event::Kind::write, client, key, version, begun, ended};
}
Event read(std::optional<std::uint64_t> version, Moment begun, Moment ended, std::uint32_t client = 1,
           std::uint64_t key = 1) {
  return {Event::Kind::read, client, key, version, begun, ended};
}
Event erase(Moment begun, Moment ended, std::uint32_t client = 1, std::uint64_t key = 1) {
  return {Event::Kind::erase, client, key, 0, begun, ended};
}

TEST(History, OfOneThingAfterAnotherIsSound) {
  EXPECT_THAT(History::judge({read(0, 1, 2), write(5, 3, 4), read(5, 5, 6), write(6, 7, 8), read(6, 9, 10)}),
              IsEmpty());
}

TEST(History, WhatIsWrittenMeanwhileMayBeReadOrNot) {
  EXPECT_THAT(History::judge({write(5, 1, 2), write(6, 3, 10), read(5, 4, 5), read(6, 6, 7)}), IsEmpty());
}

TEST(History, WritesAtTheSameTimeMayWinInAnyOrder) {
  EXPECT_THAT(History::judge({write(5, 1, 10), write(6, 2, 9, 2), read(5, 11, 12), read(5, 13, 14)}),
              IsEmpty());
  EXPECT_THAT(History::judge({write(5, 1, 10), write(6, 2, 9, 2), read(6, 11, 12), read(6, 13, 14)}),
              IsEmpty());
}

TEST(History, AWriteThatFailedMayHaveHappenedAnyTime) {
  EXPECT_THAT(History::judge({write(5, 1, 2), write(6, 3, never), read(5, 4, 5), read(6, 6, 7)}), IsEmpty());
  EXPECT_THAT(History::judge({write(6, 1, never), write(5, 3, 4), read(5, 5, 6), read(6, 7, 8)}), IsEmpty());
}

TEST(History, FindsWhatNobodyWrote) {
  EXPECT_THAT(History::judge({write(5, 1, 2), read(7, 3, 4)}), ElementsAre(HasSubstr("never written")));
  EXPECT_THAT(History::judge({read(5, 1, 2), write(5, 3, 4)}), ElementsAre(HasSubstr("not written yet")));
}

TEST(History, FindsAMixture) {
  EXPECT_THAT(History::judge({write(5, 1, 2), read(std::nullopt, 3, 4)}), ElementsAre(HasSubstr("mixture")));
}

TEST(History, FindsWhatIsOlderThanItsOwnClientWrote) {
  EXPECT_THAT(History::judge({write(5, 1, 2), write(6, 3, 4), read(5, 5, 6)}),
              ElementsAre(HasSubstr("same client")));
}

TEST(History, FindsWhatIsOlderThanAnotherWrote) {
  EXPECT_THAT(History::judge({write(5, 1, 2), write(6, 3, 4, 2), read(5, 5, 6)}),
              ElementsAre(HasSubstr("had been written")));
}

TEST(History, FindsWhatIsOlderThanWhatWasReadBefore) {
  EXPECT_THAT(History::judge({write(5, 1, 2), write(6, 3, never), read(6, 4, 5), read(5, 6, 7)}),
              ElementsAre(HasSubstr("had been read")));
}

TEST(History, FindsLostWrites) {
  EXPECT_THAT(History::judge({write(5, 1, 2), read(0, 3, 4)}), ElementsAre(HasSubstr("absent")));
}

TEST(History, FindsWhatWasReadAndIsGone) {
  EXPECT_THAT(History::judge({write(5, 1, never), read(5, 3, 4), read(0, 5, 6)}),
              ElementsAre(HasSubstr("absent, though version 5 had been read")));
}

TEST(History, WhatWasErasedIsAbsentUntilItIsWrittenAgain) {
  EXPECT_THAT(History::judge({write(5, 1, 2), erase(3, 4), read(0, 5, 6), write(6, 7, 8), read(6, 9, 10), erase(11, 12),
                              read(0, 13, 14)}),
              IsEmpty());
  EXPECT_THAT(History::judge({write(5, 1, 2), erase(3, 10), read(5, 4, 5), read(0, 6, 7)}), IsEmpty());
  EXPECT_THAT(History::judge({write(5, 1, 2), erase(3, never), read(5, 4, 5), read(0, 6, 7)}), IsEmpty());
}

TEST(History, FindsWhatComesBackAfterItWasErased) {
  EXPECT_THAT(History::judge({write(5, 1, 2), erase(3, 4, 2), read(5, 5, 6)}),
              ElementsAre(HasSubstr("older than its deletion at 3")));
}

TEST(History, FindsAbsenceThatIsOlderThanWhatWasWrittenSince) {
  EXPECT_THAT(History::judge({write(5, 1, 2), erase(3, 4), write(6, 5, 6), read(0, 7, 8)}),
              ElementsAre(HasSubstr("absent, though version 6 was written")));
  EXPECT_THAT(History::judge({write(5, 1, 2), erase(3, 4), write(6, 5, never), read(6, 7, 8), read(0, 9, 10)}),
              ElementsAre(HasSubstr("absent, though version 6 had been read")));
  EXPECT_THAT(History::judge({write(5, 1, 2), read(0, 3, 4), erase(5, 6)}), ElementsAre(HasSubstr("absent")));
}

TEST(Order, OfOneThingAfterAnotherIsSound) {
  EXPECT_THAT(History::judge_order({read(0, 1, 2), write(5, 3, 4), read(5, 5, 6), write(6, 7, 8), read(6, 9, 10)}), IsEmpty());
  EXPECT_THAT(History::judge_order({write(5, 1, 10), write(6, 2, 9, 2), read(6, 11, 12)}), IsEmpty());
  EXPECT_THAT(History::judge_order({write(5, 1, never), write(6, 3, 4), read(6, 5, 6), read(5, 7, 8)}), IsEmpty());
}

TEST(Order, WhatIsReadMeanwhileMayBeOldOrNew) {
  EXPECT_THAT(History::judge_order({write(5, 1, 2), write(6, 3, 20), read(5, 4, 7, 2), read(6, 5, 6, 3), read(6, 8, 9, 2)}),
              IsEmpty());
  EXPECT_THAT(History::judge_order({write(5, 1, 20), write(6, 2, 19), read(5, 3, 6, 2), read(6, 4, 5, 3)}), IsEmpty());
}

TEST(Order, FindsAVersionThatComesTwice) {
  const std::vector<Event> events{write(5, 1, 20), write(6, 2, 19, 2), read(5, 3, 4), read(6, 5, 6), read(5, 7, 8)};
  EXPECT_THAT(History::judge(events), IsEmpty());  // either may be the last one; but not by turns
  EXPECT_THAT(History::judge_order(events), ElementsAre(HasSubstr("version 5 was there from 4 to 7, and version 6 came")));
}

TEST(Order, FindsTwoThatSeeTwoOrders) {
  EXPECT_THAT(History::judge_order({write(5, 1, 20), write(6, 2, 19, 2), read(5, 3, 4), read(6, 5, 6, 2), read(5, 9, 10),
                                    read(6, 11, 12, 2)}),
              ElementsAre(HasSubstr("version 5 was there from 4 to 9, and version 6 was there from 6 to 11")));
}

TEST(Order, FindsWhatIsOlder) {
  EXPECT_THAT(History::judge_order({write(5, 1, 2), write(6, 3, 4), read(5, 5, 6)}), ElementsAre(HasSubstr("version 6 came")));
  EXPECT_THAT(History::judge_order({write(5, 1, 2), write(6, 3, never), read(6, 4, 5), read(5, 6, 7)}),
              ElementsAre(HasSubstr("version 5")));
}

TEST(Order, FindsWhatIsGone) {
  EXPECT_THAT(History::judge_order({read(0, 1, 2), write(5, 3, 4), read(0, 5, 6)}), ElementsAre(HasSubstr("version 0")));
}

TEST(Order, KeysAreApartAndErasuresAreNoVersions) {
  EXPECT_THAT(History::judge_order({write(5, 1, 2), write(6, 3, 4, 1, 2), read(5, 5, 6), read(6, 7, 8, 1, 2)}), IsEmpty());
  EXPECT_THAT(History::judge_order({read(0, 1, 2), write(5, 3, 4), erase(5, 6), read(0, 7, 8)}), IsEmpty());
}

TEST(History, KeysAreApart) {
  EXPECT_THAT(History::judge({write(5, 1, 2), write(6, 3, 4, 1, 2), read(5, 5, 6), read(6, 7, 8, 1, 2)}),
              IsEmpty());
  EXPECT_THAT(History::judge({write(5, 1, 2), read(5, 3, 4, 1, 2)}), ElementsAre(HasSubstr("never written")));
}

}  // namespace
}  // namespace smalti::test
