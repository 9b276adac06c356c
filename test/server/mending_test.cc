// Tiles that an image with a name lacks, or has damaged, are put by whoever has them; what is there and sound stays.
#include <gtest/gtest.h>

#include "server/mender.h"
#include "server/quota.h"
#include "test/server/talker.h"
#include "test/store/rotting.h"

namespace smalti::test {
namespace {

constexpr std::uint64_t tile_bytes = 64 * 64 * 4;

bool done(const Result<Heard>& heard) {
  return heard && std::holds_alternative<native::Done>(heard->frame.message);
}

// Whether the put succeeded, or why not.
Result<Generation> mend(Talker& talker, const TileKey& key, std::uint8_t seed, bool only_absent = true) {
  const auto pixels = payload_of(key, seed);
  auto item = item_for(key, pixels);
  if (only_absent) item.only_if = Generation::none;
  EXPECT_TRUE(talker.say(native::Put{{item}}, pixels));
  return put_answers(talker, 1)[0].put;
}

bool holds(Talker& talker, const TileKey& key, std::uint8_t seed) {
  EXPECT_TRUE(talker.say(native::Get{{key}}));
  return tile_answers(talker, 1)[0].pixels == payload_of(key, seed);
}

// A name with an image, of which all tiles but the last are there.
ImageId write(Talker& talker, std::uint8_t seed) {
  EXPECT_TRUE(done(talker.ask(native::Lock{"n", 1})));
  const ImageId image = ImageId::fresh();
  EXPECT_TRUE(done(talker.ask(native::Open{image, small_image, false, true})));
  for (std::uint32_t n = 0; n < 3; ++n) expect_served(talker, {image, 0, n % 2, n / 2}, seed);
  EXPECT_TRUE(done(talker.ask(native::Pin{"n", 1, image, true})));
  native::Enter enter{"n", 1, false, false, {}, 0, 0};
  enter.record.image = image;
  enter.record.spec = small_image;
  enter.record.keepers = {{{}, 1, false, "127.0.0.1:1"}};
  EXPECT_TRUE(done(talker.ask(enter)));
  EXPECT_TRUE(done(talker.ask(native::Settle{"n", 1})));
  EXPECT_TRUE(done(talker.ask(native::Drop{image})));
  return image;
}

TEST(Mending, AReaderPutsWhatIsNotThereAndChangesNothing) {
  auto quota = std::make_shared<server::Quota>(1u << 20);
  server::NamesParts names;
  names.quota = quota;
  Served rig({}, nullptr, no_limits(), std::move(names));
  Talker writer(rig.loop), reader(rig.loop), stranger(rig.loop);
  ASSERT_TRUE(writer.enter(rig.server->port(), 1));
  ASSERT_TRUE(reader.enter(rig.server->port(), 2));
  ASSERT_TRUE(stranger.enter(rig.server->port(), 3));
  const ImageId image = write(writer, 7);
  const auto before = quota->used();
  ASSERT_TRUE(done(reader.ask(native::Open{image, small_image, true})));
  const TileKey there{image, 0, 0, 0}, absent{image, 0, 1, 1};
  EXPECT_EQ(mend(stranger, absent, 7).error().code, Errc::invalid);
  for (int n = 0; n < 2; ++n) {  // again is fine
    EXPECT_TRUE(mend(reader, absent, 7));
    EXPECT_TRUE(mend(reader, there, 7));
  }
  EXPECT_EQ(mend(reader, absent, 8).error().code, Errc::conflict);
  EXPECT_EQ(mend(reader, there, 8).error().code, Errc::conflict);
  EXPECT_EQ(mend(reader, there, 7, false).error().code, Errc::conflict);
  EXPECT_TRUE(holds(reader, there, 7));
  EXPECT_TRUE(holds(reader, absent, 7));
  EXPECT_EQ(quota->used(), before + 36u * 64 * 4);
  ASSERT_TRUE(reader.say(native::Put{{{there, Generation::none, 0, 0}}}));  // nor is anything taken away
  EXPECT_FALSE(put_answers(reader, 1)[0].put);
  EXPECT_TRUE(holds(reader, there, 7));
}

TEST(Mending, WhatIsDamagedIsReplaced) {
  Ledger ledger(no_limits());
  TileHeap heap;
  auto made = std::make_unique<RottingStore>(memory_store(ledger), heap);
  RottingStore& store = *made;
  auto quota = std::make_shared<server::Quota>(1u << 20);
  server::NamesParts names;
  names.quota = quota;
  Served rig({}, std::move(made), no_limits(), std::move(names));
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port(), 1));
  const ImageId image = write(talker, 7);
  const auto before = quota->used();
  store.rot();
  ASSERT_TRUE(done(talker.ask(native::Open{image, small_image, true})));
  const TileKey key{image, 0, 0, 0};
  EXPECT_FALSE(holds(talker, key, 7));
  ASSERT_TRUE(mend(talker, key, 7));
  EXPECT_TRUE(holds(talker, key, 7));
  EXPECT_EQ(store.bad(), 2u);
  EXPECT_EQ(mend(talker, key, 8).error().code, Errc::conflict);
  EXPECT_EQ(quota->used(), before);
}

