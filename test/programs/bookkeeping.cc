// smalti_bookkeeping: puts a million very small tiles of one image, so that what is kept beside the pixels
// shows.
//
//   smalti_bookkeeping --store memory|disk|persisted|servers [--hosts 127.0.0.1:6668,...] [--replicas 1]
//   [--tiles 1000000]
//
// Prints how many bytes this process grew for each tile, pixels (256 bytes) included where they are here, and
// then waits for its standard input to end, so that others may look at the servers. bench/bookkeeping.py runs
// it.
#include <malloc.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "net/loop.h"
#include "smalti/policy/limits.h"
#include "smalti/store/stores.h"
#include "store/persisted_store.h"

namespace smalti {
namespace {

constexpr std::uint32_t side = 16;
using Options = std::map<std::string, std::string>;

std::uint64_t resident() {
  std::ifstream status("/proc/self/status");
  std::uint64_t kib = 0;
  for (std::string word; status >> word;)
    if (word == "RssAnon:") status >> kib;
  return kib * 1024;
}

struct Bed {
  explicit Bed(const Options& options) {
    Limits limits;
    limits.most.fill(unlimited);
    ledger = std::make_unique<Ledger>(limits);
    const std::string& kind = options.at("--store");
    if (kind == "memory") store = memory_store(*ledger);
    if (kind == "disk") store = disk_store(*ledger, heap, std::filesystem::temp_directory_path()).value();
    if (kind == "persisted")
      store = std::move(open_persisted(*ledger, heap, options.at("--folder")).value().store);
    if (kind == "servers") store = servers(options);
  }

  StorePtr servers(const Options& options) {
    ClusterOptions cluster;
    const std::string& text = options.at("--hosts");
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t comma = std::min(text.find(',', at), text.size());
      const std::size_t colon = text.rfind(':', comma);
      cluster.hosts.push_back(
          {text.substr(at, colon - at), static_cast<std::uint16_t>(std::stoi(text.substr(colon + 1)))});
      at = comma + 1;
    }
    cluster.secret = Secret("passphrase");
    cluster.placement = Placement::sharded;
    cluster.replicas = static_cast<std::uint32_t>(std::stoul(options.at("--replicas")));
    loop = std::make_unique<net::Loop>();
    return cluster_store(*loop, heap, log, cluster);
  }

  Log log;
  std::unique_ptr<Ledger> ledger;
  TileHeap heap;
  std::unique_ptr<net::Loop> loop;
  StorePtr store;
};

int run(const Options& options) {
  const auto tiles = static_cast<std::uint32_t>(std::stoul(options.at("--tiles")));
  Bed bed(options);
  const ImageId image = ImageId::fresh();
  const ImageSpec spec{{1000 * side, (tiles + 999) / 1000 * side}, {Sample::u8, 1, 0}, {side, side}};
  if (auto opened = bed.store->open({}, image, spec); !opened)
    return std::fprintf(stderr, "%s\n", opened.error().what.c_str());
  constexpr std::uint32_t batch = 512;
  std::uint64_t before = 0;
  for (std::uint32_t n = 0; n < tiles; n += batch) {
    if (n == 16 * batch) before = resident();  // what a first few tiles make it set up is not bookkeeping
    std::vector<TilePut> puts;
    for (std::uint32_t i = n; i < std::min(n + batch, tiles); ++i) {
      auto draft = TileDraft::make(spec.tile, spec.format, bed.heap).value();
      std::memset(draft.bytes().data(), 7, draft.bytes().size());
      puts.push_back({{image, 0, i % 1000, i / 1000}, std::move(draft).freeze()});
    }
    bed.store->put({}, puts);
    for (const TilePut& each : puts)
      if (!each.put) return std::fprintf(stderr, "%s\n", each.put.error().what.c_str());
  }
  ::malloc_trim(0);
  const auto grew = static_cast<std::int64_t>(resident() - before);  // a busy start may have been larger
  std::printf("%.0f\n", static_cast<double>(grew) / (tiles - 16 * batch));
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  return 0;
}

}  // namespace
}  // namespace smalti

int main(int argc, char** argv) {
  smalti::Options options{{"--tiles", "1000000"}, {"--replicas", "1"}};
  for (int i = 1; i + 1 < argc; i += 2) options[argv[i]] = argv[i + 1];
  return options.contains("--store") ? smalti::run(options) : 2;
}
