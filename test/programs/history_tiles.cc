// Tiles: each client has an image of its own, and several threads that meet on its tiles.
#include <cstdio>
#include <memory>
#include <random>
#include <thread>

#include "net/loop.h"
#include "test/programs/history.h"
#include "test/store/patterns.h"

namespace smalti::test {
namespace {

constexpr ImageSpec image_spec{{64 * 24, 64 * 16}, {Sample::u8, 3, 0}, {64, 64}};
constexpr std::uint32_t keys_a_client = 96;  // few enough that threads meet

// One client: a session, an image, several threads.
class Client {
 public:
  Client(std::uint32_t number, const HistoryOptions& options, const net::Psk& key, Chronicle& chronicle)
      : number_(number), options_(options), chronicle_(chronicle) {
    store_ = cluster_store(loop_, heap_, log_, options.cluster(key));
  }

  // A fault may strike here, too: then it is tried again, for a while.
  Result<void> open() {
    const auto end = Clock::now() + std::chrono::seconds(60);
    for (;;) {
      auto opened = store_->open(call(), image_, image_spec);
      if (opened || Clock::now() > end) return opened;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  }

  void work(std::uint32_t thread) {
    std::mt19937_64 random(options_.number("--seed") * 1000 + number_ * 100 + thread);
    std::vector<Event> mine;
    while (!chronicle_.over(options_)) {
      const std::size_t count = 1 + random() % 8;
      if (random() % 3 == 0)
        write(random, count, mine);
      else
        read(random, count, mine);
    }
    chronicle_.add(mine);
  }

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
      const std::uint64_t version = chronicle_.new_version();
      puts.push_back({key(n), pattern_tile(heap_, image_spec, key(n), version)});
      events.push_back({Event::Kind::write, number_, name_of(n), version, chronicle_.now(), never});
    }
    store_->put(call(), puts);
    for (std::size_t i = 0; i < puts.size(); ++i) {
      if (!puts[i].put) {
        chronicle_.failed(puts[i].put.error().what);
        continue;
      }
      events[i].ended = chronicle_.now();
      chronicle_.written();
    }
    mine.insert(mine.end(), events.begin(), events.end());
  }

  void read(std::mt19937_64& random, std::size_t count, std::vector<Event>& mine) {
    std::vector<TileGet> gets;
    std::vector<Event> events;
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint64_t n = random() % keys_a_client;
      gets.push_back({key(n)});
      events.push_back({Event::Kind::read, number_, name_of(n), 0, chronicle_.now(), never});
    }
    store_->get(call(), gets);
    for (std::size_t i = 0; i < gets.size(); ++i) {
      events[i].ended = chronicle_.now();
      if (!gets[i].got) {
        chronicle_.failed(gets[i].got.error().what);
        continue;
      }
      events[i].version =
          *gets[i].got ? version_of(**gets[i].got, gets[i].key) : std::optional<std::uint64_t>(0);
      mine.push_back(events[i]);
    }
  }

  std::uint64_t name_of(std::uint64_t n) const { return number_ * 1000ull + n; }

  const std::uint32_t number_;
  const HistoryOptions& options_;
  Chronicle& chronicle_;
  net::Loop loop_;
  TileHeap heap_;
  Log log_;
  StorePtr store_;
  const ImageId image_ = ImageId::fresh();
};

}  // namespace

bool tiles_history(const HistoryOptions& options, const net::Psk& key, Chronicle& chronicle) {
  std::vector<std::unique_ptr<Client>> clients;
  for (std::uint32_t n = 0; n < options.number("--clients"); ++n) {
    clients.push_back(std::make_unique<Client>(n + 1, options, key, chronicle));
    if (auto opened = clients.back()->open(); !opened) {
      std::printf("cannot open: %s\n", opened.error().what.c_str());
      return false;
    }
  }
  std::vector<std::jthread> threads;
  for (auto& client : clients)
    for (std::uint32_t n = 0; n < options.number("--threads"); ++n)
      threads.emplace_back([&client, n] { client->work(n); });
  threads.clear();
  return true;
}

}  // namespace smalti::test