// As after a restart: the quota knows how many bytes are there, not which tiles.
TEST(Mending, AnImageThatWasKeptTakesNoRoomTwice) {
  Ledger ledger(no_limits());
  auto store = memory_store(ledger);
  const ImageId image = ImageId::fresh();
  const TileKey there{image, 0, 0, 0}, absent{image, 0, 0, 1};
  TileHeap heap;
  const auto pixels = payload_of(there, 7);
  ASSERT_TRUE(store->open({}, image, small_image));
  auto draft = TileDraft::make({64, 64}, small_image.format, heap);
  ASSERT_TRUE(draft);
  std::ranges::copy(pixels, draft->bytes().begin());
  ASSERT_TRUE(put_one(*store, {}, there, std::move(*draft).freeze()));

  auto shelf = std::make_shared<std::vector<std::byte>>();
  server::RecordShelf one{[shelf](const std::string&, std::span<const std::byte> record) -> Result<void> {
                            shelf->assign(record.begin(), record.end());
                            return {};
                          },
                          [](const std::string&) -> Result<void> { return {}; }};
  server::NamesParts names;
  names.quota = std::make_shared<server::Quota>(1u << 20);
  names.shelf = one;
  {
    Served first({}, nullptr, no_limits(), names);
    Talker talker(first.loop);
    ASSERT_TRUE(talker.enter(first.server->port(), 1));
    ASSERT_TRUE(done(talker.ask(native::Lock{"n", 1})));
    ASSERT_TRUE(done(talker.ask(native::Open{image, small_image, false, true})));
    ASSERT_TRUE(done(talker.ask(native::Pin{"n", 1, image, true})));
  }
  names.quota = std::make_shared<server::Quota>(1u << 20);
  names.records = {{"n", *shelf}};
  names.images = {{image, small_image, tile_bytes}};
  Served rig({}, std::move(store), no_limits(), names);
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port(), 2));
  ASSERT_TRUE(done(talker.ask(native::Open{image, small_image, true})));
  EXPECT_EQ(names.quota->used(), tile_bytes);
  EXPECT_TRUE(mend(talker, there, 7));
  EXPECT_EQ(names.quota->used(), tile_bytes);
  EXPECT_TRUE(mend(talker, absent, 7));
  EXPECT_EQ(names.quota->used(), 2 * tile_bytes);
}

// A version that says where else the tiles are has the image of the one before.
TEST(Mending, TwoVersionsMayHaveOneImage) {
  ServerOptions options;
  options.grace = 50ms;
  Served rig(options);
  Talker reader(rig.loop);
  ASSERT_TRUE(reader.enter(rig.server->port(), 2));
  ImageId image;
  {
    Talker writer(rig.loop);
    ASSERT_TRUE(writer.enter(rig.server->port(), 1));
    image = write(writer, 7);
  }
  ASSERT_TRUE(eventually([&] { return rig.server->use().sessions == 1; }));
  native::Enter enter{"n", 2, false, false, {}, 0, 0};
  enter.record.image = image;
  enter.record.spec = small_image;
  enter.record.keepers = {{{}, 1, false, "127.0.0.1:1"}};
  ASSERT_TRUE(done(reader.ask(native::Lock{"n", 2})));
  ASSERT_TRUE(done(reader.ask(native::Pin{"n", 2, image, true})));
  ASSERT_TRUE(done(reader.ask(enter)));
  ASSERT_TRUE(done(reader.ask(native::Settle{"n", 2})));
  EXPECT_EQ(rig.server->use().images, 1u);
  ASSERT_TRUE(done(reader.ask(native::Open{image, small_image, true})));
  EXPECT_TRUE(holds(reader, {image, 0, 0, 0}, 7));
  ASSERT_TRUE(done(reader.ask(native::Drop{image})));
  // One that says that nothing is here any more: it was told to a server that had been away.
  enter.number = 3;
  enter.repair = true;
  ASSERT_TRUE(done(reader.ask(enter)));
  EXPECT_TRUE(eventually([&] { return rig.server->use().images == 0; }));
}

}  // namespace
}  // namespace smalti::test
