#include "client/image_record.h"

#include <gmock/gmock.h>

namespace smalti::client {
namespace {

using testing::ElementsAre;

const ImageSpec spec{{1000, 600}, {Sample::u8, 3, 0}, {256, 256}};  // 4x3 tiles

std::vector<wire::native::Id> ids(std::size_t n) {
  std::vector<wire::native::Id> out(n);
  for (std::size_t i = 0; i < n; ++i) out[i][0] = static_cast<std::byte>(i + 1);
  return out;
}

class ImageRecordTest : public testing::Test {
 protected:
  Rule whole(std::uint32_t servers, std::uint32_t first, std::uint32_t replicas) {
    Rule rule;
    for (std::uint32_t i = 0; i < servers; ++i) rule.servers.push_back(i);
    rule.first = first;
    rule.replicas = replicas;
    return rule;
  }
  Rule sharded(std::uint32_t servers, std::uint32_t replicas) {
    Rule rule = whole(servers, 0, replicas);
    rule.first.reset();
    rule.rendezvous = Rendezvous(ids(servers)).evened(image, Grid(spec));
    return rule;
  }
  TileKey at(std::uint32_t col, std::uint32_t row) const { return {image, 0, col, row}; }
  static std::vector<std::uint32_t> servers(const Copies& copies) {
    std::vector<std::uint32_t> out;
    for (const auto& copy : copies)
      if (!copy.gone) out.push_back(copy.server);
    return out;
  }
  static std::vector<std::uint32_t> put(ImageRecord& record, const TileKey& key, std::vector<std::uint32_t> on) {
    std::vector<std::uint32_t> replaced;
    record.placed(key, on, replaced);
    return replaced;
  }

