// Random work on tiered stores, by seed, against a map that knows what each key may hold. Faults may make errors; they
// may never make a wrong, torn or older tile.
#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "smalti/store/stores.h"
#include "test/store/faulty.h"
#include "test/store/patterns.h"

namespace smalti::test {
namespace {

const ImageSpec small_tiles{{16 * 12, 16 * 5}, {Sample::u8, 4, 0}, {16, 16}};  // 60 tiles of 1 KiB
constexpr std::uint64_t tile_bytes = 1024;

struct Shape {
  std::string name;
  std::uint64_t memory = 0, map = 0, disk = 0;  // tiles
  FaultPlan faults;                             // of a last tier that waits and has room for everything
  bool last = true;
};

void PrintTo(const Shape& shape, std::ostream* out) { *out << shape.name; }

bool faulty(const FaultPlan& plan) { return plan.fail > 0 || plan.corrupt > 0 || plan.full > 0; }

class World {
 public:
  World(const Shape& shape, std::uint64_t seed) : limits_(limits_of(shape)), ledger_(limits_), below_(all_limits(unlimited)) {
    const auto folder = std::filesystem::temp_directory_path();
    std::vector<Tier> tiers;
    tiers.push_back({"Memory", memory_store(ledger_)});
    if (shape.map > 0) tiers.push_back({"Map", mapped_store(ledger_, folder).value()});
    if (shape.disk > 0) tiers.push_back({"Disk", disk_store(ledger_, heap_, folder).value()});
    FaultPlan plan = shape.faults;
    plan.seed = seed;
    plan.waits = true;
    if (shape.last) tiers.push_back({"Last", faulty_store(memory_store(below_), plan)});
    store_ = tiered_store(std::move(tiers), pool_, {.behind_bytes = 6 * tile_bytes, .ledger = &ledger_});
  }
  ~World() { store_.reset(); }

  TileStore& store() { return *store_; }
  Ledger& ledger() { return ledger_; }
  TileHeap& heap() { return heap_; }
  bool all_given_back() const {
    for (const Resource each : {Resource::memory, Resource::map, Resource::disk, Resource::file})
      if (ledger_.used(each) + below_.used(each) != 0) return false;
    return true;
  }

 private:
  static Limits limits_of(const Shape& shape) {
    Limits limits = all_limits(unlimited);
    limits[Resource::memory] = shape.memory * tile_bytes;
    limits[Resource::map] = shape.map * tile_bytes;
    limits[Resource::disk] = shape.disk * tile_bytes;
    return limits;
  }

  const Limits limits_;
  Ledger ledger_, below_;
  TileHeap heap_;
  Pool pool_{2};
  StorePtr store_;
};

// One thread's work on its own image.
class Worker {
 public:
  Worker(World& world, const Shape& shape, std::uint64_t seed) : world_(world), shape_(shape), dice_(seed) {}

  void run(unsigned steps) {
    open();
    for (unsigned i = 0; i < steps && !testing::Test::HasFailure(); ++i) step();
    check(all_keys());
    (void)world_.store().sync(call_, image_);
    check(all_keys());
    EXPECT_TRUE(world_.store().drop(call_, image_));
  }

 private:
  std::uint64_t roll(std::uint64_t below) { return std::uniform_int_distribution<std::uint64_t>(0, below - 1)(dice_); }
  TileKey key() {
    // A few are hot.
    const std::uint64_t n = roll(3) == 0 ? roll(6) : roll(60);
    return {image_, 0, static_cast<std::uint32_t>(n % 12), static_cast<std::uint32_t>(n / 12)};
  }
  std::vector<TileKey> all_keys() const {
    std::vector<TileKey> keys;
    for (std::uint32_t n = 0; n < 60; ++n) keys.push_back({image_, 0, n % 12, n / 12});
    return keys;
  }
  void open() { ASSERT_TRUE(world_.store().open(call_, image_, small_tiles)); }

  void step() {
    switch (roll(20)) {
      case 0: return sync();
      case 1: return take_away();
      case 2: return press();
      case 3: return roll(8) == 0 ? drop() : check({key()});
      case 4:
      case 5:
      case 6: return put_if();
      case 7:
      case 8:
      case 9:
      case 10:
      case 11: return put();
      default: break;
    }
    std::vector<TileKey> keys;
    for (std::uint64_t n = 1 + roll(10); n > 0; --n) keys.push_back(key());
    check(keys);
  }

