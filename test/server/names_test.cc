// Named images on one server: who may write, what readers see, what is kept and for how long.
#include <gtest/gtest.h>

#include <map>

#include "server/catalog.h"
#include "server/shelves.h"
#include "test/server/talker.h"
#include "wire/native_blob.h"

namespace smalti::test {
namespace {

constexpr std::uint64_t image_bytes = 100 * 128 * 4;

bool done(const Result<Heard>& heard) {
  return heard && std::holds_alternative<native::Done>(heard->frame.message);
}

native::Register look(Talker& talker, const std::string& name) {
  auto heard = talker.ask(native::Look{name});
  EXPECT_TRUE(heard && std::holds_alternative<native::Register>(heard->frame.message));
  return std::get<native::Register>(heard->frame.message);
}

native::NameRecord record_for(const ImageId& image) {
  native::NameRecord record;
  record.image = image;
  record.spec = small_image;
  record.keepers = {{{}, 1, false, "127.0.0.1:1"}};
  return record;
}

std::vector<std::byte> details(std::uint8_t seed) { return std::vector<std::byte>(1000, std::byte{seed}); }

native::Enter enter_for(const std::string& name, native::Number number, const ImageId& image,
                        const std::vector<std::byte>& body) {
  native::Enter m{name, number, false, false, record_for(image), checksum_of(body), 0};
  m.detail_bytes = static_cast<std::uint32_t>(body.size());
  return m;
}

ImageId open_for_name(Talker& talker) {
  const ImageId image = ImageId::fresh();
  EXPECT_TRUE(done(talker.ask(native::Open{image, small_image, false, true})));
  return image;
}

void put_all(Talker& talker, const ImageId& image, std::uint8_t seed) {
  for (std::uint32_t n = 0; n < 4; ++n) expect_served(talker, {image, 0, n % 2, n / 2}, seed);
}

bool reads(Talker& talker, const ImageId& image, std::uint8_t seed) {
  if (!done(talker.ask(native::Open{image, small_image, true}))) return false;
  const TileKey key{image, 0, 1, 1};
  EXPECT_TRUE(talker.say(native::Get{{key}}));
  const auto got = tile_answers(talker, 1);
  EXPECT_EQ(got[0].answer.state, native::TileAnswer::State::present);
  return got[0].pixels == payload_of(key, seed);
}

// Everything a writer does, for a name that has no version yet or an older one.
ImageId write(Talker& talker, const std::string& name, native::Number number, std::uint8_t seed) {
  EXPECT_TRUE(done(talker.ask(native::Lock{name, number})));
  const ImageId image = open_for_name(talker);
  put_all(talker, image, seed);
  EXPECT_TRUE(done(talker.ask(native::Pin{name, number, image, true})));
  const auto body = details(seed);
  EXPECT_TRUE(done(talker.ask(enter_for(name, number, image, body), body)));
  EXPECT_TRUE(done(talker.ask(native::Settle{name, number})));
  EXPECT_TRUE(done(talker.ask(native::Drop{image})));
  return image;
}

TEST(Names, AnImageWithANameOutlivesItsMaker) {
  ServerOptions options;
  options.grace = 50ms;
  Served rig(options);
  ImageId image;
  {
    Talker writer(rig.loop);
    ASSERT_TRUE(writer.enter(rig.server->port(), 1));
    image = write(writer, "slide", 1, 7);
  }
  ASSERT_TRUE(eventually([&] { return rig.server->use().sessions == 0; }));
  Talker reader(rig.loop);
  ASSERT_TRUE(reader.enter(rig.server->port(), 2));
  auto heard = reader.ask(native::Look{"slide"});
  ASSERT_TRUE(heard);
  const auto& state = std::get<native::Register>(heard->frame.message);
  EXPECT_EQ(state.number, 1u);
  EXPECT_TRUE(state.settled);
  EXPECT_EQ(state.record.image, image);
  EXPECT_EQ(state.held_bytes, image_bytes);
  EXPECT_EQ(state.holder, "");
  EXPECT_EQ(heard->body, details(7));
  EXPECT_TRUE(reads(reader, image, 7));
  EXPECT_EQ(look(reader, "other").number, 0u);
}

TEST(Names, NobodyWritesAnImageThatHasAName) {
  Served rig;
  Talker writer(rig.loop);
  ASSERT_TRUE(writer.enter(rig.server->port(), 1));
  const native::Number number = 1;
  ASSERT_TRUE(done(writer.ask(native::Lock{"n", number})));
  const ImageId image = open_for_name(writer);
  put_all(writer, image, 1);
  ASSERT_TRUE(done(writer.ask(native::Pin{"n", number, image, true})));
  const TileKey key{image, 0, 0, 0};
  const auto pixels = payload_of(key, 9);
  ASSERT_TRUE(writer.say(native::Put{{item_for(key, pixels)}}, pixels));
  auto put = put_answers(writer, 1);
  ASSERT_FALSE(put[0].put);
  EXPECT_EQ(put[0].put.error().code, Errc::conflict);
  EXPECT_TRUE(reads(writer, image, 1));
}

TEST(Names, ReadersNeedAName) {
  Served rig;
  Talker owner(rig.loop), stranger(rig.loop);
  ASSERT_TRUE(owner.enter(rig.server->port(), 1));
  ASSERT_TRUE(stranger.enter(rig.server->port(), 2));
  const ImageId image = open_image(owner);
  auto opened = stranger.ask(native::Open{image, small_image, true});
  ASSERT_TRUE(opened);
  EXPECT_EQ(failure_of(*opened).code, Errc::unavailable);
}

TEST(Names, TheSecondWriterIsToldWhoIsFirst) {
  Served rig;
  Talker one(rig.loop), two(rig.loop);
  ASSERT_TRUE(one.enter(rig.server->port(), 1));
  ASSERT_TRUE(two.enter(rig.server->port(), 2));
  ASSERT_TRUE(done(one.ask(native::Lock{"n", 1})));
  ASSERT_TRUE(done(one.ask(native::Lock{"n", 1})));  // again is fine
  auto refused = two.ask(native::Lock{"n", 2});
  ASSERT_TRUE(refused);
  EXPECT_EQ(failure_of(*refused).code, Errc::conflict);
  EXPECT_NE(failure_of(*refused).what.find("`n' is being written by talker (127.0.0.1:"), std::string::npos);
  EXPECT_EQ(look(two, "n").holder.rfind("talker (", 0), 0u);
  ASSERT_TRUE(done(one.ask(native::Unlock{"n", 1})));
  ASSERT_TRUE(done(two.ask(native::Lock{"n", 2})));
  auto late = one.ask(native::Pin{"n", 1, ImageId::fresh(), false});
  ASSERT_TRUE(late);
  EXPECT_EQ(failure_of(*late).code, Errc::conflict);
}

// Long before its grace is over; and it is told when it was not dead after all.
TEST(Names, TheLockOfOneThatIsGoneCanBeHad) {
  ServerOptions options;
  options.grace = 600s;
  Served rig(options);
  Talker next(rig.loop);
  ASSERT_TRUE(next.enter(rig.server->port(), 2));
  ImageId image;
  {
    Talker writer(rig.loop);
    ASSERT_TRUE(writer.enter(rig.server->port(), 1));
    ASSERT_TRUE(done(writer.ask(native::Lock{"n", 1})));
    image = open_for_name(writer);
    ASSERT_TRUE(done(writer.ask(native::Pin{"n", 1, image, true})));
    auto refused = next.ask(native::Lock{"n", 2});
    ASSERT_TRUE(refused);
    EXPECT_EQ(failure_of(*refused).code, Errc::conflict);
  }
  ASSERT_TRUE(eventually([&] {
    auto locked = next.ask(native::Lock{"n", 2});
    return done(locked);
  }));
  EXPECT_TRUE(look(next, "n").orphaned);
  Talker late(rig.loop);
  ASSERT_TRUE(late.enter(rig.server->port(), 1));
  const auto body = details(1);
  auto refused = late.ask(enter_for("n", 1, image, body), body);
  ASSERT_TRUE(refused);
  EXPECT_EQ(failure_of(*refused).code, Errc::conflict);
  EXPECT_TRUE(done(next.ask(native::Unlock{"n", 2})));
}

TEST(Names, ANumberIsUsedOnce) {
  Served rig;
  Talker one(rig.loop), two(rig.loop);
  ASSERT_TRUE(one.enter(rig.server->port(), 1));
  ASSERT_TRUE(two.enter(rig.server->port(), 2));
  write(one, "n", 5, 1);
  auto again = two.ask(native::Lock{"n", 5});
  ASSERT_TRUE(again);
  EXPECT_EQ(failure_of(*again).code, Errc::conflict);
  EXPECT_EQ(look(two, "n").promised, 5u);
  EXPECT_TRUE(done(two.ask(native::Lock{"n", 6})));
}

TEST(Names, AWriterThatDiesLeavesTheOldVersionAndNothingElse) {
  ServerOptions options;
  options.grace = 50ms;
  Served rig(options);
  Talker reader(rig.loop);
  ASSERT_TRUE(reader.enter(rig.server->port(), 3));
  ImageId old;
  {
    Talker first(rig.loop);
    ASSERT_TRUE(first.enter(rig.server->port(), 1));
    old = write(first, "n", 1, 1);
    Talker second(rig.loop);
    ASSERT_TRUE(second.enter(rig.server->port(), 2));
    ASSERT_TRUE(done(second.ask(native::Lock{"n", 2})));
    put_all(second, open_for_name(second), 2);
    EXPECT_EQ(rig.server->use().images, 2u);
  }
  EXPECT_TRUE(eventually([&] { return rig.server->use().images == 1 && rig.server->use().sessions == 1; }));
  EXPECT_EQ(look(reader, "n").number, 1u);
  EXPECT_EQ(look(reader, "n").holder, "");
  EXPECT_TRUE(reads(reader, old, 1));
  EXPECT_EQ(rig.ledger.used(Resource::memory), image_bytes);
}

TEST(Names, WhatWasPinnedStaysUntilSomebodyKnowsBetter) {
  ServerOptions options;
  options.grace = 50ms;
  Served rig(options);
  ImageId image;
  const auto body = details(4);
  {
    Talker writer(rig.loop);
    ASSERT_TRUE(writer.enter(rig.server->port(), 1));
    ASSERT_TRUE(done(writer.ask(native::Lock{"n", 1})));
    image = open_for_name(writer);
    put_all(writer, image, 4);
    ASSERT_TRUE(done(writer.ask(native::Pin{"n", 1, image, true})));
  }
  Talker reader(rig.loop);
  ASSERT_TRUE(reader.enter(rig.server->port(), 2));
  ASSERT_TRUE(eventually([&] { return look(reader, "n").orphaned; }));
  EXPECT_EQ(look(reader, "n").pinned, 1u);
  EXPECT_EQ(look(reader, "n").number, 0u);
  // It was entered on another server: so it is here, too.
  auto enter = enter_for("n", 1, image, body);
  enter.repair = true;
  ASSERT_TRUE(done(reader.ask(enter, body)));
  EXPECT_EQ(look(reader, "n").pinned, 0u);
  EXPECT_TRUE(reads(reader, image, 4));
}

TEST(Names, AnOrphanThatWasEnteredNowhereIsLetGo) {
  ServerOptions options;
  options.grace = 3s;  // long enough that nobody is late with what must come before its end
  Served rig(options);
  Talker other(rig.loop);
  ASSERT_TRUE(other.enter(rig.server->port(), 2));
  {
    Talker writer(rig.loop);
    ASSERT_TRUE(writer.enter(rig.server->port(), 1));
    ASSERT_TRUE(done(writer.ask(native::Lock{"n", 1})));
    const ImageId image = open_for_name(writer);
    put_all(writer, image, 4);
    ASSERT_TRUE(done(writer.ask(native::Pin{"n", 1, image, true})));
  }
  ASSERT_TRUE(done(other.ask(native::Unlock{"n", 1})));  // its writer may be back
  ASSERT_TRUE(eventually([&] { return look(other, "n").orphaned; }));
  ASSERT_TRUE(done(other.ask(native::Unlock{"n", 1})));
  EXPECT_TRUE(eventually([&] { return rig.server->use().images == 0; }));
  EXPECT_EQ(look(other, "n").promised, 0u);
}

TEST(Names, OldPixelsStayForThoseWhoReadThem) {
  Served rig;
  Talker writer(rig.loop), reader(rig.loop);
  ASSERT_TRUE(writer.enter(rig.server->port(), 1));
  ASSERT_TRUE(reader.enter(rig.server->port(), 2));
  const ImageId old = write(writer, "n", 1, 1);
  ASSERT_TRUE(reads(reader, old, 1));
  const ImageId next = write(writer, "n", 2, 2);
  EXPECT_TRUE(reads(reader, old, 1));
  EXPECT_TRUE(reads(reader, next, 2));
  EXPECT_EQ(rig.server->use().images, 2u);
  ASSERT_TRUE(done(reader.ask(native::Drop{old})));
  EXPECT_TRUE(eventually([&] { return rig.server->use().images == 1; }));
  EXPECT_TRUE(eventually([&] { return rig.ledger.used(Resource::memory) == image_bytes; }));
  auto gone = writer.ask(native::Open{old, small_image, true});
  ASSERT_TRUE(gone);
  EXPECT_EQ(failure_of(*gone).code, Errc::unavailable);
}

TEST(Names, DeletingIsAVersion) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port(), 1));
  const ImageId image = write(talker, "n", 1, 1);
  ASSERT_TRUE(done(talker.ask(native::Lock{"n", 2})));
  auto enter = enter_for("n", 2, image, {});
  enter.deleted = true;
  ASSERT_TRUE(done(talker.ask(enter)));
  EXPECT_TRUE(look(talker, "n").deleted);
  EXPECT_TRUE(eventually([&] { return rig.server->use().images == 0; }));
  // What comes too late does not bring it back.
  const auto body = details(1);
  auto late = enter_for("n", 1, image, body);
  late.repair = true;
  ASSERT_TRUE(done(talker.ask(late, body)));
  EXPECT_TRUE(look(talker, "n").deleted);
  ASSERT_TRUE(done(talker.ask(native::Settle{"n", 2, true})));
  EXPECT_EQ(look(talker, "n").promised, 0u);
}

