#include "smalti/tile/tile_heap.h"

#include <gtest/gtest.h>

#include <cstring>
#include <initializer_list>
#include <random>
#include <thread>
#include <vector>

namespace smalti {
namespace {

constexpr std::size_t tile = 192u << 10;

TEST(TileHeap, BuffersAreAlignedAndApart) {
  TileHeap heap;
  std::vector<std::shared_ptr<std::byte>> all;
  for (const std::size_t bytes : std::initializer_list<std::size_t>{1, 63, 5000, tile, tile + 1, 9u << 20}) {
    for (int n = 0; n < 30; ++n) {
      all.push_back(heap.take(bytes));
      ASSERT_TRUE(all.back());
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(all.back().get()) % 64, 0u);
      std::memset(all.back().get(), static_cast<int>(all.size()), bytes);
      if (bytes == 9u << 20) all.pop_back();
    }
  }
  for (std::size_t n = 0; n < all.size(); ++n) EXPECT_EQ(*all[n], static_cast<std::byte>(n + 1));
}

TEST(TileHeap, GivesBackWhatNobodyUses) {
  TileHeap heap(5 * tile);
  std::vector<std::shared_ptr<std::byte>> all;
  for (int n = 0; n < 100; ++n) all.push_back(heap.take(tile));
  all.clear();
  EXPECT_LE(heap.idle().warm, 5 * tile + (4u << 20)) << "the bound, and less than a slab";
  EXPECT_LE(heap.idle().cold, 4u << 20);
}

TEST(TileHeap, HandsOutAgainWhatCameBack) {
  TileHeap heap;
  auto first = heap.take(tile);
  std::byte* const where = first.get();
  auto second = heap.take(tile);
  first.reset();
  if (heap.idle().warm == 0) GTEST_SKIP() << "a sanitizer has the buffers";
  EXPECT_EQ(heap.take(tile).get(), where);
}

TEST(TileHeap, ASizeOutOfUseMakesWay) {
  TileHeap heap(tile);
  std::vector<std::shared_ptr<std::byte>> large, small, kept;
  for (int n = 0; n < 100; ++n) (n % 10 == 0 ? kept : large).push_back(heap.take(tile));
  large.clear();  // holes in slabs that are still used
  for (int n = 0; n < 100; ++n) small.push_back(heap.take(tile / 2));
  EXPECT_LE(heap.idle().warm, tile) << "pages of one size must not lie idle while another size maps new ones";
}

TEST(TileHeap, BuffersOutliveTheHeap) {
  std::shared_ptr<std::byte> buffer;
  {
    TileHeap heap;
    buffer = heap.take(tile);
  }
  std::memset(buffer.get(), 1, tile);
}

TEST(TileHeap, ManyThreadsNeverShareABuffer) {
  TileHeap heap(3 * tile);
  std::vector<std::jthread> threads;
  for (int who = 1; who <= 4; ++who)
    threads.emplace_back([&heap, who] {
      std::mt19937 dice(static_cast<unsigned>(who));
      std::vector<std::shared_ptr<std::byte>> mine;
      for (int i = 0; i < 2000; ++i) {
        if (mine.size() < 20 && dice() % 2 == 0) {
          mine.push_back(heap.take(dice() % 3 == 0 ? tile / 2 : tile));
          std::memset(mine.back().get(), who, 4096);
        } else if (!mine.empty()) {
          EXPECT_EQ(mine[dice() % mine.size()].get()[dice() % 4096], static_cast<std::byte>(who));
          mine.erase(mine.begin() + static_cast<std::ptrdiff_t>(dice() % mine.size()));
        }
      }
    });
}

}  // namespace
}  // namespace smalti
