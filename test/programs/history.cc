// smalti_history: many threads read and write the tiles of images on real servers, whatever happens to these,
// and every answer is judged afterwards.
//
//   smalti_history --hosts 127.0.0.1:7001,127.0.0.1:7002 --secret passphrase [--replicas 2] [--clients 4]
//   [--threads 4]
//                  [--seconds 10] [--seed 1] [--plain]
//
// Prints one line: writes, reads, failures, and what was wrong. Exit 1 when anything was; 2 when nothing
// could be written.
#include "test/history/history.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/cluster.h"
#include "net/loop.h"
#include "test/store/patterns.h"

namespace smalti::test {
namespace {

constexpr ImageSpec image_spec{{64 * 24, 64 * 16}, {Sample::u8, 3, 0}, {64, 64}};
constexpr std::uint32_t keys_a_client = 96;  // few enough that threads meet

struct Options {
  std::map<std::string, std::string> given{
      {"--clients", "4"},  {"--threads", "4"},         {"--seconds", "10"}, {"--seed", "1"},
      {"--replicas", "1"}, {"--secret", "passphrase"}, {"--plain", "0"}};
  std::uint64_t number(const std::string& name) const {
    return std::strtoull(given.at(name).c_str(), nullptr, 10);
  }
};

std::vector<HostPort> hosts_of(const std::string& text) {
  std::vector<HostPort> hosts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string one = text.substr(at, comma - at);
    const std::size_t colon = one.rfind(':');
    hosts.push_back({one.substr(0, colon), static_cast<std::uint16_t>(std::stoi(one.substr(colon + 1)))});
    at = comma + 1;
  }
  return hosts;
}

// One client: a session, an image, several threads.
class Client {
 public:
  Client(std::uint32_t number, const Options& options, const net::Psk& key, std::atomic<Moment>& clock)
      : number_(number), options_(options), clock_(clock) {
    ClusterOptions cluster;
    cluster.hosts = hosts_of(options.given.at("--hosts"));
    cluster.secret = Secret(options.given.at("--secret"));
    cluster.key = key;
    cluster.encrypt = options.number("--plain") == 0;
    cluster.placement = Placement::sharded;
    cluster.replicas = static_cast<std::uint32_t>(options.number("--replicas"));
    store_ = cluster_store(loop_, heap_, log_, cluster);
  }

  Result<void> open() { return store_->open(call(), image_, image_spec); }

  void work(std::uint32_t thread) {
    std::mt19937_64 random(options_.number("--seed") * 1000 + number_ * 100 + thread);
    const auto end = Clock::now() + std::chrono::seconds(options_.number("--seconds"));
    std::vector<Event> mine;
    while (Clock::now() < end) {
      const std::size_t count = 1 + random() % 8;
      if (random() % 3 == 0)
        write(random, count, mine);
      else
        read(random, count, mine);
    }
    const std::lock_guard lock(mutex_);
    events_.insert(events_.end(), mine.begin(), mine.end());
  }

  const std::vector<Event>& events() const { return events_; }
  std::uint64_t failures() const { return failures_; }
  std::string example() const { return example_; }

 private:
  Call call() const { return Call{}.within(std::chrono::seconds(20)); }
  TileKey key(std::uint64_t n) const {
    return {image_, 0, static_cast<std::uint32_t>(n % 24), static_cast<std::uint32_t>(n / 24)};
  }

  void write(std::mt19937_64& random, std::size_t count, std::vector<Event>& mine) {
    std::vector<TilePut> puts;
    std::vector<Event> events;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t n = random() % keys_a_client;
      if (std::any_of(events.begin(), events.end(), [&](const Event& e) { return e.key == name_of(n); }))
        continue;
      const std::uint64_t version = versions_.fetch_add(1) + 1;
      puts.push_back({key(n), pattern_tile(heap_, image_spec, key(n), version)});
      events.push_back({Event::Kind::write, number_, name_of(n), version, clock_.fetch_add(1), never});
    }
    store_->put(call(), puts);
    for (std::size_t i = 0; i < puts.size(); ++i) {
      if (puts[i].put)
        events[i].ended = clock_.fetch_add(1);
      else
        failed(puts[i].put.error());
    }
    mine.insert(mine.end(), events.begin(), events.end());
  }

