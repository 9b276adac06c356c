// Names over real servers: written, read, locked, lost and found.
#include <gmock/gmock.h>
#include <unistd.h>

#include <thread>

#include "client/names.h"
#include "client/survey.h"
#include "test/client/names_rig.h"
#include "wire/native_blob.h"

namespace smalti::test {
namespace {

using namespace client;
using namespace std::chrono_literals;
using testing::HasSubstr;
namespace native = wire::native;

TEST_F(NamesTest, WhatIsWrittenIsRead) {
  for (int n = 1; n <= 4; ++n) {
    serve();
    ASSERT_TRUE(write("slide", static_cast<std::uint32_t>(n)));
    EXPECT_EQ(read("slide"), static_cast<std::uint32_t>(n)) << last_error_.what;
    EXPECT_TRUE(eventually([this] { return tiles() == 40; })) << tiles();
  }
  EXPECT_EQ(read("other"), std::nullopt);
  EXPECT_THAT(last_error_.what, HasSubstr("no image is named `dpc:other'"));
}

TEST_F(NamesTest, TilesThatWereNeverWrittenStaySo) {
  serve();
  serve();
  const auto writer = names().write(call_, "sparse");
  ASSERT_TRUE(writer);
  const ImageId id = put(**writer, 1, 10);
  ASSERT_TRUE((*writer)->commit(call_, id, spec, 8, {}));
  const auto opened = names().open(call_, "sparse");
  ASSERT_TRUE(opened);
  for (std::uint32_t n = 0; n < 40; ++n) EXPECT_EQ(opened->written.at(n), n >= 10) << n;
  EXPECT_EQ(opened->record.tiles, 30u);
}

TEST_F(NamesTest, ASecondWriterIsRefused) {
  for (int n = 0; n < 3; ++n) serve();
  ASSERT_TRUE(write("n", 1));
  auto first = names().write(call_, "n");
  ASSERT_TRUE(first);
  const auto second = names().write(call_, "n");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Errc::conflict);
  EXPECT_THAT(second.error().what, HasSubstr("`n' is being written by smalti (127.0.0.1:"));
  EXPECT_EQ(read("n"), 1u);
  put(**first, 2);
  first->reset();  // gives up
  EXPECT_EQ(read("n"), 1u);
  EXPECT_TRUE(eventually([this] { return tiles() == 40; }));
  ASSERT_TRUE(write("n", 3));
  EXPECT_EQ(read("n"), 3u);
}

TEST_F(NamesTest, OfManyWritersAtATimeEachIsDoneOrRefused) {
  for (int n = 0; n < 3; ++n) serve();
  std::vector<std::thread> threads;
  std::array<Result<void>, 4> done;
  for (std::uint32_t n = 0; n < 4; ++n)
    threads.emplace_back([this, n, &done] { done[n] = write("n", n + 1); });
  for (std::thread& thread : threads) thread.join();
  std::set<std::uint32_t> written;
  for (std::uint32_t n = 0; n < 4; ++n) {
    if (done[n])
      written.insert(n + 1);
    else
      EXPECT_EQ(done[n].error().code, Errc::conflict) << done[n].error().what;
  }
  ASSERT_FALSE(written.empty());
  const auto seen = read("n");
  ASSERT_TRUE(seen) << last_error_.what;
  EXPECT_TRUE(written.contains(*seen));
  EXPECT_TRUE(eventually([this] { return tiles() == 40; })) << tiles();
}

TEST_F(NamesTest, AReaderKeepsItsVersion) {
  for (int n = 0; n < 2; ++n) serve();
  ASSERT_TRUE(write("n", 1));
  auto old = names().open(call_, "n");
  ASSERT_TRUE(old);
  ASSERT_TRUE(write("n", 2));
  EXPECT_EQ(seed_of(*old), 1u) << last_error_.what;
  EXPECT_EQ(read("n"), 2u);
  EXPECT_EQ(tiles(), 80u);
  EXPECT_TRUE(old->store->drop(call_, old->record.image));
  EXPECT_TRUE(eventually([this] { return tiles() == 40; }));
}

TEST_F(NamesTest, ReadersDuringWritesSeeOneVersion) {
  for (int n = 0; n < 3; ++n) serve();
  ASSERT_TRUE(write("n", 1));
  std::atomic<bool> ended = false;
  std::vector<std::thread> readers;
  for (int n = 0; n < 2; ++n)
    readers.emplace_back([&] {
      std::uint32_t last = 0;
      while (!ended) {
        auto opened = names().open(call_, "n");
        ASSERT_TRUE(opened) << opened.error().what;
        const auto seed = seed_of(*opened);
        ASSERT_TRUE(seed) << last_error_.what;
        EXPECT_GE(*seed, last) << "an older version than before";
        last = *seed;
      }
    });
  for (std::uint32_t seed = 2; seed < 12; ++seed) ASSERT_TRUE(write("n", seed));
  ended = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(read("n"), 11u);
}

// A writer that dies when one server of three has the record.
TEST_F(NamesTest, AVersionSeenOnceIsSeenFromThenOn) {
  for (int n = 0; n < 3; ++n) serve();
  ASSERT_TRUE(write("n", 1));
  auto writer = names().write(call_, "n");
  ASSERT_TRUE(writer);
  // By hand, what commit() would do, up to the first server's register.
  Scouts scouts(loop_, heap_, log_, options_);
  auto survey = take_survey(call_, scouts, "n", 10s);
  ASSERT_TRUE(survey);
  ASSERT_TRUE(survey->decide(call_, scouts, "n"));
  const auto version = *survey->answers()[0].state;
  writer->reset();
  native::Enter enter{"n", version.number + 1, false, true, version.record, 0, 0};
  std::vector<std::byte> details(survey->details().begin(), survey->details().end());
  details.back() = std::byte{9};
  const Tile blob = native::blob_tile(std::make_shared<const std::vector<std::byte>>(details));
  enter.checksum = blob.computed_checksum();
  enter.detail_bytes = static_cast<std::uint32_t>(details.size());
  ASSERT_TRUE(scouts.ask(call_, {1}, enter, blob));
  // Whoever hears of it tells the others first; then any majority shows it.
  for (int round = 0; round < 2; ++round) {
    auto again = take_survey(call_, scouts, "n", 10s);
    ASSERT_TRUE(again);
    const auto seen = again->decide(call_, scouts, "n");
    ASSERT_TRUE(seen) << seen.error().what;
    EXPECT_EQ(seen->number, version.number + 1);
  }
  const auto last = take_survey(call_, scouts, "n", 10s);
  for (const Answer& answer : last->answers()) EXPECT_EQ(answer.state->number, version.number + 1);
}

TEST_F(NamesTest, AMajorityIsNeeded) {
  for (int n = 0; n < 3; ++n) serve();
  options_.replicas = 2;
  ASSERT_TRUE(write("n", 1));
  servers_[1]->stop();
  EXPECT_EQ(read("n"), 1u) << last_error_.what;
  ASSERT_TRUE(write("n", 2));
  EXPECT_EQ(read("n"), 2u) << last_error_.what;
  servers_[0]->stop();
  const auto refused = names().write(call_, "n");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::unavailable);
  EXPECT_THAT(refused.error().what, HasSubstr("writing `dpc:n' needs 2 of the 3 listed servers"));
}

