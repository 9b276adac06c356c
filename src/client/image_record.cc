#include "client/image_record.h"

#include <algorithm>

namespace smalti::client {

namespace {

constexpr std::uint16_t gone_bit = 0x8000;

std::uint32_t server_of(std::uint16_t slot) noexcept { return (slot & ~gone_bit) - 1u; }
bool is_gone(std::uint16_t slot) noexcept { return (slot & gone_bit) != 0; }

}  // namespace

static_assert(most_servers < gone_bit);

bool Copies::on(std::uint32_t server) const noexcept {
  return std::any_of(begin(), end(), [&](const Copy& copy) { return copy.server == server && !copy.gone; });
}

ImageRecord::ImageRecord(const ImageSpec& of, const ImageId& image, Rule rule)
    : OpenImage(of), id(image), grid_(of), rule_(std::move(rule)) {}

TileKey ImageRecord::key(std::uint64_t tile) const noexcept {
  const std::uint64_t cols = grid_.cols();
  return {id, 0, static_cast<std::uint32_t>(tile % cols), static_cast<std::uint32_t>(tile / cols)};
}

bool ImageRecord::ruled_by(std::uint32_t server) const noexcept {
  return std::find(rule_.servers.begin(), rule_.servers.end(), server) != rule_.servers.end();
}

std::uint32_t ImageRecord::home(const TileKey& key) const noexcept {
  return rule_.servers[rule_.first ? *rule_.first : rule_.rendezvous.home(key)];
}

std::vector<std::uint32_t> ImageRecord::ruled(const TileKey& key) const {
  const auto servers = static_cast<std::uint32_t>(rule_.servers.size());
  auto out = rule_.first ? ring_order(*rule_.first, servers) : rule_.rendezvous.order(key);
  for (std::uint32_t& one : out) one = rule_.servers[one];
  return out;
}

std::vector<std::uint32_t> ImageRecord::order(const TileKey& key, std::uint32_t members) const {
  auto out = ruled(key);
  for (std::uint32_t other = 0; out.size() < members && other < members; ++other)
    if (std::find(rule_.servers.begin(), rule_.servers.end(), other) == rule_.servers.end()) out.push_back(other);
  return out;
}

std::vector<std::uint32_t> ImageRecord::expected_servers() const {
  if (!rule_.first) return rule_.servers;
  auto out = ruled(key(0));
  out.resize(std::min<std::size_t>(out.size(), rule_.replicas));
  return out;
}

Copies ImageRecord::copies_of(std::uint64_t tile) const {
  Copies out;
  if (slots_.empty()) return out;
  for (const Slot slot : slots(tile))
    if (slot != 0) out.all[out.count++] = {static_cast<std::uint16_t>(server_of(slot)), is_gone(slot)};
  out.generation = generations_[tile];
  return out;
}

Copies ImageRecord::copies(const TileKey& key) const {
  const std::lock_guard lock(mutex_);
  return copies_of(grid_.index(key));
}

void ImageRecord::begin() {
  if (!slots_.empty()) return;
  slots_.resize(grid_.tiles() * rule_.replicas);
  generations_.resize(grid_.tiles());
}

ImageRecord::Part& ImageRecord::part_of(std::uint32_t server) {
  if (parts_.size() <= server) parts_.resize(server + 1);
  return parts_[server];
}

void ImageRecord::count(std::uint64_t tile, std::uint32_t server, bool more) {
  const std::uint64_t bytes = grid_.rect(key(tile)).size.area() * spec.format.pixel_bytes();
  Part& part = part_of(server);
  part.tiles += more ? 1 : -std::uint64_t{1};
  part.bytes += more ? bytes : -bytes;
}

void ImageRecord::set(std::uint64_t tile, std::span<const std::uint32_t> servers) {
  const auto into = slots(tile);
  for (const Slot slot : into)
    if (slot != 0 && !is_gone(slot)) count(tile, server_of(slot), false);
  for (std::size_t i = 0; i < into.size(); ++i)
    into[i] = i < servers.size() ? static_cast<Slot>(servers[i] + 1) : Slot{0};
  for (std::size_t i = 0; i < std::min(into.size(), servers.size()); ++i) count(tile, servers[i], true);
}

Generation ImageRecord::placed(const TileKey& key, std::span<const std::uint32_t> servers,
                               std::vector<std::uint32_t>& replaced) {
  const std::lock_guard lock(mutex_);
  begin();
  const std::uint64_t tile = grid_.index(key);
  for (const Copies::Copy& copy : copies_of(tile))
    if (!copy.gone && std::find(servers.begin(), servers.end(), copy.server) == servers.end())
      replaced.push_back(copy.server);
  set(tile, servers);
  if (servers.size() < rule_.replicas) may_be_short = true;
  return Generation{++generations_[tile]};
}

std::vector<std::uint32_t> ImageRecord::copied(const TileKey& key, std::uint32_t server,
                                               const std::function<bool(std::uint32_t)>& well) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t tile = grid_.index(key);
  std::vector<std::uint32_t> servers, others;
  for (const Copies::Copy& copy : copies_of(tile))
    if (!copy.gone && copy.server != server) (well(copy.server) ? servers : others).push_back(copy.server);
  if (servers.size() < rule_.replicas) servers.push_back(server);
  while (servers.size() < rule_.replicas && !others.empty()) {
    servers.push_back(others.front());
    others.erase(others.begin());
  }
  set(tile, servers);
  return others;
}

