#include "client/put_rounds.h"

#include <fmt/format.h>

#include <algorithm>

#include "smalti/policy/limits.h"

namespace smalti::client {

namespace native = wire::native;

namespace {

constexpr std::chrono::seconds full_for{1};
// While another server could take a silent one's place, one looks up so often.
constexpr std::chrono::milliseconds look_every{20};

bool contains(const std::vector<std::uint32_t>& all, std::uint32_t one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

}  // namespace

Errand& Batcher::room(std::uint32_t server, std::uint64_t bytes, std::uint64_t most,
                      const std::function<bool(const Request&)>& compatible, const std::function<RequestPtr()>& make) {
  std::size_t& current = current_[server];
  if (current != 0) {
    Errand& open = errands_[current - 1];
    const bool fits = open.request->weight + bytes <= most && open.items.size() < native::most_items;
    if (fits && compatible(*open.request)) {
      open.request->weight += bytes;
      return open;
    }
  }
  errands_.push_back({server, make(), {}});
  errands_.back().request->weight = bytes;
  current = errands_.size();
  return errands_.back();
}

namespace {

std::vector<Opening> open_as(Fleet& fleet, const Call& call, ImageRecord& record, const std::vector<std::uint32_t>& servers,
                             bool existing) {
  std::vector<Errand> errands;
  const bool for_name = record.for_name || (record.existing && !existing);
  for (const std::uint32_t server : servers)
    if (record.needs_opening(server, fleet.epoch(server)))
      errands.push_back({server, Fleet::request(call, native::Open{record.id, record.spec, existing, for_name}), {}});
  const auto answered = fleet.carry_out(call, errands);
  std::vector<Opening> out;
  for (const Errand& errand : errands) {
    Opening& opening = out.emplace_back(Opening{errand.server, {}});
    if (!answered)
      opening.error = answered.error();
    else if (auto failed = fleet.failure(errand))
      opening.error = std::move(failed);
    else
      record.opened(errand.server, errand.request->answered_epoch);
  }
  return out;
}

}  // namespace

std::vector<Opening> open_on(Fleet& fleet, const Call& call, ImageRecord& record,
                             const std::vector<std::uint32_t>& servers, bool anew) {
  fleet.reach(call, servers);
  std::vector<Opening> out = open_as(fleet, call, record, servers, record.existing);
  if (!anew || !record.existing) return out;
  for (Opening& one : out) {
    if (!one.error || one.error->code != Errc::unavailable || !fleet.well(one.server)) continue;
    if (auto again = open_as(fleet, call, record, {one.server}, false); !again.empty()) one = std::move(again.front());
  }
  return out;
}

Error lost_image(Error error, const ImageId& image) {
  if (error.code == Errc::unavailable) error.what += fmt::format("; image {} is lost with it", image.text());
  return error;
}

Error unknown_image(Error error, const std::string& server, const ImageId& image) {
  return {Errc::unavailable, fmt::format("{}: the server has lost image {} ({})", server, image.text(), error.what)};
}

Error lost_for_good(const Fleet& fleet, const ImageRecord& record, std::uint32_t server) {
  return lost_image({Errc::unavailable, fmt::format("{}: the server restarted in the middle", fleet.name(server))},
                    record.id);
}

PutRounds::PutRounds(Fleet& fleet, ImagesOf<ImageRecord>& images, Claims& claims, const Call& call,
                     std::span<TilePut> puts)
    : fleet_(fleet), images_(images), claims_(claims), call_(call), puts_(puts) {}

Result<ImagesOf<ImageRecord>::Ptr> PutRounds::check(const TilePut& put) const {
  auto record = images_.find(put.key.image);
  if (!record) return not_open(put.key);
  if (!record->grid().has(put.key))
    return fail(Errc::invalid, fmt::format("image {} has no tile {},{} at level {}", put.key.image.text(), put.key.col,
                                           put.key.row, put.key.level));
  const Pixels pixels = put.tile.pixels();
  if (put.tile && (pixels.size != record->grid().rect(put.key).size || pixels.format != record->spec.format))
    return fail(Errc::invalid, fmt::format("tile {},{} of image {} has another size or format than its image",
                                           put.key.col, put.key.row, put.key.image.text()));
  return record;
}

// Two puts of one key, here or in two threads, come one after the other.
void PutRounds::run() {
  std::vector<std::size_t> left(puts_.size());
  for (std::size_t i = 0; i < left.size(); ++i) left[i] = i;
  while (!left.empty()) {
    std::vector<TileKey> keys;
    for (const std::size_t i : left) keys.push_back(puts_[i].key);
    auto mine = claims_.take(call_, keys);
    if (!mine) {
      for (const std::size_t i : left) puts_[i].put = pass(Error(mine.error()));
      return;
    }
    std::vector<TileKey> claimed;
    items_.clear();
    for (const std::size_t at : *mine) {
      const TilePut& put = puts_[left[at]];
      claimed.push_back(put.key);
      auto record = check(put);
      if (!record) {
        puts_[left[at]].put = pass(std::move(record.error()));
        continue;
      }
      Item& item = items_.emplace_back();
      item.index = left[at];
      item.record = std::move(*record);
    }
    run_claimed();
    std::vector<RequestPtr> lingering;
    for (const Errand& errand : errands_)
      if (errand.state == Errand::State::pending) lingering.push_back(errand.request);
    if (lingering.empty())
      claims_.release(claimed);
    else
      claims_.release_after(std::move(claimed), std::move(lingering));
    errands_.clear();
    for (auto at = mine->rbegin(); at != mine->rend(); ++at) left.erase(left.begin() + static_cast<std::ptrdiff_t>(*at));
  }
}

void PutRounds::run_claimed() {
  for (Item& item : items_) begin(item);
  const auto latch = fleet_.latch();
  while (true) {
    for (Item& item : items_)
      if (!item.done) choose(item);
    open_where_needed();
    auto more = errands();
    fleet_.send(more, latch);
    std::move(more.begin(), more.end(), std::back_inserter(errands_));
    if (std::all_of(items_.begin(), items_.end(), [](const Item& item) { return item.done; })) break;
    const auto until = alternatives_ ? Clock::now() + look_every : Clock::time_point::max();
    if (auto waited = latch->wait(call_, until); !waited) {
      give_up(waited.error());
      break;
    }
    collect();
    if (alternatives_) drop_silent();
  }
  clean_up();
}

// What needs no server is over at once.
void PutRounds::begin(Item& item) {
  const TilePut& put = puts_[item.index];
  item.before = item.record->copies(put.key);
  alternatives_ = alternatives_ || item.record->replicas() > 1;
  const auto now = item.before.empty() ? Generation::none : Generation{item.before.generation};
  if (put.only_if && *put.only_if != now)
    return finish(item, fail(Errc::conflict, fmt::format("tile {},{} of image {} was changed by another writer",
                                                         put.key.col, put.key.row, put.key.image.text())));
  if (!put.tile && item.before.empty()) return finish(item, Generation::none);
  if (!put.tile) return begin_removal(item);
  if (const auto server = item.record->lost_on())
    return finish(item, pass(lost_for_good(fleet_, *item.record, *server)));  // half an image is no image
  item.tile = put.tile.marked() ? put.tile : put.tile.marked_with(put.tile.checksum());
}

void PutRounds::begin_removal(Item& item) {
  for (const Copies::Copy& copy : item.before) {
    if (copy.gone) continue;
    if (fleet_.well(copy.server) || item.record->replicas() == 1)
      item.next.push_back(copy.server);
    else
      item.record->owe(copy.server, puts_[item.index].key);
  }
}

bool PutRounds::may_ask(const Item& item, std::uint32_t server) const {
  return !contains(item.tried, server) && !contains(item.stored, server) && !contains(item.pending, server) &&
         !contains(item.next, server);
}

// Where it is it needs no room, so those who have it come first. With one replica its holder, or its home, is asked
// however it is: whoever asks for no second copy wants to hear of it.
std::optional<std::uint32_t> PutRounds::next_server(const Item& item) const {
  const TileKey& key = puts_[item.index].key;
  const bool single = item.record->replicas() == 1;
  if (single && item.failed) return std::nullopt;
  std::optional<std::uint32_t> full, silent;
  const auto fits = [&](std::uint32_t server, bool has_it) {
    if (!may_ask(item, server)) return false;
    if (!has_it && !item.record->ruled_by(server) && !fleet_.member(server).listed) return false;
    if (!fleet_.well(server) && !(single && item.tried.empty())) {
      if (!silent) silent = server;
      return false;
    }
    if (has_it || fleet_.member(server).full_until.load() <= Clock::now()) return true;
    if (!full) full = server;
    return false;
  };
  for (const Copies::Copy& copy : item.before)
    if (!copy.gone && fits(copy.server, true)) return copy.server;
  if (const std::uint32_t home = item.record->home(key); item.tried.empty() && fits(home, false)) return home;
  for (const std::uint32_t server : item.record->order(key, fleet_.size()))
    if (fits(server, false)) return server;
  if (full) return full;
  // So that the error is of the servers it belongs to; nobody waits for all the others one by one.
  const bool nobody = item.stored.empty() && item.pending.empty() && item.next.empty();
  return nobody && item.tried.size() < item.record->replicas() ? silent : std::nullopt;
}

void PutRounds::choose(Item& item) {
  const TilePut& put = puts_[item.index];
  if (put.tile) {
    while (item.stored.size() + item.pending.size() + item.next.size() < item.record->replicas()) {
      const auto server = next_server(item);
      if (!server) break;
      item.next.push_back(*server);
    }
  }
  if (!item.next.empty() || !item.pending.empty()) return;
  if (put.tile)
    conclude(item);
  else
    conclude_removal(item);
}

void PutRounds::open_where_needed() {
  struct Target {
    ImagesOf<ImageRecord>::Ptr record;
    std::vector<std::uint32_t> servers;
  };
  std::vector<Target> targets;
  for (const Item& item : items_) {
    for (const std::uint32_t server : item.next) {
      const std::uint64_t now = fleet_.epoch(server);
      item.record->restarted(server, now);
      if (!puts_[item.index].tile || !item.record->needs_opening(server, now)) continue;
      auto known =
          std::find_if(targets.begin(), targets.end(), [&](const Target& t) { return t.record == item.record; });
      if (known == targets.end()) known = targets.insert(targets.end(), {item.record, {}});
      if (!contains(known->servers, server)) known->servers.push_back(server);
    }
  }
  for (const Target& target : targets)
    for (const Opening& opening : open_on(fleet_, call_, *target.record, target.servers)) {
      if (!opening.error) continue;
      for (Item& item : items_)
        if (item.record == target.record && std::erase(item.next, opening.server) > 0)
          settle(item, opening.server, pass(*opening.error));
    }
}

std::vector<Errand> PutRounds::errands() {
  Batcher batcher(fleet_.size());
  for (std::size_t i = 0; i < items_.size(); ++i) {
    Item& item = items_[i];
    const TilePut& put = puts_[item.index];
    for (const std::uint32_t server : std::exchange(item.next, {})) {
      const std::uint64_t epoch = item.record->epoch(server);
      const auto compatible = [&](const Request& r) { return r.epoch == epoch; };
      Errand& errand = batcher.room(server, item.tile.charge(), fleet_.link_of(server).request_bytes(), compatible, [&] {
        auto made = Fleet::request(call_, native::Put{});
        made->epoch = epoch;
        return made;
      });
      const auto bytes = static_cast<std::uint32_t>(item.tile.charge());
      const std::uint64_t checksum = item.tile ? item.tile.checksum() : 0;
      std::get<native::Put>(errand.request->message).items.push_back({put.key, {}, checksum, bytes});
      errand.request->payloads.push_back(item.tile);
      errand.items.push_back(i);
      item.pending.push_back(server);
    }
  }
  return batcher.take();
}

void PutRounds::collect() {
  for (Errand& errand : errands_) {
    if (errand.state != Errand::State::pending || !errand.request->over) continue;
    errand.state = Errand::State::over;
    for (std::size_t n = 0; n < errand.items.size(); ++n) settle(errand, n);
  }
}

// Whether a server that keeps silent can be done without for this tile.
bool PutRounds::dispensable(const Item& item, std::uint32_t server) const {
  if (item.done || !contains(item.pending, server)) return true;
  if (item.record->replicas() == 1) return false;
  if (!item.stored.empty() || !item.tile) return true;
  for (const std::uint32_t other : item.pending)
    if (other != server && fleet_.well(other)) return true;
  const auto next = next_server(item);
  return next && fleet_.well(*next);
}

// A server may also answer pings and never the put.
void PutRounds::drop_silent() {
  for (Errand& errand : errands_) {
    if (errand.state != Errand::State::pending) continue;
    const bool overdue = Clock::now() - errand.sent > fleet_.longest_answer();
    if (fleet_.well(errand.server) && !overdue) continue;
    const auto can_do_without = [&](std::size_t i) { return dispensable(items_[i], errand.server); };
    if (overdue && !std::all_of(errand.items.begin(), errand.items.end(), can_do_without)) continue;
    if (overdue && fleet_.well(errand.server)) fleet_.lose(errand.server, "an answer is overdue");
    bool needed = false;
    for (const std::size_t i : errand.items) {
      Item& item = items_[i];
      if (!dispensable(item, errand.server)) {
        needed = true;
        continue;
      }
      if (std::erase(item.pending, errand.server) == 0) continue;
      item.tried.push_back(errand.server);
      item.record->owe(errand.server, puts_[item.index].key);
    }
    if (!needed) fleet_.give_up(errand);
  }
}

void PutRounds::settle(const Errand& errand, std::size_t n) {
  Item& item = items_[errand.items[n]];
  if (std::erase(item.pending, errand.server) == 0) return;  // done without
  if (errand.request->failed)
    settle(item, errand.server, pass(*errand.request->failed));
  else
    settle(item, errand.server, std::move(errand.request->puts[n]));
}

void PutRounds::settle(Item& item, std::uint32_t server, Result<Generation> answer) {
  const TilePut& put = puts_[item.index];
  if (answer) {
    item.stored.push_back(server);
    if (!put.tile) fleet_.member(server).full_until = Clock::time_point{};
    return;
  }
  Error error = lost_image(std::move(answer.error()), put.key.image);
  if (error.code == Errc::corrupt && !std::exchange(item.damaged_once, true)) return;  // on the way: once more
  item.tried.push_back(server);
  item.record->restarted(server, fleet_.epoch(server));
  if (error.code == Errc::limit && put.tile) {
    fleet_.member(server).full_until = Clock::now() + full_for;
    if (!item.refusals.empty()) item.refusals += "; ";
    item.refusals += fmt::format("{}: {}", fleet_.name(server), without_opening(error.what));
    return;
  }
  if (error.code == Errc::invalid && !item.record->dropped)
    error = unknown_image(std::move(error), fleet_.name(server), put.key.image);
  item.failed = std::move(error);
  if (item.record->replicas() > 1) item.record->owe(server, put.key);  // it may have arrived all the same
}

// Nobody is left to be asked.
void PutRounds::conclude(Item& item) {
  if (item.stored.empty()) return refuse(item);
  const bool all_there = fleet_.well_count() == fleet_.size();
  const bool replaced = !item.before.empty();
  if (item.stored.size() < item.record->replicas() && !item.refusals.empty() && all_there && !replaced) {
    take_away(item, item.stored);
    return refuse(item);
  }
  store(item);
}

void PutRounds::store(Item& item) {
  const TileKey& key = puts_[item.index].key;
  std::vector<std::uint32_t> order, replaced;
  if (item.stored.size() == 1) order = item.stored;
  for (const std::uint32_t server : order.empty() ? item.record->order(key, fleet_.size()) : order)
    if (order.size() < item.stored.size() && contains(item.stored, server)) order.push_back(server);
  fewer_ = fewer_ || order.size() < item.record->replicas();
  const Generation now = item.record->placed(key, order, replaced);
  take_away(item, replaced);
  finish(item, now);
}

void PutRounds::refuse(Item& item) {
  if (item.refusals.empty() && item.failed) return finish(item, pass(std::move(*item.failed)));
  if (item.failed) item.refusals += "; " + item.failed->what;
  finish(item, fail(Errc::limit, fmt::format("{}: no server has room ({}); raise the servers' limits, or add servers to "
                                             "registry:cache:hosts", exhausted_opening, item.refusals)));
}

// Nobody looks where it was any more, so it is gone even if some could not be told.
void PutRounds::conclude_removal(Item& item) {
  const bool told = !item.stored.empty() || item.record->replicas() > 1;
  if (!told && item.failed) return finish(item, pass(std::move(*item.failed)));
  item.record->removed(puts_[item.index].key);
  finish(item, Generation::none);
}

void PutRounds::finish(Item& item, Result<Generation> result) {
  puts_[item.index].put = std::move(result);
  item.next.clear();
  item.done = true;
}

// The caller does not wait any longer. Each tile is one thing all the same: what was put where that is known, else one of
// the copies it had.
void PutRounds::give_up(const Error& why) {
  for (Errand& errand : errands_)
    if (errand.state == Errand::State::pending) errand.request->abandoned = true;
  for (Item& item : items_) {
    if (item.done) continue;
    const TileKey& key = puts_[item.index].key;
    if (puts_[item.index].tile && !item.stored.empty()) {
      store(item);
    } else if (item.pending.size() + item.stored.size() > 0) {
      for (const std::uint32_t server : item.record->narrowed(key)) item.record->owe(server, key);
    }
    finish(item, pass(Error(why)));
  }
}

// Copies that are not to be read any more: now, or when their server is back.
void PutRounds::take_away(const Item& item, const std::vector<std::uint32_t>& servers) {
  const TileKey& key = puts_[item.index].key;
  for (const std::uint32_t server : servers) {
    if (!fleet_.well(server) && item.record->replicas() > 1) {
      item.record->owe(server, key);
      continue;
    }
    auto request = Fleet::request(call_, native::Put{{{key, {}, 0, 0}}});
    request->payloads.emplace_back();
    request->epoch = item.record->epoch(server);
    leftovers_.push_back({server, std::move(request), {}});
  }
}

// An old copy that cannot be taken away now is no harm: nobody looks there, and it goes with its image.
void PutRounds::clean_up() {
  if (leftovers_.empty()) return;
  const auto cleaned = fleet_.carry_out(call_, leftovers_);
  if (!cleaned)
    for (Errand& errand : leftovers_)
      if (!errand.request->over) errands_.push_back(std::move(errand));  // claimed until it is over
  leftovers_.clear();
}

}  // namespace smalti::client
