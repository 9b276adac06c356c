// Random reads and writes from several threads, each in a part of the image of its own, against a plain
// picture in memory. The parts do not keep to tiles, so that threads write different pixels of the same tile.
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "smalti/store/stores.h"
#include "test/cache/kit.h"
#include "test/store/faulty.h"

namespace smalti {
namespace {

using namespace test;

struct Setting {
  std::string name;
  std::function<std::shared_ptr<TileStore>(Ledger&, TileHeap&, Pool&, std::uint64_t seed)> store;
  std::uint64_t working_set = 0;
  std::uint64_t memory = unlimited;
  bool errs = false;  // calls may fail, and are repeated

  friend void PrintTo(const Setting& setting, std::ostream* out) { *out << setting.name; }
};

std::shared_ptr<TileStore> tiers(Ledger& ledger, Pool& behind, StorePtr lower) {
  std::vector<Tier> tiers;
  tiers.push_back({"Memory", memory_store(ledger)});
  tiers.push_back({"Distributed", std::move(lower)});
  return tiered_store(std::move(tiers), behind, {.ledger = &ledger});
}

std::shared_ptr<TileStore> erring_map(std::uint64_t seed) {
  auto map = std::make_shared<MapStore>(false);
  auto dice = std::make_shared<std::atomic<std::uint64_t>>(seed);
  const auto sometimes = [dice](const Call&, const TileKey&) -> Result<void> {
    if ((dice->fetch_add(1) * 0x9e3779b97f4a7c15 >> 32) % 10 == 0) return fail(Errc::unavailable, "injected");
    return {};
  };
  map->before_get = sometimes;
  map->before_put = sometimes;
  return map;
}

constexpr ImageSpec image{{211, 173}, rgb8, {32, 16}};
constexpr std::uint64_t tile_bytes = 32 * 16 * 3;

const std::vector<Setting> settings = {
    {"hot", [](Ledger&, TileHeap&, Pool&, auto) { return std::make_shared<MapStore>(true); }},
    {"hot_tight", [](Ledger&, TileHeap&, Pool&, auto) { return std::make_shared<MapStore>(true); },
     5 * tile_bytes},
    {"cold", [](Ledger&, TileHeap&, Pool&, auto) { return std::make_shared<MapStore>(false); }},
    {"cold_tight", [](Ledger&, TileHeap&, Pool&, auto) { return std::make_shared<MapStore>(false); },
     5 * tile_bytes},
    {"cold_one_tile", [](Ledger&, TileHeap&, Pool&, auto) { return std::make_shared<MapStore>(false); }, 1},
    {"erring", [](Ledger&, TileHeap&, Pool&, auto seed) { return erring_map(seed); }, 12 * tile_bytes,
     unlimited, true},
    {"memory",
     [](Ledger& ledger, TileHeap&, Pool&, auto) -> std::shared_ptr<TileStore> {
       return memory_store(ledger);
     }},
    {"memory_over_slow",
     [](Ledger& ledger, TileHeap&, Pool& behind, auto seed) {
       static Ledger elsewhere(no_limits());
       return tiers(ledger, behind,
                    std::make_unique<FaultyStore>(
                        memory_store(elsewhere),
                        FaultPlan{.seed = seed, .delay = std::chrono::microseconds(200), .waits = true}));
     },
     0, 40 * tile_bytes},
    {"memory_over_disk",
     [](Ledger& ledger, TileHeap& heap, Pool& behind, auto) {
       auto disk = disk_store(ledger, heap, testing::TempDir());
       EXPECT_TRUE(disk);
       return tiers(ledger, behind, std::move(*disk));
     },
     20 * tile_bytes, 30 * tile_bytes},
};

class Model {
 public:
  Model(PixelCache& cache, const Setting& setting)
      : cache_(cache), setting_(setting), truth_(image.size, rgb8) {}

  void play(std::uint64_t seed, Rect area, int moves) {
    std::mt19937_64 dice(seed);
    for (int i = 0; i < moves && !testing::Test::HasFailure(); ++i) {
      const Rect rect = some_rect(dice, area);
      switch (dice() % 16) {
        case 0:
          EXPECT_TRUE(ok(persist([&] { return cache_.sync(Call{}); })));
          break;
        case 1:
          view(rect);
          break;
        case 2:
        case 3:
        case 4:
        case 5:
        case 6:
          check(rect);
          break;
        default:
          write(dice, rect);
      }
    }
  }
  void check_all() {
    for (std::uint32_t y = 0; y < image.size.h; y += 16)
      check(Rect{0, y, {image.size.w, 16}}.meet(whole(image.size)));
  }