void ImageRecord::removed(const TileKey& key) {
  const std::lock_guard lock(mutex_);
  if (slots_.empty()) return;
  set(grid_.index(key), {});
  ++generations_[grid_.index(key)];
}

std::vector<std::uint32_t> ImageRecord::narrowed(const TileKey& key) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t tile = grid_.index(key);
  std::vector<std::uint32_t> others;
  const Copies copies = copies_of(tile);
  std::optional<std::uint32_t> kept;
  for (const Copies::Copy& copy : copies) {
    if (copy.gone) continue;
    if (kept)
      others.push_back(copy.server);
    else
      kept = copy.server;
  }
  if (!others.empty()) {
    set(tile, std::array{*kept});
    may_be_short = true;
  }
  return others;
}

std::uint64_t ImageRecord::epoch(std::uint32_t server) const { return part(server).epoch; }

// Every slot that leads to it.
void ImageRecord::forget(std::uint32_t server) {
  const auto mine = static_cast<Slot>(server + 1);
  for (std::uint64_t tile = 0; tile * rule_.replicas < slots_.size(); ++tile) {
    const auto all = slots(tile);
    const auto found = std::find(all.begin(), all.end(), mine);
    if (found == all.end()) continue;
    count(tile, server, false);
    const bool other = std::any_of(all.begin(), all.end(), [&](Slot s) { return s != 0 && s != mine && !is_gone(s); });
    if (other) {
      std::rotate(found, found + 1, all.end());
      all.back() = 0;
    } else {
      *found = static_cast<Slot>(mine | gone_bit);
      lost_on_ = server;
    }
  }
  may_be_short = true;
}

void ImageRecord::opened(std::uint32_t server, std::uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  Part& part = part_of(server);
  if (part.epoch != 0 && part.epoch != epoch && part.tiles > 0 && !existing) forget(server);
  part_of(server).epoch = epoch;
}

void ImageRecord::restarted(std::uint32_t server, std::uint64_t epoch_now) {
  const std::lock_guard lock(mutex_);
  Part& part = part_of(server);
  if (part.epoch == 0 || part.epoch == epoch_now) return;
  if (part.tiles > 0 && !existing) forget(server);
  if (existing) may_be_short = true;
  part_of(server).epoch = 0;
  owed_.erase(server);
}

void ImageRecord::gone_from(std::uint32_t server) {
  const std::lock_guard lock(mutex_);
  if (part_of(server).tiles > 0) forget(server);
  part_of(server).epoch = 0;
}

bool ImageRecord::needs_opening(std::uint32_t server, std::uint64_t epoch_now) const {
  const Part now = part(server);
  return now.epoch == 0 || now.epoch != epoch_now;
}