  void read(std::mt19937_64& random, std::size_t count, std::vector<Event>& mine) {
    std::vector<TileGet> gets;
    std::vector<Event> events;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t n = random() % keys_a_client;
      gets.push_back({key(n)});
      events.push_back({Event::Kind::read, number_, name_of(n), 0, clock_.fetch_add(1), never});
    }
    store_->get(call(), gets);
    for (std::size_t i = 0; i < gets.size(); ++i) {
      events[i].ended = clock_.fetch_add(1);
      if (!gets[i].got) {
        failed(gets[i].got.error());
        continue;
      }
      events[i].version =
          *gets[i].got ? version_of(**gets[i].got, gets[i].key) : std::optional<std::uint64_t>(0);
      mine.push_back(events[i]);
    }
  }

  void failed(const Error& why) {
    const std::lock_guard lock(mutex_);
    ++failures_;
    if (example_.empty()) example_ = why.what;
  }
  std::uint64_t name_of(std::uint64_t n) const { return number_ * 1000ull + n; }

  const std::uint32_t number_;
  const Options& options_;
  std::atomic<Moment>& clock_;
  std::atomic<std::uint64_t> versions_{0};
  net::Loop loop_;
  TileHeap heap_;
  Log log_;
  StorePtr store_;
  const ImageId image_ = ImageId::fresh();
  std::mutex mutex_;
  std::vector<Event> events_;   // guarded by mutex_
  std::uint64_t failures_ = 0;  // guarded by mutex_
  std::string example_;         // guarded by mutex_
};

int run(const Options& options) {
  const net::Psk key{Secret(options.given.at("--secret"))};
  std::atomic<Moment> clock{1};
  std::vector<std::unique_ptr<Client>> clients;
  for (std::uint32_t n = 0; n < options.number("--clients"); ++n) {
    clients.push_back(std::make_unique<Client>(n + 1, options, key, clock));
    if (auto opened = clients.back()->open(); !opened) {
      std::printf("cannot open: %s\n", opened.error().what.c_str());
      return 2;
    }
  }
  {
    std::vector<std::jthread> threads;
    for (auto& client : clients)
      for (std::uint32_t n = 0; n < options.number("--threads"); ++n)
        threads.emplace_back([&client, n] { client->work(n); });
  }
  std::vector<Event> all;
  std::uint64_t failures = 0;
  std::string example;
  for (auto& client : clients) {
    all.insert(all.end(), client->events().begin(), client->events().end());
    failures += client->failures();
    if (example.empty()) example = client->example();
  }
  const auto writes =
      std::count_if(all.begin(), all.end(), [](const Event& e) { return e.kind == Event::Kind::write; });
  const auto wrong = History::judge(all);
  std::printf("history: seed %s, %ld writes, %ld reads, %lu failed, %zu wrong%s%s\n",
              options.given.at("--seed").c_str(), static_cast<long>(writes),
              static_cast<long>(all.size()) - static_cast<long>(writes), static_cast<unsigned long>(failures),
              wrong.size(), example.empty() ? "" : "; one failure: ", example.c_str());
  for (const std::string& each : wrong) std::printf("wrong: %s\n", each.c_str());
  return wrong.empty() ? writes > 0 ? 0 : 2 : 1;
}

}  // namespace
}  // namespace smalti::test

int main(int argc, char** argv) {
  smalti::test::Options options;
  for (int i = 1; i + 1 < argc; i += 2) options.given[argv[i]] = argv[i + 1];
  if (!options.given.contains("--hosts")) {
    std::fprintf(
        stderr,
        "smalti_history --hosts HOST:PORT,... [--secret S] [--replicas N] [--clients N] [--threads N] "
        "[--seconds N] [--seed N] [--plain 1]\n");
    return 2;
  }
  return smalti::test::run(options);
}