TEST(Names, AreListedByPages) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port(), 1));
  const ImageId none;
  for (int n = 0; n < 300; ++n) {
    const std::string name = "n" + std::to_string(1000 + n);
    auto enter = enter_for(name, 1, none, {});
    enter.repair = true;
    ASSERT_TRUE(done(talker.ask(enter)));
  }
  ASSERT_TRUE(done(talker.ask(native::Lock{"only-locked", 1})));
  std::vector<std::string> all;
  for (bool more = true; more;) {
    auto heard = talker.ask(native::ListNames{all.empty() ? "" : all.back()});
    ASSERT_TRUE(heard);
    const auto& page = std::get<native::NamesPage>(heard->frame.message);
    ASSERT_FALSE(page.lines.empty());
    for (const auto& line : page.lines) all.push_back(line.name);
    more = page.more;
  }
  EXPECT_EQ(all.size(), 300u);
  EXPECT_TRUE(std::is_sorted(all.begin(), all.end()));
}

TEST(Names, TheQuotaHoldsAndIsGivenBack) {
  Limits limits = no_limits();
  auto quota = std::make_shared<server::Quota>(image_bytes + 5000);
  server::NamesParts names;
  names.quota = quota;
  Served rig({}, nullptr, limits, std::move(names));
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port(), 1));
  write(talker, "one", 1, 1);
  EXPECT_EQ(quota->used(), image_bytes + 1000);
  const ImageId plain = open_image(talker);
  put_all(talker, plain, 3);  // has no name, so the quota does not mind
  const ImageId more = open_for_name(talker);
  const TileKey key{more, 0, 0, 0};
  const auto pixels = payload_of(key, 2);
  ASSERT_TRUE(talker.say(native::Put{{item_for(key, pixels)}}, pixels));
  const auto put = put_answers(talker, 1);
  ASSERT_FALSE(put[0].put);
  EXPECT_EQ(put[0].put.error().code, Errc::limit);
  for (const char* part : {"quota of named images", "cache:quota", "-delete-cache", "used 52", "needed 16"})
    EXPECT_NE(put[0].put.error().what.find(part), std::string::npos) << put[0].put.error().what;
  ASSERT_TRUE(done(talker.ask(native::Drop{more})));
  ASSERT_TRUE(done(talker.ask(native::Lock{"one", 2})));
  auto enter = enter_for("one", 2, more, {});
  enter.deleted = true;
  ASSERT_TRUE(done(talker.ask(enter)));
  EXPECT_TRUE(eventually([&] { return quota->used() == 0; }));
}