std::vector<std::uint32_t> ImageRecord::opened_servers() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint32_t> out;
  for (std::uint32_t i = 0; i < parts_.size(); ++i)
    if (parts_[i].epoch != 0) out.push_back(i);
  return out;
}

std::optional<std::uint32_t> ImageRecord::lost_on() const {
  const std::lock_guard lock(mutex_);
  return lost_on_;
}

ImageRecord::Part ImageRecord::part(std::uint32_t server) const {
  const std::lock_guard lock(mutex_);
  return server < parts_.size() ? parts_[server] : Part{};
}

std::vector<std::uint64_t> ImageRecord::short_of(std::uint32_t wanted, const std::function<bool(std::uint32_t)>& well,
                                                 std::uint64_t& from, std::size_t most) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint64_t> out;
  const std::uint64_t tiles = slots_.empty() ? 0 : grid_.tiles();
  for (; from < tiles && out.size() < most; ++from) {
    std::uint32_t there = 0;
    for (const Copies::Copy& copy : copies_of(from)) there += !copy.gone && well(copy.server) ? 1 : 0;
    if (there > 0 && there < wanted) out.push_back(from);
  }
  if (from >= tiles) from = grid_.tiles();
  return out;
}

ImageRecord::Tally ImageRecord::tally(const std::function<bool(std::uint32_t)>& well) const {
  const std::lock_guard lock(mutex_);
  Tally out;
  for (std::uint64_t tile = 0; tile * rule_.replicas < slots_.size(); ++tile) {
    const Copies copies = copies_of(tile);
    if (copies.empty()) continue;
    const auto there =
        std::count_if(copies.begin(), copies.end(), [&](const auto& c) { return !c.gone && well(c.server); });
    if (there == 0) ++out.none;
    if (there > 0 && static_cast<std::uint32_t>(there) < rule_.replicas) ++out.fewer;
  }
  return out;
}

void ImageRecord::owe(std::uint32_t server, const TileKey& key) {
  const std::lock_guard lock(mutex_);
  owed_[server].push_back(grid_.index(key));
}

std::vector<std::uint64_t> ImageRecord::take_owed(std::uint32_t server) {
  const std::lock_guard lock(mutex_);
  const auto found = owed_.find(server);
  if (found == owed_.end()) return {};
  auto out = std::move(found->second);
  owed_.erase(found);
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

void ImageRecord::each_exception(
    const std::function<void(std::uint64_t, std::uint64_t, const Copies&)>& tell) const {
  const std::lock_guard lock(mutex_);
  const auto same = [](const Copies& a, const Copies& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](const auto& x, const auto& y) { return x.server == y.server && x.gone == y.gone; });
  };
  std::uint64_t first = 0, tiles = 0;
  Copies run;
  for (std::uint64_t tile = 0; tile < grid_.tiles(); ++tile) {
    const Copies here = copies_of(tile);
    const auto rule = ruled(key(tile));
    const std::size_t want = std::min<std::size_t>(rule.size(), rule_.replicas);
    const bool ruled_so = here.count == want && std::equal(here.begin(), here.end(), rule.begin(), [](auto& c, auto s) {
                            return c.server == s && !c.gone;
                          });
    if (tiles > 0 && !ruled_so && same(run, here)) {
      ++tiles;
      continue;
    }
    if (tiles > 0) tell(first, tiles, run);
    tiles = ruled_so ? 0 : 1;
    first = tile;
    run = here;
  }
  if (tiles > 0) tell(first, tiles, run);
}

void ImageRecord::restore_rule() {
  const std::lock_guard lock(mutex_);
  begin();
  for (std::uint64_t tile = 0; tile < grid_.tiles(); ++tile) {
    auto servers = ruled(key(tile));
    servers.resize(std::min<std::size_t>(servers.size(), rule_.replicas));
    set(tile, servers);
    generations_[tile] = 1;
  }
}

void ImageRecord::restore(std::uint64_t first, std::uint64_t tiles, std::span<const std::uint32_t> servers) {
  const std::lock_guard lock(mutex_);
  begin();
  for (std::uint64_t tile = first; tile < std::min(first + tiles, grid_.tiles()); ++tile) set(tile, servers);
}

}  // namespace smalti::client