 private:
  static Rect some_rect(std::mt19937_64& dice, Rect area) {
    const auto up_to = [&dice](std::uint32_t n) { return static_cast<std::uint32_t>(dice() % n); };
    Extent size{1, 1};
    switch (dice() % 4) {
      case 0:
        break;
      case 1:
        size = {area.size.w, 1};
        break;
      case 2:
        size = {1, 1 + up_to(area.size.h)};
        break;
      default:
        size = {1 + up_to(area.size.w), 1 + up_to(50)};
    }
    return {area.x + up_to(area.size.w - size.w + 1), area.y + up_to(area.size.h - size.h + 1), size};
  }

  // Repeats what fails, where failures are injected.
  template <class F>
  Result<void> persist(F f) {
    Result<void> result = f();
    for (int i = 0; !result && setting_.errs && i < 1000; ++i) result = f();
    return result;
  }

  void write(std::mt19937_64& dice, Rect rect) {
    Canvas pixels(rect.size, rgb8);
    for (std::byte& b : pixels.bytes()) b = static_cast<std::byte>(dice());
    copy_pixels(pixels.pixels(), truth_.pixels().crop(rect));
    EXPECT_TRUE(ok(persist([&] { return cache_.write(Call{}, rect, pixels.pixels()); })));
  }

  void check(Rect rect) {
    Canvas got(rect.size, rgb8, std::byte{0xab});
    EXPECT_TRUE(ok(persist([&] { return cache_.read(Call{}, rect, got.pixels()); })));
    compare(rect, got.pixels());
  }

  void view(Rect rect) {
    auto tile = cache_.view(Call{}, rect);
    if (!tile) {
      EXPECT_TRUE(setting_.errs) << tile.error().what;
      return;
    }
    if (!*tile) return;
    const Rect place = {rect.x / image.tile.w * image.tile.w, rect.y / image.tile.h * image.tile.h,
                        (*tile)->pixels().size};
    compare(rect, (*tile)->pixels().crop({rect.x - place.x, rect.y - place.y, rect.size}));
  }

  void compare(Rect rect, Pixels got) {
    const Pixels want = truth_.pixels().crop(rect);
    for (std::uint32_t y = 0; y < rect.size.h; ++y)
      ASSERT_EQ(0, std::memcmp(got.row(y).data(), want.row(y).data(), want.row(y).size()))
          << "row " << rect.y + y << " from column " << rect.x << ", " << rect.size.w << " wide";
  }

  PixelCache& cache_;
  const Setting& setting_;
  Canvas truth_;  // each thread its own part
};

class CacheModel : public testing::TestWithParam<Setting> {};

TEST_P(CacheModel, BehavesLikeAPicture) {
  const Setting& setting = GetParam();
  const char* fixed = std::getenv("SMALTI_SEED");
  for (std::uint64_t round = 0; round < 4; ++round) {
    const std::uint64_t seed = fixed ? std::strtoull(fixed, nullptr, 10) : 1000 + round;
    SCOPED_TRACE(testing::Message() << "SMALTI_SEED=" << seed);
    Limits limits = no_limits();
    limits[Resource::memory] = setting.memory;
    Ledger ledger(limits);
    TileHeap heap;
    Pool behind(2), ahead(2);
    auto store = setting.store(ledger, heap, behind, seed);
    {
      auto cache = PixelCache::create({store, ledger, heap, ahead}, Call{}, image,
                                      {.working_set = setting.working_set});
      ASSERT_TRUE(cache);
      Model model(*cache, setting);
      {
        std::vector<std::jthread> players;
        for (std::uint32_t part = 0; part < 4; ++part)
          players.emplace_back([&, part] {
            model.play(seed * 4 + part, {53 * part, 0, {part == 3 ? 52u : 53u, image.size.h}}, 300);
          });
      }
      model.check_all();
    }
    store.reset();
    EXPECT_EQ(ledger.used(Resource::memory), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Stores, CacheModel, testing::ValuesIn(settings),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace smalti
