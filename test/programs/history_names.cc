// Names: all clients write, read and delete a few images with names.
//
// A version is a picture whose every tile, geometry and sidecar follow from its number, so that a mixture shows. Some
// writers give up before the end: nobody may ever see what they wrote. Some readers keep the image open and look again
// later: it must not have changed.
#include <cstring>
#include <memory>
#include <random>
#include <thread>

#include "client/names.h"
#include "net/loop.h"
#include "test/programs/history.h"
#include "test/store/patterns.h"

namespace smalti::test {
namespace {

using namespace std::chrono_literals;

ImageSpec spec_of(std::uint64_t version) {
  const auto more = static_cast<std::uint32_t>(version % 5);
  return {{150 + 40 * more, 190 - 20 * more}, {Sample::u8, static_cast<std::uint8_t>(3 + more % 2), 0}, {64, 64}};
}

std::vector<std::byte> sidecar_of(std::uint64_t version) {
  std::vector<std::byte> out(8 + version % 50, std::byte(version));
  std::memcpy(out.data(), &version, 8);
  return out;
}

std::uint64_t version_in(const std::vector<std::byte>& sidecar) {
  std::uint64_t version = 0;
  if (sidecar.size() >= 8) std::memcpy(&version, sidecar.data(), 8);
  return version;
}

TileKey nth(const ImageId& image, const Grid& grid, std::uint64_t n) {
  return {image, 0, static_cast<std::uint32_t>(n % grid.cols()), static_cast<std::uint32_t>(n / grid.cols())};
}

class NameClient {
 public:
  NameClient(std::uint32_t number, const HistoryOptions& options, const net::Psk& key, Chronicle& chronicle)
      : number_(number),
        options_(options),
        chronicle_(chronicle),
        loop_(number % 2 ? net::Loop::Lent::to_callers : net::Loop::Lent::no),
        names_(loop_, heap_, log_, options.cluster(key)) {}

  void work(std::uint32_t thread) {
    std::mt19937_64 random(options_.number("--seed") * 1000 + number_ * 100 + thread);
    std::vector<Event> mine;
    while (!chronicle_.over(options_)) {
      const std::uint64_t name = random() % options_.number("--names");
      const std::uint64_t dice = random() % 100;
      if (dice < 25)
        write(name, dice < 4, mine);
      else if (dice < 28)
        erase(name, mine);
      else
        read(name, dice < 50 ? random() % 300 : 0, mine);
      if (const std::uint64_t pause = options_.number("--pause"))
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % (2 * pause)));
    }
    chronicle_.add(mine);
  }
  // What there is when all have ended.
  void look_at_all() {
    std::vector<Event> mine;
    for (std::uint64_t name = 0; name < options_.number("--names"); ++name) read(name, 0, mine);
    chronicle_.add(mine);
  }

 private:
  Call call() const { return Call{}.within(20s); }
  // Of this run: nobody else's versions are under these names.
  std::string text(std::uint64_t name) const {
    return "history-" + options_.given.at("--seed") + "-" + std::to_string(name);
  }
  void failed(const Error& why) {
    if (why.code == Errc::conflict)
      chronicle_.refused();
    else
      chronicle_.failed(why.what);
  }

  // What fails before the commit has not happened, and has no place in the history: whoever reads it reads what was
  // never written.
  void write(std::uint64_t name, bool give_up, std::vector<Event>& mine) {
    const std::uint64_t version = chronicle_.new_version();
    auto writer = names_.write(call(), text(name));
    if (!writer) return failed(writer.error());
    const ImageId image = ImageId::fresh();
    if (auto put = put_all(*(*writer)->store(), image, version); !put) return failed(put.error());
    if (give_up) return;
    Event event{Event::Kind::write, number_, name, version, chronicle_.now(), never};
    auto done = (*writer)->commit(call(), image, spec_of(version), 8, sidecar_of(version));
    if (done) {
      event.ended = chronicle_.now();
      chronicle_.written();
    } else {
      failed(done.error());
    }
    mine.push_back(event);
  }

  Result<void> put_all(TileStore& store, const ImageId& image, std::uint64_t version) {
    const ImageSpec spec = spec_of(version);
    const Grid grid(spec);
    SMALTI_CHECK(store.open(call(), image, spec));
    std::vector<TilePut> puts;
    for (std::uint64_t n = 0; n < grid.tiles(); ++n)
      puts.push_back({nth(image, grid, n), pattern_tile(heap_, spec, nth({}, grid, n), version)});
    store.put(call(), puts);
    for (TilePut& each : puts)
      if (!each.put) return pass(std::move(each.put.error()));
    return store.sync(call(), image);
  }

  void erase(std::uint64_t name, std::vector<Event>& mine) {
    Event event{Event::Kind::erase, number_, name, 0, chronicle_.now(), never};
    auto done = names_.erase(call(), text(name));
    if (done)
      event.ended = chronicle_.now();
    else if (done.error().what.find("no image is named") != std::string::npos)
      return;  // which may be another's doing while this one asked: nothing is learned of any moment
    else
      failed(done.error());
    mine.push_back(event);
  }

  void read(std::uint64_t name, std::uint64_t linger, std::vector<Event>& mine) {
    Event event{Event::Kind::read, number_, name, 0, chronicle_.now(), never};
    auto opened = names_.open(call(), text(name));
    event.ended = chronicle_.now();
    if (!opened && opened.error().what.find("no image is named") == std::string::npos) return failed(opened.error());
    if (opened) {
      event.version = version_in(opened->sidecar);
      if (!whole(*opened, *event.version)) event.version.reset();
    }
    if (opened && event.version && linger > 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(linger));
      if (!whole(*opened, *event.version)) {
        chronicle_.wrong("version " + std::to_string(*event.version) + " changed while it was open");
        event.version.reset();
      }
    }
    mine.push_back(event);
  }

  // Every tile that can be had is of this version, and so is the rest.
  bool whole(const client::NamedImage& image, std::uint64_t version) {
    const ImageSpec spec = spec_of(version);
    if (image.record.spec != spec || image.sidecar != sidecar_of(version)) return false;
    const Grid grid(spec);
    if (image.written != std::vector<bool>(grid.tiles(), true)) return false;
    std::vector<TileGet> gets;
    for (std::uint64_t n = 0; n < grid.tiles(); ++n) gets.push_back({nth(image.record.image, grid, n)});
    image.store->get(call(), gets);
    bool well = true;
    for (std::uint64_t n = 0; n < gets.size(); ++n) {
      if (!gets[n].got)
        failed(gets[n].got.error());
      else if (!*gets[n].got)
        chronicle_.failed("a tile was absent");  // known to be written, and so no blank: an error
      else
        well = well && version_of(**gets[n].got, nth({}, grid, n)) == version;
    }
    return well;
  }

  const std::uint32_t number_;
  const HistoryOptions& options_;
  Chronicle& chronicle_;
  net::Loop loop_;
  TileHeap heap_;
  Log log_;
  client::Names names_;
};

}  // namespace

bool names_history(const HistoryOptions& options, const net::Psk& key, Chronicle& chronicle) {
  std::vector<std::unique_ptr<NameClient>> clients;
  for (std::uint32_t n = 0; n < options.number("--clients"); ++n)
    clients.push_back(std::make_unique<NameClient>(n + 1, options, key, chronicle));
  std::vector<std::jthread> threads;
  for (auto& client : clients)
    for (std::uint32_t n = 0; n < options.number("--threads"); ++n)
      threads.emplace_back([&client, n] { client->work(n); });
  threads.clear();
  for (auto& client : clients) client->look_at_all();
  return true;
}

}  // namespace smalti::test