TEST_F(NamesTest, ADeletionThatCannotBeSaysHowItCan) {
  serve();
  serve();
  ASSERT_TRUE(write("n", 1));
  servers_[1]->stop();
  const auto refused = names().erase(call_, "n");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr("deleting `dpc:n' needs 2 of the 2 listed servers, and 1 could be reached"));
  EXPECT_THAT(refused.error().what, HasSubstr("cache:forced-delete=true"));
}

TEST_F(NamesTest, ARestartedServerBringsNoOldVersionBack) {
  for (int n = 0; n < 3; ++n) serve();
  options_.replicas = 2;
  ASSERT_TRUE(write("n", 1));
  servers_[2]->restart();  // forgets
  servers_[0]->stop();
  EXPECT_EQ(read("n"), std::nullopt);
  EXPECT_THAT(last_error_.what, HasSubstr("(restarted)"));
}

// Two of three servers have the first version. One of them forgets it, and the other one cannot be asked for a while.
TEST_F(NamesTest, WhatMayBeForgottenIsNotTakenForAbsent) {
  for (int n = 0; n < 3; ++n) serve();
  options_.replicas = 2;
  const auto all = options_.hosts;
  const HostPort nobody{"127.0.0.1", 1};
  options_.hosts = {all[0], all[1], nobody};
  ASSERT_TRUE(write("n", 1));
  EXPECT_EQ(read("other"), std::nullopt);
  EXPECT_THAT(last_error_.what, testing::Not(HasSubstr("no image is named")));
  servers_[0]->restart();
  options_.hosts = {all[0], nobody, all[2]};
  EXPECT_EQ(read("n"), std::nullopt);
  EXPECT_EQ(last_error_.code, Errc::unavailable);
  EXPECT_THAT(last_error_.what, HasSubstr("`dpc:n' was not found on " + all[0].text() + ", " + all[2].text()));
  EXPECT_THAT(last_error_.what, HasSubstr("127.0.0.1:1"));
  EXPECT_THAT(last_error_.what, HasSubstr("forget names when they are restarted"));
  const auto erased = names().erase(call_, "n");
  ASSERT_FALSE(erased);
  EXPECT_THAT(erased.error().what, HasSubstr("forget names when they are restarted"));
  // What is written now is the later version also for who hears of the first one again; by a clock of seconds.
  std::this_thread::sleep_for(1100ms);
  ASSERT_TRUE(write("n", 2));
  options_.hosts = all;
  EXPECT_EQ(read("n"), 2u) << last_error_.what;
}