TEST(Names, ATileTakenAwayGivesItsRoomBack) {
  auto quota = std::make_shared<server::Quota>(1u << 20);
  server::NamesParts names;
  names.quota = quota;
  Served rig({}, nullptr, no_limits(), std::move(names));
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port(), 1));
  const ImageId image = open_for_name(talker);
  const TileKey key{image, 0, 0, 0};
  expect_served(talker, key, 1);
  expect_served(talker, key, 2);  // again: no more room
  EXPECT_EQ(quota->used(), 64u * 64 * 4);
  ASSERT_TRUE(talker.say(native::Put{{{key, {}, 0, 0}}}));
  ASSERT_TRUE(put_answers(talker, 1)[0].put);
  EXPECT_EQ(quota->used(), 0u);
}

// A shelf in memory, which can be told to fail.
struct Shelf {
  std::mutex mutex;
  std::map<std::string, std::vector<std::byte>> records;
  bool full = false;

  server::RecordShelf shelf() {
    return {[this](const std::string& name, std::span<const std::byte> record) -> Result<void> {
              const std::lock_guard lock(mutex);
              if (full) return fail(Errc::limit, "the shelf is full");
              records[name].assign(record.begin(), record.end());
              return {};
            },
            [this](const std::string& name) -> Result<void> {
              const std::lock_guard lock(mutex);
              records.erase(name);
              return {};
            }};
  }
};

