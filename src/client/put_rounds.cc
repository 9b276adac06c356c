#include "client/put_rounds.h"

#include <fmt/format.h>

#include <algorithm>

namespace smalti::client {

namespace native = wire::native;

namespace {

constexpr std::uint64_t request_bytes = 1u << 20;  // of payload; a single larger tile is a request of its own
constexpr std::chrono::seconds full_for{1};

bool contains(const std::vector<std::uint32_t>& all, std::uint32_t one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

}  // namespace

Errand& Batcher::room(std::uint32_t server, std::uint64_t bytes, const std::function<bool(const Request&)>& compatible,
                      const std::function<RequestPtr()>& make) {
  std::size_t& current = current_[server];
  if (current != 0) {
    Errand& open = errands_[current - 1];
    const bool fits = open.request->weight + bytes <= request_bytes && open.items.size() < native::most_items;
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

std::vector<Opening> open_on(Fleet& fleet, const Call& call, const ImageId& image, ImageRecord& record,
                             const std::vector<std::uint32_t>& servers) {
  std::vector<Errand> errands;
  for (const std::uint32_t server : servers)
    if (record.needs_opening(server, fleet.member(server).link->identity().epoch))
      errands.push_back({server, Fleet::request(call, native::Open{image, record.spec}), {}});
  const auto answered = fleet.carry_out(call, errands);
  std::vector<Opening> out;
  for (const Errand& errand : errands) {
    Opening& opening = out.emplace_back(Opening{errand.server, {}});
    if (!answered)
      opening.error = answered.error();
    else if (errand.request->failed)
      opening.error = errand.request->failed;
    else
      record.opened(errand.server, errand.request->answered_epoch);
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

PutRounds::PutRounds(Fleet& fleet, ImagesOf<ImageRecord>& images, const Call& call, std::span<TilePut> puts)
    : fleet_(fleet), images_(images), call_(call), puts_(puts) {}

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

void PutRounds::run() {
  for (std::size_t i = 0; i < puts_.size(); ++i) {
    auto record = check(puts_[i]);
    if (!record)
      puts_[i].put = pass(std::move(record.error()));
    else
      items_.push_back({i, std::move(*record), {}, {}, {}, false});
  }
  // Each round ends every item or has it try one more server.
  for (std::uint32_t round = 0; round <= fleet_.size() && !items_.empty(); ++round) {
    for (Item& item : items_) choose(item);
    open_where_needed();
    const auto sent = errands();
    const auto answered = fleet_.carry_out(call_, sent);
    for (const Errand& errand : sent) {
      if (answered)
        settle(errand);
      else
        for (const std::size_t i : errand.items) finish(items_[i], pass(answered.error()));
    }
    std::erase_if(items_, [](const Item& item) { return item.done; });
  }
  clean_up();
}

void PutRounds::choose(Item& item) {
  const TilePut& put = puts_[item.index];
  const auto usable = [&](std::uint32_t server) { return !contains(item.tried, server); };
  const auto roomy = [&](std::uint32_t server) {
    return usable(server) && fleet_.member(server).full_until.load() <= Clock::now();
  };
  const auto holder = item.record->holder(put.key);
  item.server.reset();
  if (!put.tile && !holder) {
    const bool met = !put.only_if || *put.only_if == Generation::none;
    return finish(item, met ? Result<Generation>(Generation::none)
                            : fail(Errc::conflict, "the tile is absent, and another generation was expected"));
  }
  // Where it is, it needs no room. What may only replace a certain generation cannot go elsewhere.
  if (holder && usable(*holder)) {
    item.server = holder;
    return;
  }
  const bool bound = put.only_if && *put.only_if != Generation::none;
  if (item.tried.empty() && (bound || roomy(item.record->home(put.key)))) {
    item.server = item.record->home(put.key);
    return;
  }
  if (!bound) {
    const auto order = item.record->order(put.key);
    auto next = std::find_if(order.begin(), order.end(), roomy);
    if (next == order.end()) next = std::find_if(order.begin(), order.end(), usable);
    if (next != order.end()) {
      item.server = *next;
      return;
    }
  }
  finish(item, fail(Errc::limit, fmt::format("cache resources exhausted: no server has room ({}); raise the servers' "
                                             "limits, or add servers to registry:cache:hosts", item.refusals)));
}

void PutRounds::open_where_needed() {
  struct Target {
    ImagesOf<ImageRecord>::Ptr record;
    ImageId image;
    std::vector<std::uint32_t> servers;
  };
  std::vector<Target> targets;
  for (const Item& item : items_) {
    if (item.done) continue;
    const auto epoch = fleet_.member(*item.server).link->identity().epoch;
    if (!item.record->needs_opening(*item.server, epoch)) continue;
    auto known = std::find_if(targets.begin(), targets.end(), [&](const Target& t) { return t.record == item.record; });
    if (known == targets.end())
      known = targets.insert(targets.end(), {item.record, puts_[item.index].key.image, {}});
    if (!contains(known->servers, *item.server)) known->servers.push_back(*item.server);
  }
  for (const Target& target : targets)
    for (const Opening& opening : open_on(fleet_, call_, target.image, *target.record, target.servers)) {
      if (!opening.error) continue;
      for (Item& item : items_)
        if (!item.done && item.record == target.record && item.server == opening.server)
          settle(item, opening.server, pass(*opening.error));
    }
}

std::vector<Errand> PutRounds::errands() {
  Batcher batcher(fleet_.size());
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const Item& item = items_[i];
    if (item.done || !item.server) continue;
    const TilePut& put = puts_[item.index];
    const std::uint64_t epoch = item.record->epoch(*item.server);
    const auto compatible = [&](const Request& r) { return r.epoch == epoch && r.repeatable == !put.only_if; };
    Errand& errand = batcher.room(*item.server, put.tile.charge(), compatible, [&] {
      auto made = Fleet::request(call_, native::Put{});
      made->epoch = epoch;
      made->repeatable = !put.only_if;
      return made;
    });
    const auto bytes = static_cast<std::uint32_t>(put.tile.charge());
    const std::uint64_t checksum = put.tile ? put.tile.checksum() : 0;
    std::get<native::Put>(errand.request->message).items.push_back({put.key, put.only_if, checksum, bytes});
    errand.request->payloads.push_back(put.tile);
    errand.items.push_back(i);
  }
  return batcher.take();
}

void PutRounds::settle(const Errand& errand) {
  for (std::size_t n = 0; n < errand.items.size(); ++n) {
    Item& item = items_[errand.items[n]];
    if (errand.request->failed)
      settle(item, errand.server, pass(*errand.request->failed));
    else
      settle(item, errand.server, std::move(errand.request->puts[n]));
  }
}

void PutRounds::settle(Item& item, std::uint32_t server, Result<Generation> answer) {
  const TilePut& put = puts_[item.index];
  const ImageId& image = put.key.image;
  if (!answer && answer.error().code == Errc::limit && put.tile) {
    fleet_.member(server).full_until = Clock::now() + full_for;
    item.tried.push_back(server);
    item.server.reset();
    if (!item.refusals.empty()) item.refusals += "; ";
    item.refusals += fmt::format("{}: {}", fleet_.name(server), answer.error().what);
    return;
  }
  if (!answer) {
    Error error = lost_image(std::move(answer.error()), image);
    if (error.code == Errc::invalid && !item.record->dropped)
      error = unknown_image(std::move(error), fleet_.name(server), image);
    return finish(item, pass(std::move(error)));
  }
  if (!put.tile) {
    item.record->removed(put.key, server);
    fleet_.member(server).full_until = Clock::time_point{};
  } else if (const auto before = item.record->placed(put.key, server); before && *before != server) {
    auto request = Fleet::request(call_, native::Put{{{put.key, {}, 0, 0}}});
    request->payloads.emplace_back();
    request->epoch = item.record->epoch(*before);
    leftovers_.push_back({*before, std::move(request), {}});
  }
  finish(item, std::move(answer));
}

void PutRounds::finish(Item& item, Result<Generation> result) {
  puts_[item.index].put = std::move(result);
  item.done = true;
}

// An old copy that cannot be taken away now is no harm: nobody looks there, and it goes with its image.
void PutRounds::clean_up() {
  const auto cleaned = fleet_.carry_out(call_, leftovers_);
  leftovers_.clear();
  if (!cleaned) return;
}

}  // namespace smalti::client