TEST_F(NamesTest, OtherListsFindIt) {
  for (int n = 0; n < 3; ++n) serve();
  ASSERT_TRUE(write("n", 1));
  const auto all = options_.hosts;
  options_.hosts = {all[2]};
  EXPECT_EQ(read("n"), 1u) << last_error_.what;
  serve();  // the third, and a new one
  ASSERT_TRUE(write("n", 2));
  for (const auto& host : all) {
    options_.hosts = {host};
    EXPECT_EQ(read("n"), 2u) << last_error_.what;
  }
}

TEST_F(NamesTest, DeletedIsDeleted) {
  for (int n = 0; n < 3; ++n) serve();
  ASSERT_TRUE(write("n", 1));
  ASSERT_TRUE(names().erase(call_, "n"));
  EXPECT_EQ(read("n"), std::nullopt);
  EXPECT_TRUE(eventually([this] { return tiles() == 0; }));
  EXPECT_FALSE(names().erase(call_, "n"));
  ASSERT_TRUE(write("n", 2));
  EXPECT_EQ(read("n"), 2u);
}

// Two of three servers are gone for good. Should one come back after all, what it has is older than the deletion.
TEST_F(NamesTest, AForcedDeletionNeedsNoMajority) {
  for (int n = 0; n < 3; ++n) serve();
  options_.replicas = 2;
  ASSERT_TRUE(write("n", 1));
  ASSERT_TRUE(write("n", 2));
  servers_[0]->stop();
  servers_[1]->stop();
  const auto refused = names().erase(call_, "n");
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().what, HasSubstr("must be reached"));
  const auto erased = names().erase(call_, "n", true);
  ASSERT_TRUE(erased) << erased.error().what;
  EXPECT_EQ(read("n"), std::nullopt);
  EXPECT_THAT(last_error_.what, HasSubstr("no image is named `dpc:n'"));
  EXPECT_TRUE(eventually([this] { return servers_[2]->tiles() == 0; }));
  // As one that has kept what it had: a later version than any that the third was told of.
  servers_[0]->restart();
  Scouts scouts(loop_, heap_, log_, options_);
  native::Enter old{"n", 9, false, true, {}, 0, 0};
  old.record.image = ImageId::fresh();
  old.record.spec = spec;
  old.record.keepers = {{{}, 1, true, options_.hosts[0].text()}};
  const auto told = scouts.ask(call_, {0}, old);
  ASSERT_TRUE(told && !(*told)[0].failed);
  EXPECT_EQ(read("n"), std::nullopt);
  EXPECT_THAT(last_error_.what, HasSubstr("no image is named `dpc:n'"));
  // The name is free, and its deletion is remembered.
  ASSERT_TRUE(write("n", 3));
  EXPECT_EQ(read("n"), 3u) << last_error_.what;
  ASSERT_TRUE(names().erase(call_, "n"));
  EXPECT_EQ(read("n"), std::nullopt);
}

class NamesLeftTest : public NamesTest {
 protected:
  // As by a writer that is killed when all servers have pinned its version, and those in `entered` have entered it.
  void leave_pinned(const std::vector<std::size_t>& entered = {}) {
    Scouts scouts(loop_, heap_, log_, options_);
    const auto all = scouts.all();
    const auto lock = scouts.ask(call_, all, native::Lock{"n", 7});
    ASSERT_TRUE(lock && !(*lock)[0].failed);
    native::NameRecord record;
    record.image = ImageId::fresh();
    record.spec = spec;
    for (const std::size_t n : all) {
      const Identity is = scouts.identity(n);
      record.keepers.push_back({is.server, is.incarnation, is.durable, scouts.address(n)});
    }
    ASSERT_TRUE(scouts.ask(call_, all, native::Open{record.image, spec, false, true}));
    const Tile tile = pattern_tile(heap_, spec, nth({}, 0), 5);
    const native::Put put{{{nth(record.image, 0), {}, tile.checksum(), static_cast<std::uint32_t>(tile.charge())}}};
    for (const std::size_t n : all) {
      const auto done = scouts.ask(call_, {n}, put, tile);
      ASSERT_TRUE(done && !(*done)[0].failed);
    }
    const auto pinned = scouts.ask(call_, all, native::Pin{"n", 7, record.image, true, record.keepers});
    ASSERT_TRUE(pinned && !(*pinned)[0].failed);
    const auto told = scouts.ask(call_, entered, native::Enter{"n", 7, false, false, record, 0, 0});
    ASSERT_TRUE(told);
    for (const auto& reply : *told) ASSERT_FALSE(reply.failed) << reply.failed->what;
  }
  bool orphaned(std::size_t server) {
    auto options = options_;
    options.hosts = {servers_[server]->host()};
    Scouts scouts(loop_, heap_, log_, options);
    const auto survey = take_survey(call_, scouts, "n", 10s);
    return survey && survey->answers()[0].state && survey->answers()[0].state->orphaned;
  }
};

