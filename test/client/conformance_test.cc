// A server behind a socket, and several behind a placement, are stores like any other.
#include "test/client/real_servers.h"
#include "test/store/store_suite.h"

namespace smalti::test {
namespace {

struct Shape {
  const char* name;
  unsigned servers;
  bool encrypt;
  Placement placement;
  unsigned replicas = 1;
  bool faulty = false;  // one of them errs, forgets and damages
  Compress compress = Compress::automatic;

  // Whether the last free places are on different servers is chance, where some servers have a tile and others not.
  unsigned times() const {
    if (placement == Placement::sharded && replicas > 1 && replicas < servers) return 0;
    return servers / replicas;
  }
};

constexpr Shape shapes[] = {
    {"remote", 1, true, Placement::automatic},
    {"remote_in_clear", 1, false, Placement::automatic},
    {"two_sharded", 2, true, Placement::sharded},
    {"three_by_turns_in_clear", 3, false, Placement::round_robin},
    {"two_mirrored", 2, true, Placement::sharded, 2},
    {"four_with_two_replicas", 4, true, Placement::sharded, 2},
    {"four_with_three_replicas_by_turns", 4, false, Placement::round_robin, 3},
    {"three_of_which_one_errs", 3, true, Placement::sharded, 2, true},
    {"compressed", 1, true, Placement::automatic, 1, false, Compress::zstd},
    {"two_compressed_in_clear", 2, false, Placement::sharded, 1, false, Compress::lz4},
};

struct ClusterRig : Rig {
  ClusterRig(const Limits& limits, const Shape& shape) : Rig(all_limits(unlimited)) {
    ClusterOptions options;
    for (unsigned i = 0; i < shape.servers; ++i) {
      RealServerOptions one{limits, !shape.encrypt};
      if (shape.faulty && i == 0)
        one.faults = FaultPlan{.seed = 7, .fail = 0.1, .corrupt = 0.1, .absent = 0.1, .delay = std::chrono::microseconds(500)};
      servers.push_back(std::make_unique<RealServer>(one));
      options.hosts.push_back(servers.back()->host());
    }
    options.secret = our_secret();
    options.key = our_key();
    options.encrypt = shape.encrypt;
    options.placement = shape.placement;
    options.replicas = shape.replicas;
    options.compress = shape.compress;
    store = cluster_store(loop, heap, log, std::move(options));
  }
  ~ClusterRig() override { store.reset(); }

  std::vector<std::unique_ptr<RealServer>> servers;
  Log log;
  net::Loop loop{net::Loop::Lent::to_callers};
};

std::vector<StoreUnderTest> stores() {
  std::vector<StoreUnderTest> out;
  for (const Shape& shape : shapes)
    out.push_back({shape.name, [&shape](const Limits& limits) { return std::make_unique<ClusterRig>(limits, shape); },
                   shape.times(), shape.replicas});
  return out;
}

INSTANTIATE_TEST_SUITE_P(Cluster, StoreSuite, testing::ValuesIn(stores()), store_name);

}  // namespace
}  // namespace smalti::test
