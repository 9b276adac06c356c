#include "client/get_rounds.h"

#include <fmt/format.h>

#include <algorithm>

namespace smalti::client {

namespace native = wire::native;

namespace {

// While another server could answer, too, one looks up so often.
constexpr std::chrono::milliseconds look_every{20};
// After such a silence another server is asked as well; or after so long, whatever the server says meanwhile.
constexpr std::chrono::milliseconds shortest_hedge{60}, longest_hedge{300}, slow_answer{1500};
constexpr unsigned times_usual = 2;

bool contains(const std::vector<std::uint32_t>& all, std::uint32_t one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

// Readers of whole images, whose tiles all have the same first server, are spread over the copies.
std::uint32_t turn_of(const TileKey& key) noexcept { return key.col / super_tile_side + key.row / super_tile_side; }

}  // namespace

void GetRounds::begin() {
  for (std::size_t i = 0; i < gets_.size(); ++i) {
    TileGet& get = gets_[i];
    get.got = std::optional<Tile>();
    auto record = images_.find(get.key.image);
    if (!record || !record->grid().has(get.key) || record->copies(get.key).empty()) continue;
    Item item;
    item.index = i;
    item.size = record->grid().rect(get.key).size;
    item.bytes = item.size.area() * record->spec.format.pixel_bytes();
    alternatives_ = alternatives_ || record->replicas() > 1;
    item.record = std::move(record);
    items_.push_back(std::move(item));
  }
  left_ = items_.size();
}

void GetRounds::run() {
  begin();
  const auto latch = fleet_.latch();
  while (left_ > 0) {
    const std::size_t before = errands_.size();
    launch();
    fleet_.send(std::span(errands_).subspan(before), latch);
    if (left_ == 0) break;
    const auto until = alternatives_ ? Clock::now() + look_every : Clock::time_point::max();
    if (auto waited = latch->wait(call_, until); !waited) {
      for (Item& item : items_)
        if (!item.done) finish(item, pass(Error(waited.error())));
      break;
    }
    collect();
  }
  abandon();
}

// Whom to ask next; none: nobody is left.
std::optional<std::uint32_t> GetRounds::choose(Item& item, bool hedge) const {
  const TileKey& key = gets_[item.index].key;
  const Copies copies = item.record->copies(key);
  item.generation = copies.generation;
  const std::uint32_t from = item.record->rule().first ? turn_of(key) : 0;
  std::optional<std::uint32_t> last_resort;
  for (std::uint32_t i = 0; i < copies.count; ++i) {
    const auto& copy = copies.all[(from + i) % copies.count];
    if (copy.gone || contains(item.tried, copy.server)) continue;
    if (fleet_.well(copy.server)) return copy.server;
    if (!last_resort) last_resort = copy.server;
  }
  return hedge ? std::nullopt : last_resort;
}

void GetRounds::ask(Batcher& batcher, std::size_t n, std::uint32_t server) {
  Item& item = items_[n];
  const std::uint64_t epoch = item.record->epoch(server);
  const PixelFormat format = item.record->spec.format;
  const auto compatible = [&](const Request& r) { return r.epoch == epoch && r.format == format; };
  Errand& errand = batcher.room(server, item.bytes, fleet_.link_of(server).request_bytes(), compatible, [&] {
    auto made = Fleet::request(call_, native::Get{});
    made->epoch = epoch;
    made->format = format;
    return made;
  });
  std::get<native::Get>(errand.request->message).keys.push_back(gets_[item.index].key);
  errand.request->expected.push_back(item.size);
  errand.items.push_back(n);
  item.tried.push_back(server);
  ++item.pending;
}

bool GetRounds::launch() {
  Batcher batcher(fleet_.met() ? fleet_.size() : 0);
  for (std::size_t n = 0; n < items_.size(); ++n) {
    Item& item = items_[n];
    if (item.done || item.pending > 0) continue;
    if (const auto server = choose(item, false))
      ask(batcher, n, *server);
    else
      conclude(item);
  }
  if (alternatives_) hedge(batcher);
  auto more = batcher.take();
  const bool any = !more.empty();
  std::move(more.begin(), more.end(), std::back_inserter(errands_));
  return any;
}

// What a server owes for so long that another may be quicker.
void GetRounds::hedge(Batcher& batcher) {
  const auto now = Clock::now();
  for (Errand& errand : errands_) {
    if (errand.state != Errand::State::pending || errand.hedged) continue;
    const Link& link = fleet_.link_of(errand.server);
    const auto delay =
        std::clamp<Clock::duration>(link.usual_silence() * times_usual, shortest_hedge, longest_hedge);
    const auto age = now - errand.sent;
    const bool due = age > slow_answer || (age > delay && link.silence() > delay) || !fleet_.well(errand.server);
    if (!due) continue;
    errand.hedged = true;
    for (const std::size_t n : errand.items) {
      Item& item = items_[n];
      if (item.done || item.pending > 1) continue;
      if (const auto server = choose(item, true)) ask(batcher, n, *server);
    }
  }
}

void GetRounds::collect() {
  for (Errand& errand : errands_) {
    if (errand.state != Errand::State::pending || !errand.request->over) continue;
    errand.state = Errand::State::over;
    settle(errand);
  }
}

void GetRounds::settle(Errand& errand) {
  for (std::size_t n = 0; n < errand.items.size(); ++n) {
    Item& item = items_[errand.items[n]];
    --item.pending;
    if (!item.done) settle(item, errand.server, errand, n);
  }
}

// What came, verified; what ought to have come and did not is an error, if nobody else has it.
void GetRounds::settle(Item& item, std::uint32_t server, const Errand& errand, std::size_t n) {
  const TileKey& key = gets_[item.index].key;
  if (errand.request->failed) {
    item.failed = lost_image(*errand.request->failed, key.image);
    item.record->restarted(server, fleet_.epoch(server));
    return;
  }
  Arrived& arrived = errand.request->gets[n];
  if (!arrived.got) {
    item.failed = std::move(arrived.got.error());
    if (item.failed->code == Errc::invalid) *item.failed = unknown_image(*item.failed, fleet_.name(server), key.image);
    if (item.failed->code == Errc::corrupt) item.bad.push_back(server);
    return;
  }
  if (!*arrived.got) {
    if (!item.record->copies(key).on(server)) return;  // it has moved on
    item.failed = Error{Errc::unavailable, fmt::format("{}: the server has lost tile {},{} of image {}",
                                                       fleet_.name(server), key.col, key.row, key.image.text())};
    item.bad.push_back(server);
    return;
  }
  const Tile& tile = **arrived.got;
  if (!arrived.verified && tile.computed_checksum() != tile.checksum()) {
    item.failed = Error{Errc::corrupt, fmt::format("{}: tile {},{} of image {} arrived damaged", fleet_.name(server),
                                                   key.col, key.row, key.image.text())};
    item.bad.push_back(server);
    return;
  }
  if (damaged_)
    for (const std::uint32_t bad : item.bad) damaged_({item.record, key, bad, item.generation, tile});
  finish(item, std::move(arrived.got));
}

// Everybody was asked who has it.
void GetRounds::conclude(Item& item) {
  const TileKey& key = gets_[item.index].key;
  const Copies copies = item.record->copies(key);
  if (copies.empty()) return finish(item, std::optional<Tile>());  // taken away meanwhile
  if (!item.failed) {
    const std::uint32_t server = copies.all[0].server;
    item.failed = lost_image({Errc::unavailable, fmt::format("{}: the server restarted in the middle", fleet_.name(server))},
                             key.image);
  }
  finish(item, pass(std::move(*item.failed)));
}

void GetRounds::finish(Item& item, Result<std::optional<Tile>> got) {
  gets_[item.index].got = std::move(got);
  item.done = true;
  --left_;
}

void GetRounds::abandon() {
  for (Errand& errand : errands_)
    if (errand.state == Errand::State::pending) fleet_.give_up(errand);
}

}  // namespace smalti::client
