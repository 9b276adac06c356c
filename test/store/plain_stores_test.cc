#include "smalti/store/stores.h"
#include "test/store/store_suite.h"

namespace smalti::test {
namespace {

std::unique_ptr<Rig> make_memory(const Limits& limits) {
  auto rig = std::make_unique<Rig>(limits);
  rig->store = memory_store(rig->ledger);
  return rig;
}

INSTANTIATE_TEST_SUITE_P(Memory, StoreSuite, testing::Values(StoreUnderTest{"memory", make_memory}), store_name);

}  // namespace
}  // namespace smalti::test
