#include "house/house.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>
#include <vector>

#include "client/cluster.h"
#include "client/names.h"

namespace smalti::house {

namespace {

// Threads that wait for disks and networks; they compute next to nothing.
constexpr std::size_t behind_threads = 4;
constexpr std::size_t ahead_threads = 4;
// Freed tile buffers that are kept, beside the memory limit: rows of tiles come and go, and each would map its pages
// anew.
constexpr std::uint64_t idle_heap = 16u << 20;

ClusterOptions cluster_options(const House& house) {
  const Config& config = house.config;
  ClusterOptions options;
  options.hosts = config.hosts;
  options.secret = config.secret;
  options.key = house.key;
  options.attributes.quantum_depth = config.quantum.depth;
  options.attributes.hdri = config.quantum.hdri;
  options.encrypt = config.encryption != Encryption::none;
  options.compress = config.compress;
  options.share = config.share;
  options.placement = config.placement;
  options.first = config.first.value_or(0);
  options.random_first = !config.first.has_value();
  options.replicas = config.replicas;
  return options;
}

StorePtr distributed(House& house) {
  return cluster_store(*house.loop, house.heap, house.log, cluster_options(house));
}

Result<std::vector<Tier>> tiers_of(House& house, Purpose purpose) {
  const Config& config = house.config;
  std::vector<Tier> tiers;
  // Memory and disk are always there, if without room: so that the error of a full house names them and their
  // cure.
  tiers.push_back({"Memory", memory_store(house.ledger)});
  if (config.limits[Resource::map] > 0) {
    SMALTI_TRY(StorePtr mapped, mapped_store(house.ledger, config.temporary));
    tiers.push_back({"Map", std::move(mapped)});
  }
  SMALTI_TRY(StorePtr disk, disk_store(house.ledger, house.heap, config.temporary));
  tiers.push_back({"Disk", std::move(disk)});
  if (goes_further(config, purpose)) tiers.push_back({"Distributed", distributed(house)});
  return tiers;
}

}  // namespace

House::House(Config c, Log& l) : config(std::move(c)), log(l), ledger(config.limits), key(config.secret) {}
House::~House() = default;

bool goes_further(const Config& config, Purpose purpose) noexcept {
  return !config.hosts.empty() && (purpose == Purpose::client || config.hosts_defined);
}

Result<std::unique_ptr<House>> build(Config config, Purpose purpose, Log& log) {
  auto house = std::make_unique<House>(std::move(config), log);
  house->heap = TileHeap(idle_heap);
  if (purpose == Purpose::client) {
    const auto threads = static_cast<std::uint32_t>(house->config.limits[Resource::thread]);
    SMALTI_TRY(house->engine, ops::start_engine({threads}, log));
  }
  if (purpose == Purpose::server || goes_further(house->config, purpose))
    house->loop = std::make_unique<net::Loop>(purpose == Purpose::client ? net::Loop::Lent::to_callers
                                                                          : net::Loop::Lent::no);
  house->behind = std::make_unique<Pool>(behind_threads);
  house->ahead = std::make_unique<Pool>(ahead_threads);
  SMALTI_TRY(std::vector<Tier> tiers, tiers_of(*house, purpose));
  TieredOptions options;
  options.ledger = &house->ledger;
  // A gateway's clients write row by row and hear of failures later: its tiles go out behind them.
  options.through = purpose == Purpose::server && !goes_further(house->config, purpose);
  // Deriving the key takes a core some 90 ms: better while the first rows are made than when the first tile waits for it.
  if (goes_further(house->config, purpose))
    options.overflows = [pool = house->behind.get(), key = house->key] { pool->try_post([key] { (void)key.key(); }); };
  house->store = tiered_store(std::move(tiers), *house->behind, options);
  if (purpose == Purpose::client && goes_further(house->config, purpose))
    house->names = names_on(*house, house->config.hosts);
  return house;
}

std::unique_ptr<client::Names> names_on(House& house, std::vector<HostPort> hosts) {
  ClusterOptions options = cluster_options(house);
  options.hosts = std::move(hosts);
  return std::make_unique<client::Names>(*house.loop, house.heap, house.log, std::move(options));
}

ops::Workshop workshop_of(House& house, ops::Progress progress, ops::CacheWatch watch,
                          ops::PassWatch passed) {
  const Limits& limits = house.config.limits;
  ops::Workshop workshop{
      {house.store, house.ledger, house.heap, *house.ahead}, house.config.quantum, house.log};
  workshop.threads = static_cast<std::uint32_t>(limits[Resource::thread]);
  workshop.memory_limit = limits[Resource::memory];
  workshop.salvage = house.config.salvage;
  workshop.stream = house.config.stream;
  workshop.watch = std::move(watch);
  workshop.passed = std::move(passed);
  workshop.names = house.names.get();
  workshop.progress = std::move(progress);
  if (const std::uint64_t pause = limits[Resource::throttle]; pause > 0) {
    const auto nap = std::chrono::milliseconds(std::min<std::uint64_t>(pause, 1000));
    workshop.progress = [nap, next = std::move(workshop.progress)](std::string_view what, std::uint64_t done,
                                                                   std::uint64_t of) {
      std::this_thread::sleep_for(nap);
      if (next) next(what, done, of);
    };
  }
  return workshop;
}

Call call_for(const House& house, std::stop_token stop) {
  Call call;
  call.stop = std::move(stop);
  const std::uint64_t seconds = house.config.limits[Resource::time];
  constexpr std::uint64_t century = 100ull * 365 * 86400;
  if (seconds < century) call.deadline = Clock::now() + std::chrono::seconds(seconds);
  return call;
}

Error explained(const House& house, const Call& call, Error error) {
  const std::uint64_t seconds = house.config.limits[Resource::time];
  if (error.code != Errc::timeout || Clock::now() < call.deadline) return error;  // a server may be slow, too
  return Error{Errc::limit, fmt::format("time limit exceeded: {} s; raise it with {} ({})", seconds,
                                        Ledger::cure(Resource::time), error.what)};
}

}  // namespace smalti::house