TEST(Names, RecordsComeBackFromTheShelf) {
  Shelf shelf;
  ImageId image;
  server::NamesParts names;
  names.shelf = shelf.shelf();
  {
    Served rig({}, nullptr, no_limits(), names);
    Talker talker(rig.loop);
    const auto welcome = talker.enter(rig.server->port(), 1);
    ASSERT_TRUE(welcome);
    EXPECT_TRUE(welcome->durable);
    image = write(talker, "n", 3, 1);
    ASSERT_TRUE(done(talker.ask(native::Lock{"p", 1})));
    ASSERT_TRUE(done(talker.ask(native::Pin{"p", 1, ImageId::fresh(), false})));
    shelf.full = true;
    ASSERT_TRUE(done(talker.ask(native::Lock{"q", 1})));
    auto refused = talker.ask(native::Pin{"q", 1, ImageId::fresh(), false});
    ASSERT_TRUE(refused);
    EXPECT_EQ(failure_of(*refused).code, Errc::limit);
    EXPECT_EQ(look(talker, "q").pinned, 0u);
    shelf.full = false;
  }
  for (const auto& [name, record] : shelf.records) names.records.push_back({name, record});
  names.lost.push_back({"torn", {Errc::corrupt, "its record is damaged", 0}});
  names.images.push_back({image, small_image, image_bytes});
  Served rig({}, nullptr, no_limits(), names);
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port(), 2));
  auto heard = talker.ask(native::Look{"n"});
  ASSERT_TRUE(heard);
  const auto& state = std::get<native::Register>(heard->frame.message);
  EXPECT_EQ(state.number, 3u);
  EXPECT_TRUE(state.settled);
  EXPECT_EQ(state.record, record_for(image));
  EXPECT_EQ(state.held_bytes, image_bytes);
  EXPECT_EQ(heard->body, details(1));
  EXPECT_TRUE(done(talker.ask(native::Open{image, small_image, true})));
  EXPECT_TRUE(look(talker, "p").orphaned);
  auto torn = talker.ask(native::Look{"torn"});
  ASSERT_TRUE(torn);
  EXPECT_EQ(failure_of(*torn).code, Errc::corrupt);
  EXPECT_NE(failure_of(*torn).what.find("`torn'"), std::string::npos);
}