TEST_F(NamesLeftTest, WhatAWriterLeftGoesWithTheNextReader) {
  for (int n = 0; n < 3; ++n) serve();
  ASSERT_TRUE(write("n", 1));
  leave_pinned();
  EXPECT_EQ(tiles(), 43u);
  EXPECT_TRUE(eventually([this] { return read("n") == 1u && tiles() == 40; })) << tiles() << said();
  const auto listing = names().list(call_);
  ASSERT_TRUE(listing);
  EXPECT_FALSE(listing->names.at(0).unfinished);
}

// The first write of a name: there is nothing to read, and whoever looks frees what it left.
TEST_F(NamesLeftTest, WhatTheFirstWriterLeftGoesWithTheNextLook) {
  for (int n = 0; n < 3; ++n) serve();
  leave_pinned();
  EXPECT_EQ(tiles(), 3u);
  EXPECT_TRUE(eventually([this] { return !read("n") && tiles() == 0; })) << tiles() << said();
  EXPECT_THAT(last_error_.what, HasSubstr("no image is named `dpc:n'"));
  const auto listing = names().list(call_);
  ASSERT_TRUE(listing);
  EXPECT_TRUE(listing->names.empty());
  for (const auto& server : listing->servers) EXPECT_EQ(server.names, 0u) << "all know, so nobody remembers";
  ASSERT_TRUE(write("n", 2));
  EXPECT_EQ(read("n"), 2u);
}

// One of three servers is away: the two that are left can tell that nothing was finished.
TEST_F(NamesLeftTest, AMajorityOfItsServersFreesIt) {
  for (int n = 0; n < 3; ++n) serve();
  leave_pinned();
  const auto all = options_.hosts;
  ASSERT_TRUE(eventually([this] { return orphaned(0) && orphaned(1); }));
  servers_[2]->stop();
  EXPECT_TRUE(eventually([this] { return !read("n") && servers_[0]->tiles() + servers_[1]->tiles() == 0; })) << said();
}

// The write was finished on the two servers that this client does not list, so it is there.
TEST_F(NamesLeftTest, WhatIsFinishedElsewhereIsFound) {
  for (int n = 0; n < 3; ++n) serve();
  leave_pinned({1, 2});
  options_.hosts = {servers_[0]->host()};
  const auto opened = names().open(call_, "n");
  EXPECT_THAT(opened ? "" : opened.error().what, testing::Not(HasSubstr("no image is named")));
  EXPECT_EQ(tiles(), 3u);
}

// What was finished on two servers, of which one has forgotten it and one cannot be asked, may not be freed by the third.
TEST_F(NamesLeftTest, WhatMayBeFinishedStays) {
  for (int n = 0; n < 3; ++n) serve();
  leave_pinned({1, 2});
  ASSERT_TRUE(eventually([this] { return orphaned(0); }));
  servers_[1]->restart();
  servers_[2]->stop();
  for (int n = 0; n < 3; ++n) EXPECT_EQ(read("n"), std::nullopt);
  EXPECT_EQ(servers_[0]->tiles(), 1u);
  EXPECT_THAT(said(), HasSubstr("freeing what is left of `dpc:n' needs 2 of the 3 designated servers"));
}

TEST_F(NamesTest, AreListed) {
  serve();
  serve();
  ASSERT_TRUE(write("a", 1));
  ASSERT_TRUE(write("b", 2));
  const auto writer = names().write(call_, "c");
  options_.hosts.push_back({"127.0.0.1", 1});
  const auto listing = names().list(call_);
  ASSERT_TRUE(listing) << listing.error().what;
  ASSERT_EQ(listing->servers.size(), 3u);
  EXPECT_FALSE(listing->servers[0].failed);
  EXPECT_TRUE(listing->servers[2].failed);
  ASSERT_EQ(listing->names.size(), 2u);
  EXPECT_EQ(listing->names[1].name, "b");
  EXPECT_EQ(listing->names[1].held_bytes, spec.stored_bytes());
  EXPECT_EQ(listing->names[1].record.tiles, 40u);
  EXPECT_EQ(listing->names[1].reached, 2u);
}

}  // namespace
}  // namespace smalti::test