  void put() {
    std::vector<TilePut> batch;
    for (std::uint64_t n = 1 + roll(5); n > 0; --n) {
      const TileKey at = key();
      bool twice = false;
      for (const TilePut& one : batch) twice |= one.key == at;
      if (!twice) batch.push_back({at, pattern_tile(world_.heap(), small_tiles, at, ++version_)});
    }
    world_.store().put(roll(4) == 0 ? call_.hot() : call_, batch);
    for (const TilePut& one : batch)
      if (one.put)
        stored_[one.key] = *version_of(one.tile, one.key);
      else
        expect_allowed(one.put.error());
    for (const TilePut& one : batch)
      if (one.put) generations_[one.key] = *one.put;
  }
  void put_if() {
    const TileKey at = key();
    const auto known = generations_.find(at);
    const bool right = roll(2) == 0;
    const Generation is = known == generations_.end() ? Generation::none : known->second;
    const Generation asked = right ? is : Generation{static_cast<std::uint64_t>(is) + 1};
    const auto done = put_one(world_.store(), call_, at, pattern_tile(world_.heap(), small_tiles, at, ++version_), asked);
    if (done) {
      EXPECT_TRUE(right) << "a put with another generation went through";
      stored_[at] = version_;
      generations_[at] = *done;
    } else if (done.error().code == Errc::conflict) {
      EXPECT_TRUE(!right || faulty(shape_.faults) || exhaustible()) << done.error().what;
    } else {
      expect_allowed(done.error());
    }
  }
  void take_away() {
    const TileKey at = key();
    const auto done = put_one(world_.store(), call_, at, {});
    if (!done) return expect_allowed(done.error());
    stored_.erase(at);
    generations_.erase(at);
  }
  void sync() {
    const auto done = world_.store().sync(call_, image_);
    if (!done) expect_allowed(done.error());
  }
  void drop() {
    ASSERT_TRUE(world_.store().drop(call_, image_));
    stored_.clear();
    generations_.clear();
    if (roll(2) == 0) image_ = ImageId::fresh();
    open();
  }
  void press() {
    working_ = {};
    if (roll(2) == 0) working_ = world_.ledger().charge(Resource::memory, roll(shape_.memory + 4) * tile_bytes);
  }

  void check(const std::vector<TileKey>& keys) {
    std::vector<TileGet> batch;
    for (const TileKey& each : keys) batch.push_back({each});
    const bool hot = roll(4) == 0;
    world_.store().get(hot ? call_.hot() : call_, batch);
    for (const TileGet& one : batch) {
      if (!one.got) {
        if (!hot || one.got.error().code != Errc::would_wait) expect_allowed(one.got.error());
        continue;
      }
      const auto expected = stored_.find(one.key);
      if (!*one.got) {
        EXPECT_TRUE(expected == stored_.end() || shape_.faults.absent > 0) << "a stored tile is absent";
        continue;
      }
      ASSERT_NE(expected, stored_.end()) << "a tile that was taken away is back";
      EXPECT_EQ(version_of(**one.got, one.key), expected->second);
    }
  }

  bool exhaustible() const { return !shape_.last && shape_.memory + shape_.map + shape_.disk < 3 * 60; }
  void expect_allowed(const Error& error) const {
    const bool limit = error.code == Errc::limit && (exhaustible() || shape_.faults.full > 0);
    const bool fault = (error.code == Errc::unavailable && shape_.faults.fail > 0) ||
                       (error.code == Errc::corrupt && shape_.faults.corrupt > 0) || error.code == Errc::would_wait;
    EXPECT_TRUE(limit || fault) << name_of(error.code) << ": " << error.what;
  }

  World& world_;
  const Shape& shape_;
  std::mt19937_64 dice_;
  const Call call_;
  ImageId image_ = ImageId::fresh();
  std::map<TileKey, std::uint64_t> stored_;
  std::map<TileKey, Generation> generations_;
  std::uint64_t version_ = 0;
  Hold working_;
};

class Model : public testing::TestWithParam<Shape> {};

TEST_P(Model, NothingIsEverWrong) {
  for (std::uint64_t seed = 1; seed <= 6 && !HasFailure(); ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    World world(GetParam(), seed);
    {
      std::vector<std::jthread> threads;
      for (std::uint64_t i = 0; i < 3; ++i)
        threads.emplace_back([&world, seed, i] { Worker(world, GetParam(), seed * 100 + i).run(400); });
    }
    EXPECT_TRUE(world.all_given_back());
  }
}

std::string shape_name(const testing::TestParamInfo<Shape>& info) { return info.param.name; }

using namespace std::chrono_literals;
INSTANTIATE_TEST_SUITE_P(
    Shapes, Model,
    testing::Values(Shape{"plain", 40, 0, 0, {}}, Shape{"roomy", 20, 20, 200, {}, false},
                    Shape{"three", 10, 10, 20, {}}, Shape{"none", 0, 0, 0, {}},
                    Shape{"exhausted", 10, 10, 20, {}, false}, Shape{"slow", 10, 0, 20, {.delay = 300us}},
                    Shape{"failing", 20, 0, 0, {.fail = 0.05, .delay = 50us}},
                    Shape{"full", 20, 10, 10, {.full = 0.2}},
                    Shape{"everything", 15, 5, 15, {.fail = 0.02, .full = 0.05, .corrupt = 0.02, .absent = 0.02, .delay = 100us}}),
    shape_name);

}  // namespace
}  // namespace smalti::test
