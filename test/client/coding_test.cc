#include "client/coding.h"

#include <gtest/gtest.h>

#include "test/client/real_servers.h"

namespace smalti::client {
namespace {

using Coder = wire::native::Coder;

constexpr PixelFormat format{Sample::u8, 3, 0};

Tile picture(TileHeap& heap) {
  auto draft = TileDraft::make({256, 256}, format, heap).value();
  for (std::size_t i = 0; i < draft.bytes().size(); ++i) draft.bytes()[i] = static_cast<std::byte>(i / 768 + i % 768 / 8);
  return std::move(draft).freeze();
}

// A link of made-up speed, whose time passes as we say.
struct Drill {
  explicit Drill(Compress wish = Compress::automatic) : coding(wish, heap) {}

  // Requests of 1 MiB, one after the other; how many of them were coded.
  int move(int requests, double raw_seconds, double coded_seconds) {
    int coded = 0;
    for (int n = 0; n < requests; ++n) {
      const Coder coder = coding.begin(image, now);
      if (coder != Coder::none) ++coded;
      const double span = coder == Coder::none ? raw_seconds : coded_seconds;
      now += std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(span));
      coding.end(coder, 1u << 20, now);
      if (coding.curious(image)) coding.try_on(image, picture(heap));
    }
    return coded;
  }

  TileHeap heap;
  Coding coding;
  ImageId image = ImageId::fresh();
  Clock::time_point now{std::chrono::hours(1)};
};

TEST(Coding, AFastLinkSendsTilesAsTheyAre) {
  Drill drill;
  EXPECT_EQ(drill.move(2000, 0.0002, 0.01), 0);
}

TEST(Coding, ASlowLinkCodesThemAndGoesOnWhereItHelps) {
  Drill drill;
  drill.move(50, 1.0, 0.3);
  EXPECT_GT(drill.move(2000, 1.0, 0.3), 1800);
}

TEST(Coding, WhatPromisesAndDoesNotHelpIsLeft) {
  Drill drill;
  const int coded = drill.move(4000, 1.0, 1.2);
  EXPECT_GT(coded, 0);
  EXPECT_LT(coded, 200);
}

TEST(Coding, ALinkThatBecomesSlowIsNoticed) {
  Drill drill;
  EXPECT_EQ(drill.move(500, 0.0002, 0.01), 0);
  drill.move(500, 1.0, 0.3);
  EXPECT_GT(drill.move(500, 1.0, 0.3), 400);
}

TEST(Coding, CoresThatAreTakenByOthersAreNoticedAtOnce) {
  Drill drill;
  drill.move(4000, 1.0, 0.3);
  EXPECT_LT(drill.move(100, 1.0, 3.0), 20);
}

TEST(Coding, WithinOneHostNothingIsCodedUnlessItIsWished) {
  Drill drill;
  drill.coding.within_one_host();
  EXPECT_EQ(drill.move(400, 1.0, 0.1), 0);
  Drill wished(Compress::zstd);
  wished.coding.within_one_host();
  EXPECT_EQ(wished.move(10, 1.0, 0.1), 10);
}

TEST(Coding, AWishIsFollowed) {
  EXPECT_EQ(Drill(Compress::none).move(100, 1.0, 0.1), 0);
  EXPECT_EQ(Drill(Compress::lz4).move(100, 0.0001, 1.0), 100);
  EXPECT_EQ(Drill(Compress::zstd).coding.begin(ImageId::fresh(), Clock::now()), Coder::zstd);
}

std::uint64_t counted(const TileStore& store, std::string_view name) {
  std::uint64_t sum = 0;
  store.count([&](const Count& count) {
    if (count.name.ends_with(name)) sum += count.value;
  });
  return sum;
}

TEST(Coding, FewerBytesCrossTheWireAndTheSamePixelsArrive) {
  Limits limits;
  limits.most.fill(unlimited);
  test::RealServer server({limits});
  Log log;
  net::Loop loop;
  TileHeap heap;
  ClusterOptions options;
  options.hosts = {server.host()};
  options.secret = test::our_secret();
  options.key = test::our_key();
  options.compress = Compress::zstd;
  const StorePtr store = cluster_store(loop, heap, log, options);
  const ImageId image = ImageId::fresh();
  ASSERT_TRUE(store->open({}, image, {{512, 512}, format, {256, 256}}));
  const Tile tile = picture(heap);
  for (std::uint32_t n = 0; n < 4; ++n) ASSERT_TRUE(put_one(*store, {}, {image, 0, n % 2, n / 2}, tile));
  EXPECT_LT(counted(*store, ".sent.bytes"), tile.charge());
  for (std::uint32_t n = 0; n < 4; ++n) {
    const auto got = get_one(*store, {}, {image, 0, n % 2, n / 2});
    ASSERT_TRUE(got && *got);
    EXPECT_EQ((**got).computed_checksum(), tile.computed_checksum());
  }
  EXPECT_LT(counted(*store, ".received.bytes"), tile.charge());
}

}  // namespace
}  // namespace smalti::client
