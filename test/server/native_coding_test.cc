// Coded tiles, from a client by hand.
#include <gtest/gtest.h>

#include "test/server/talker.h"
#include "wire/tile_coding.h"

namespace smalti::test {
namespace {

// The small image's first tile, coded.
struct Sample {
  Sample(const ImageId& image) : key{image, 0, 0, 0}, pixels(payload_of(key, 3)) {
    const Extent size = Grid(small_image).rect(key).size;
    auto draft = TileDraft::make(size, small_image.format, heap).value();
    std::copy(pixels.begin(), pixels.end(), draft.bytes().begin());
    const Tile tile = native::encode_tile(std::move(draft).freeze(), native::Coder::zstd, heap).value();
    coded.assign(tile.bytes().begin(), tile.bytes().end());
    item = item_for(key, pixels);
    item.coded = static_cast<std::uint32_t>(coded.size());
  }
  TileHeap heap;
  TileKey key;
  std::vector<std::byte> pixels, coded;
  native::PutItem item;
};

TEST(NativeCoding, ACodedTileIsStoredAndServedEitherWay) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const Sample sample(open_image(talker));
  ASSERT_LT(sample.coded.size(), sample.pixels.size());
  ASSERT_TRUE(talker.say(native::Put{{sample.item}}, sample.coded));
  const auto put = put_answers(talker, 1);
  ASSERT_TRUE(put[0].put) << put[0].put.error().what;
  ASSERT_TRUE(talker.say(native::Get{{sample.key}}));
  EXPECT_TRUE(tile_answers(talker, 1)[0].pixels == sample.pixels);

  auto heard = talker.ask(native::Get{{sample.key}, native::Coder::zstd});
  ASSERT_TRUE(heard) << heard.error().what;
  const auto& answer = std::get<native::Tiles>(heard->frame.message).answers.at(0);
  EXPECT_EQ(answer.bytes, sample.pixels.size());
  EXPECT_EQ(answer.checksum, checksum_of(sample.pixels));
  EXPECT_TRUE(heard->body == sample.coded);
}

TEST(NativeCoding, DamageIsAnsweredAndTheConversationGoesOn) {
  Served rig;
  Talker talker(rig.loop);
  ASSERT_TRUE(talker.enter(rig.server->port()));
  const ImageId image = open_image(talker);
  const Sample sample(image);
  std::vector<std::vector<std::byte>> bad(4, sample.coded);
  bad[0][0] = std::byte{9};                        // no such coder
  bad[1][1] = std::byte{2};                        // no such filter
  bad[2][bad[2].size() / 2] ^= std::byte{0x55};    // other pixels, or none
  std::fill(bad[3].begin(), bad[3].end(), std::byte{0});
  for (const auto& payload : bad) {
    ASSERT_TRUE(talker.say(native::Put{{sample.item}}, payload));
    const auto put = put_answers(talker, 1);
    ASSERT_FALSE(put[0].put);
    EXPECT_EQ(put[0].put.error().code, Errc::corrupt);
  }
  // One bad tile spoils no other of its batch.
  native::Put both{{sample.item, sample.item}};
  both.items[1].key.row = 0;
  std::vector<std::byte> body = bad[0];
  body.insert(body.end(), sample.coded.begin(), sample.coded.end());
  ASSERT_TRUE(talker.say(both, body));
  const auto put = put_answers(talker, 2);
  EXPECT_FALSE(put[0].put);
  EXPECT_TRUE(put[1].put);
  expect_served(talker, {image, 0, 0, 1}, 5);
}

}  // namespace
}  // namespace smalti::test
