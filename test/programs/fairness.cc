// smalti_fairness: many alike clients on one server at the same time, and what each of them gets of it.
//
//   smalti_fairness --host 127.0.0.1:6668 [--clients 64] [--seconds 5] [--work get|put|mixed] [--batch 8]
//   [--side 256]
//
// Prints one line: tiles a second in all, and the least, mean and most that a client got. bench/fairness.py
// runs it.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/cluster.h"
#include "net/loop.h"

namespace smalti {
namespace {

struct Options {
  std::map<std::string, std::string> given{{"--clients", "64"}, {"--seconds", "5"},
                                           {"--work", "mixed"}, {"--batch", "8"},
                                           {"--side", "256"},   {"--secret", "passphrase"}};
  std::uint32_t number(const std::string& name) const {
    return static_cast<std::uint32_t>(std::stoul(given.at(name)));
  }
};

class Client {
 public:
  Client(const Options& options, const net::Psk& key, net::Loop& loop, TileHeap& heap, Log& log)
      : options_(options), heap_(heap) {
    const std::string& host = options.given.at("--host");
    ClusterOptions cluster;
    cluster.hosts = {{host.substr(0, host.rfind(':')),
                      static_cast<std::uint16_t>(std::stoi(host.substr(host.rfind(':') + 1)))}};
    cluster.secret = Secret(options.given.at("--secret"));
    cluster.key = key;
    store_ = cluster_store(loop, heap, log, cluster);
    const std::uint32_t side = options.number("--side");
    spec_ = {{side * 8, side * 4}, {Sample::u8, 3, 0}, {side, side}};
    if (auto opened = store_->open({}, image_, spec_); !opened) die(opened.error());
    auto draft = TileDraft::make(spec_.tile, spec_.format, heap_).value();
    std::memset(draft.bytes().data(), 7, draft.bytes().size());
    tile_ = std::move(draft).freeze();
    for (std::uint32_t n = 0; n < 32; ++n)
      if (auto put = put_one(*store_, {}, key_of(n), tile_); !put) die(put.error());
  }

  void work(std::uint32_t seed, const std::atomic<bool>& begin, const std::atomic<bool>& end) {
    std::mt19937 random(seed);
    const std::string& work = options_.given.at("--work");
    begin.wait(false);
    while (!end) {
      const bool putting = work == "put" || (work == "mixed" && random() % 2 == 0);
      const std::uint32_t batch = options_.number("--batch");
      std::vector<TileGet> gets;
      std::vector<TilePut> puts;
      for (std::uint32_t i = 0; i < batch; ++i) {
        if (putting)
          puts.push_back({key_of(random()), tile_});
        else
          gets.push_back({key_of(random())});
      }
      store_->get({}, gets);
      store_->put({}, puts);
      for (const TileGet& each : gets) {
        if (!each.got) die(each.got.error());
        if (!*each.got || !std::ranges::equal((*each.got)->bytes(), tile_.bytes()))
          die({Errc::corrupt, "a tile was lost, or is another"});
      }
      for (const TilePut& each : puts)
        if (!each.put) die(each.put.error());
      done.fetch_add(batch, std::memory_order_relaxed);
    }
  }

  std::atomic<std::uint64_t> done{0};

 private:
  [[noreturn]] static void die(const Error& why) {
    std::fprintf(stderr, "%s\n", why.what.c_str());
    std::_Exit(1);
  }
  TileKey key_of(std::uint32_t n) const { return {image_, 0, n % 8, n / 8 % 4}; }

  const Options& options_;
  TileHeap& heap_;
  ImageSpec spec_;
  const ImageId image_ = ImageId::fresh();
  Tile tile_;
  StorePtr store_;
};

void run(const Options& options) {
  const net::Psk key{Secret(options.given.at("--secret"))};
  Log log;
  TileHeap heap;
  net::Loop loop;
  std::vector<std::unique_ptr<Client>> clients;
  for (std::uint32_t n = 0; n < options.number("--clients"); ++n)
    clients.push_back(std::make_unique<Client>(options, key, loop, heap, log));
  std::atomic<bool> begin{false}, end{false};
  std::vector<std::jthread> threads;
  for (std::uint32_t n = 0; n < clients.size(); ++n)
    threads.emplace_back([&, n] { clients[n]->work(n, begin, end); });
  begin = true;
  begin.notify_all();
  // Until each has done ten batches in the mean, so that a batch more or less does not look unfair.
  const auto start = Clock::now();
  const std::chrono::duration<double> seconds(options.number("--seconds"));
  std::vector<std::uint64_t> each;
  std::uint64_t sum = 0;
  std::chrono::duration<double> took{};
  do {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    took = Clock::now() - start;
    each.clear();
    for (auto& client : clients) each.push_back(client->done);
    sum = std::accumulate(each.begin(), each.end(), std::uint64_t{0});
  } while (took < seconds ||
           (took < 12 * seconds && sum < 10ull * options.number("--batch") * clients.size()));
  end = true;
  threads.clear();
  const auto [least, most] = std::minmax_element(each.begin(), each.end());
  const double mean = static_cast<double>(sum) / static_cast<double>(each.size());
  std::printf("%zu clients, %s: %.0f tiles/s; least %lu, mean %.0f, most %lu; least/mean %.2f\n", each.size(),
              options.given.at("--work").c_str(), static_cast<double>(sum) / took.count(),
              static_cast<unsigned long>(*least), mean, static_cast<unsigned long>(*most),
              static_cast<double>(*least) / mean);
}

}  // namespace
}  // namespace smalti

int main(int argc, char** argv) {
  smalti::Options options;
  for (int i = 1; i + 1 < argc; i += 2) options.given[argv[i]] = argv[i + 1];
  if (!options.given.contains("--host")) return 2;
  smalti::run(options);
}