  const ImageId image = ImageId::fresh();
};

TEST_F(ImageRecordTest, RemembersWhereTilesWerePut) {
  ImageRecord record(spec, image, whole(3, 1, 1));
  const TileKey key = at(3, 2);  // 232x88
  EXPECT_EQ(record.home(key), 1u);
  EXPECT_THAT(record.order(key, 3), ElementsAre(1, 2, 0));
  EXPECT_TRUE(record.copies(key).empty());
  EXPECT_THAT(put(record, key, {2}), ElementsAre());
  EXPECT_THAT(put(record, key, {2}), ElementsAre());
  EXPECT_THAT(servers(record.copies(key)), ElementsAre(2));
  EXPECT_EQ(record.part(2).tiles, 1u);
  EXPECT_EQ(record.part(2).bytes, 232u * 88 * 3);
  EXPECT_THAT(put(record, key, {0}), ElementsAre(2));
  EXPECT_EQ(record.part(2).tiles, 0u);
  EXPECT_EQ(record.part(2).bytes, 0u);
  record.removed(key);
  EXPECT_TRUE(record.copies(key).empty());
  EXPECT_EQ(record.part(0).tiles, 0u);
}

TEST_F(ImageRecordTest, GenerationsGrowAlsoAcrossRemovals) {
  ImageRecord record(spec, image, whole(2, 0, 2));
  std::vector<std::uint32_t> replaced;
  const auto first = record.placed(at(0, 0), std::array{0u, 1u}, replaced);
  record.removed(at(0, 0));
  EXPECT_GT(record.placed(at(0, 0), std::array{0u, 1u}, replaced), first);
}

TEST_F(ImageRecordTest, KeepsEachReplica) {
  ImageRecord record(spec, image, whole(4, 1, 3));
  EXPECT_THAT(record.expected_servers(), ElementsAre(1, 2, 3));
  put(record, at(0, 0), {1, 2, 3});
  EXPECT_THAT(servers(record.copies(at(0, 0))), ElementsAre(1, 2, 3));
  EXPECT_THAT(put(record, at(0, 0), {1, 0, 3}), ElementsAre(2));
  EXPECT_FALSE(record.may_be_short);
  EXPECT_THAT(put(record, at(0, 0), {3}), ElementsAre(1, 0));
  EXPECT_TRUE(record.may_be_short);
  for (std::uint32_t server : {0u, 1u, 2u}) EXPECT_EQ(record.part(server).tiles, 0u);
  EXPECT_EQ(record.part(3).tiles, 1u);
}

TEST_F(ImageRecordTest, ServersThatJoinedLaterComeLast) {
  ImageRecord record(spec, image, sharded(3, 2));
  const auto order = record.order(at(1, 1), 5);
  ASSERT_EQ(order.size(), 5u);
  EXPECT_EQ(order[0], record.home(at(1, 1)));
  EXPECT_EQ(order[3], 3u);
  EXPECT_EQ(order[4], 4u);
}

TEST_F(ImageRecordTest, ARestartTakesCopiesAndNeverMakesATileBlank) {
  ImageRecord record(spec, image, whole(3, 0, 2));
  EXPECT_TRUE(record.needs_opening(0, 1));
  record.opened(0, 1);
  record.opened(1, 1);
  EXPECT_FALSE(record.needs_opening(0, 1));
  put(record, at(0, 0), {0, 1});
  put(record, at(1, 0), {0});
  record.restarted(0, 1);  // the same life
  EXPECT_THAT(servers(record.copies(at(0, 0))), ElementsAre(0, 1));
  record.restarted(0, 2);
  EXPECT_TRUE(record.needs_opening(0, 2));
  EXPECT_THAT(servers(record.copies(at(0, 0))), ElementsAre(1));
  EXPECT_FALSE(record.copies(at(1, 0)).empty());
  EXPECT_THAT(servers(record.copies(at(1, 0))), ElementsAre());
  EXPECT_EQ(record.lost_on(), 0u);
  EXPECT_EQ(record.part(0).tiles, 0u);
  EXPECT_THAT(record.opened_servers(), ElementsAre(1));
}

TEST_F(ImageRecordTest, ARestartBeforeAnythingWasPutLosesNothing) {
  ImageRecord record(spec, image, whole(1, 0, 1));
  record.opened(0, 1);
  record.restarted(0, 2);
  EXPECT_EQ(record.lost_on(), std::nullopt);
  EXPECT_TRUE(record.needs_opening(0, 2));
}

TEST_F(ImageRecordTest, FindsTilesThatAreShortOfCopies) {
  ImageRecord record(spec, image, whole(3, 0, 2));
  for (std::uint32_t col = 0; col < 4; ++col) put(record, at(col, 0), {col % 3, (col + 1) % 3});
  const auto without = [](std::uint32_t lost) { return [lost](std::uint32_t server) { return server != lost; }; };
  std::uint64_t from = 0;
  EXPECT_THAT(record.short_of(2, without(0), from, 2), ElementsAre(0, 2));
  EXPECT_EQ(from, 3u);
  EXPECT_THAT(record.short_of(2, without(0), from, 2), ElementsAre(3));
  EXPECT_EQ(from, 12u);
  EXPECT_EQ(record.tally(without(0)).fewer, 3u);
  EXPECT_EQ(record.tally(without(0)).none, 0u);
  EXPECT_EQ(record.tally([](std::uint32_t server) { return server == 2; }).none, 2u);
  // The new copy takes the place of the one that cannot be had.
  EXPECT_THAT(record.copied(at(0, 0), 2, without(0)), ElementsAre(0));
  EXPECT_THAT(servers(record.copies(at(0, 0))), ElementsAre(1, 2));
  EXPECT_EQ(record.tally(without(0)).fewer, 2u);
}

TEST_F(ImageRecordTest, NarrowsToOneCopy) {
  ImageRecord record(spec, image, whole(3, 0, 3));
  put(record, at(0, 0), {0, 1, 2});
  EXPECT_THAT(record.narrowed(at(0, 0)), ElementsAre(1, 2));
  EXPECT_THAT(servers(record.copies(at(0, 0))), ElementsAre(0));
}

TEST_F(ImageRecordTest, OwesEachTileOnce) {
  ImageRecord record(spec, image, whole(2, 0, 2));
  for (int i = 0; i < 3; ++i) record.owe(1, at(2, 0));
  record.owe(1, at(0, 1));
  EXPECT_THAT(record.take_owed(0), ElementsAre());
  EXPECT_THAT(record.take_owed(1), ElementsAre(2, 4));
  EXPECT_THAT(record.take_owed(1), ElementsAre());
}

TEST_F(ImageRecordTest, ExceptionsRestoreWhatWasDescribed) {
  ImageRecord record(spec, image, sharded(3, 2));
  for (std::uint64_t tile = 0; tile < 12; ++tile) {
    auto order = record.order(record.key(tile), 3);
    order.resize(2);
    put(record, record.key(tile), order);
  }
  record.removed(record.key(11));
  put(record, record.key(4), {0});
  put(record, record.key(5), {0});
  put(record, record.key(6), {1});
  struct Run {
    std::uint64_t first, tiles;
    std::vector<std::uint32_t> on;
  };
  std::vector<Run> runs;
  record.each_exception([&](std::uint64_t first, std::uint64_t tiles, const Copies& copies) {
    runs.push_back({first, tiles, servers(copies)});
  });
  ASSERT_EQ(runs.size(), 3u);
  EXPECT_EQ(runs[0].first, 4u);
  EXPECT_EQ(runs[0].tiles, 2u);
  EXPECT_EQ(runs[1].first, 6u);
  EXPECT_EQ(runs[2].first, 11u);
  EXPECT_THAT(runs[2].on, ElementsAre());
  ImageRecord restored(spec, image, sharded(3, 2));
  restored.restore_rule();
  for (const Run& run : runs) restored.restore(run.first, run.tiles, run.on);
  for (std::uint64_t tile = 0; tile < 12; ++tile)
    EXPECT_EQ(servers(restored.copies(record.key(tile))), servers(record.copies(record.key(tile)))) << tile;
}

}  // namespace
}  // namespace smalti::client
