// The conformance suite over every store of this folder.
#include <stdlib.h>

#include <filesystem>

#include "smalti/store/stores.h"
#include "store/persisted_store.h"
#include "test/store/faulty.h"
#include "test/store/simulated_disk.h"
#include "test/store/store_suite.h"

namespace smalti::test {
namespace {

std::unique_ptr<Rig> make_memory(const Limits& limits) {
  auto rig = std::make_unique<Rig>(limits);
  rig->store = memory_store(rig->ledger);
  return rig;
}

std::unique_ptr<Rig> make_mapped(const Limits& limits) {
  auto rig = std::make_unique<Rig>(limits);
  rig->store = mapped_store(rig->ledger, std::filesystem::temp_directory_path()).value();
  return rig;
}

std::unique_ptr<Rig> make_disk(const Limits& limits) {
  auto rig = std::make_unique<Rig>(limits);
  rig->store = disk_store(rig->ledger, rig->heap, std::filesystem::temp_directory_path()).value();
  return rig;
}

// Images that are to stay, in a real folder, and on the disk that the crash test runs on.
struct PersistRig : Rig {
  using Rig::Rig;
  ~PersistRig() override {
    store.reset();
    if (!folder.empty()) std::filesystem::remove_all(folder);
  }
  std::filesystem::path folder;
};

std::unique_ptr<Rig> make_persisted(const Limits& limits) {
  auto rig = std::make_unique<PersistRig>(limits);
  std::string name = (std::filesystem::temp_directory_path() / "smalti-test-XXXXXX").string();
  rig->folder = ::mkdtemp(name.data());
  rig->store = open_persisted(rig->ledger, rig->heap, rig->folder, {.open_files = 2, .waste = 65536}).value().store;
  return rig;
}

std::unique_ptr<Rig> make_simulated(const Limits& limits) {
  auto rig = std::make_unique<PersistRig>(limits);
  rig->store = open_persisted(rig->ledger, rig->heap, std::make_shared<SimulatedDisk>(), {.waste = 65536}).value().store;
  return rig;
}

// A tiered store and the pool that it works through. `below` is a second ledger, for a tier that stands for one elsewhere.
struct TieredRig : Rig {
  explicit TieredRig(const Limits& limits) : TieredRig(limits, limits) {}
  TieredRig(const Limits& limits, const Limits& of_below) : Rig(limits), below(of_below) {}
  ~TieredRig() override { store.reset(); }

  Ledger below;
  Pool pool{2};
};

// Every tile goes straight into one tier.
std::unique_ptr<Rig> make_lone_tier(const Limits& limits) {
  auto rig = std::make_unique<TieredRig>(limits);
  std::vector<Tier> tiers;
  tiers.push_back({"Memory", memory_store(rig->ledger)});
  rig->store = tiered_store(std::move(tiers), rig->pool, {.ledger = &rig->ledger});
  return rig;
}

// Over a tier that waits.
std::unique_ptr<Rig> make_memory_over_slow(const Limits& limits) {
  auto rig = std::make_unique<TieredRig>(limits);
  std::vector<Tier> tiers;
  tiers.push_back({"Memory", memory_store(rig->ledger)});
  tiers.push_back({"Slow", faulty_store(memory_store(rig->below), {.delay = std::chrono::microseconds(200), .waits = true})});
  rig->store = tiered_store(std::move(tiers), rig->pool, {.ledger = &rig->ledger});
  return rig;
}

// Memory, map and disk: a server's or a lone machine's store.
std::unique_ptr<Rig> make_three(const Limits& limits) {
  auto rig = std::make_unique<TieredRig>(limits);
  const auto folder = std::filesystem::temp_directory_path();
  std::vector<Tier> tiers;
  tiers.push_back({"Memory", memory_store(rig->ledger)});
  tiers.push_back({"Map", mapped_store(rig->ledger, folder).value()});
  tiers.push_back({"Disk", disk_store(rig->ledger, rig->heap, folder).value()});
  rig->store = tiered_store(std::move(tiers), rig->pool, {.ledger = &rig->ledger});
  return rig;
}

// The same with little room in memory and map: most of it goes to the disk, and what is read twice rises.
std::unique_ptr<Rig> make_three_tight(const Limits& limits) {
  Limits few = limits;
  for (const Resource each : {Resource::memory, Resource::map})
    few[each] = std::min<std::uint64_t>(limits[each], 3 * 16384);
  return make_three(few);
}

// A tiered store as a tier of another.
std::unique_ptr<Rig> make_nested(const Limits& limits) {
  auto rig = std::make_unique<TieredRig>(limits);
  std::vector<Tier> inner, outer;
  inner.push_back({"Map", mapped_store(rig->ledger, std::filesystem::temp_directory_path()).value()});
  inner.push_back({"Disk", disk_store(rig->ledger, rig->heap, std::filesystem::temp_directory_path()).value()});
  outer.push_back({"Memory", memory_store(rig->ledger)});
  outer.push_back({"Below", tiered_store(std::move(inner), rig->pool, {})});
  rig->store = tiered_store(std::move(outer), rig->pool, {});
  return rig;
}

// Nothing above the tier that waits, and room for two tiles on their way: callers wait for, and help, each other.
std::unique_ptr<Rig> make_only_slow(const Limits& limits) {
  auto rig = std::make_unique<TieredRig>(limits);
  std::vector<Tier> tiers;
  tiers.push_back({"Slow", faulty_store(memory_store(rig->ledger), {.delay = std::chrono::microseconds(200), .waits = true})});
  rig->store = tiered_store(std::move(tiers), rig->pool, {.behind_bytes = 2 * 16384});
  return rig;
}

// Room above for a few tiles only, so that everything is under way all the time.
std::unique_ptr<Rig> make_tight(const Limits& limits) {
  Limits few = limits;
  few[Resource::memory] = std::min<std::uint64_t>(limits[Resource::memory], 5 * 16384);
  auto rig = std::make_unique<TieredRig>(few, limits);
  std::vector<Tier> tiers;
  tiers.push_back({"Memory", memory_store(rig->ledger)});
  tiers.push_back({"Slow", faulty_store(memory_store(rig->below), {.delay = std::chrono::microseconds(200), .waits = true})});
  rig->store = tiered_store(std::move(tiers), rig->pool, {.behind_bytes = 4 * 16384, .ledger = &rig->ledger});
  return rig;
}

INSTANTIATE_TEST_SUITE_P(Plain, StoreSuite, 
                         testing::Values(StoreUnderTest{"memory", make_memory}, StoreUnderTest{"mapped", make_mapped},
                                         StoreUnderTest{"disk", make_disk},
                                         StoreUnderTest{"persisted", make_persisted, 0},
                                         StoreUnderTest{"simulated", make_simulated, 0}),
                         store_name);
INSTANTIATE_TEST_SUITE_P(Tiered, StoreSuite,
                         testing::Values(StoreUnderTest{"lone", make_lone_tier},
                                         StoreUnderTest{"memory_slow", make_memory_over_slow, 2},
                                         StoreUnderTest{"slow", make_only_slow},
                                         StoreUnderTest{"three", make_three, 3},
                                         StoreUnderTest{"three_tight", make_three_tight, 0, 1, true},
                                         StoreUnderTest{"nested", make_nested, 3},
                                         StoreUnderTest{"tight", make_tight, 0, 1, true}),
                         store_name);

}  // namespace
}  // namespace smalti::test