TEST(Names, KeptImagesHaveAPlaceOfTheirOwn) {
  Ledger tiers_ledger(no_limits()), folder_ledger(no_limits());
  TileHeap heap;
  server::Shelves shelves(memory_store(tiers_ledger), memory_store(folder_ledger));
  const ImageId plain = ImageId::fresh(), kept = ImageId::fresh();
  shelves.keep(kept);
  const Call call;
  std::vector<TilePut> puts;
  for (std::uint32_t n = 0; n < 4; ++n)
    for (const ImageId& image : {plain, kept}) {
      ASSERT_TRUE(shelves.open(call, image, small_image));
      const TileKey key{image, 0, n % 2, n / 2};
      auto draft = TileDraft::make(Grid(small_image).rect(key).size, small_image.format, heap);
      ASSERT_TRUE(draft);
      std::fill(draft->bytes().begin(), draft->bytes().end(), std::byte(n + (image == kept ? 100 : 0)));
      puts.push_back({key, std::move(*draft).freeze()});
    }
  shelves.put(call, puts);
  EXPECT_EQ(tiers_ledger.used(Resource::memory), image_bytes);
  EXPECT_EQ(folder_ledger.used(Resource::memory), image_bytes);
  std::vector<TileGet> gets;
  for (const TilePut& put : puts) gets.push_back({put.key});
  shelves.get(call, gets);
  for (std::size_t i = 0; i < gets.size(); ++i) {
    EXPECT_EQ(gets[i].key, puts[i].key);
    ASSERT_TRUE(gets[i].got && *gets[i].got);
    EXPECT_EQ((*gets[i].got)->bytes()[7], std::byte(i / 2 + (i % 2 ? 100 : 0)));
  }
  ASSERT_TRUE(shelves.drop(call, kept));
  EXPECT_EQ(folder_ledger.used(Resource::memory), 0u);
  EXPECT_EQ(tiers_ledger.used(Resource::memory), image_bytes);
}

TEST(Names, DamagedRecordsAreNoRecords) {
  Shelf shelf;
  server::NamesParts names;
  names.shelf = shelf.shelf();
  {
    Served rig({}, nullptr, no_limits(), names);
    Talker talker(rig.loop);
    ASSERT_TRUE(talker.enter(rig.server->port(), 1));
    write(talker, "n", 3, 1);
  }
  const auto good = shelf.records.at("n");
  for (std::size_t n = 0; n < good.size(); n += 13) {
    auto cut = good;
    cut.resize(n);
    EXPECT_FALSE(server::Catalog::images_of(cut)) << n;
    auto flipped = good;
    flipped[n] ^= std::byte{16};
    if (n > 16) {
      EXPECT_FALSE(server::Catalog::images_of(flipped)) << n;
    }
  }
}

}  // namespace
}  // namespace smalti::test
