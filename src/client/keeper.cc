#include "client/keeper.h"

#include <fmt/format.h>

#include <algorithm>

#include "client/put_rounds.h"

namespace smalti::client {

namespace native = wire::native;

namespace {

constexpr std::chrono::milliseconds copy_tick{5}, busy_tick{25};
constexpr std::chrono::seconds idle_tick{1};
constexpr std::chrono::milliseconds first_pause{200}, longest_pause{2000};  // between attempts to meet a lost server
constexpr std::size_t most_damages = 256;                                   // beyond that the next reader tells again
constexpr std::size_t copied_together = 16;                                 // tiles
constexpr std::uint64_t bytes_together = 4u << 20;
constexpr std::chrono::milliseconds longest_reading{2000};
constexpr std::chrono::milliseconds copy_pause{500};  // where nobody has room
constexpr std::chrono::seconds full_for{1};           // one without room is passed over

std::string without_host(const std::string& what, const std::string& host) {
  return what.starts_with(host + ": ") ? what.substr(host.size() + 2) : what;
}

}  // namespace

Keeper::~Keeper() {
  thread_.request_stop();
  if (thread_.joinable()) thread_.join();
}

void Keeper::start() {
  const std::lock_guard lock(mutex_);
  if (thread_.joinable()) return;
  thread_ = std::jthread([this](std::stop_token stop) { run(std::move(stop)); });
}

void Keeper::mend(Damage damage) {
  {
    const std::lock_guard lock(mutex_);
    if (damages_.size() >= most_damages) return;
    damages_.push_back(std::move(damage));
  }
  fleet_.nudge();
}

void Keeper::note_fewer() {
  fleet_.nudge();
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(said_fewer_, true)) return;
  }
  log_.line(Level::warning, fmt::format("fewer servers than cache:replicas asks for: tiles have {} cop{} for now",
                                        fleet_.well_count(), fleet_.well_count() == 1 ? "y" : "ies"));
}

void Keeper::run(std::stop_token stop) {
  call_.stop = stop;
  bool busy = false, copying = false;
  while (!stop.stop_requested()) {
    for (const Incident& incident : fleet_.await_incidents(stop, copying ? copy_tick : busy ? busy_tick : idle_tick)) hear(incident);
    busy = false;
    for (std::uint32_t link = 0; link < fleet_.links(); ++link) busy = probe(link) || busy;
    busy = mend_some() || busy;
    waiting_ = false;
    copying = copy_some();
    busy = busy || waiting_;
  }
}

// "12 tiles of image 1234... have one copy left, copying them to b:6668"
std::string Keeper::damage_text() const {
  std::uint64_t fewer = 0, none = 0;
  std::uint32_t most = 1;
  std::vector<ImageId> images;
  for (const auto& [id, record] : images_.all()) {
    const auto tally = record->tally(well());
    if (tally.fewer + tally.none == 0) continue;
    images.push_back(id);
    fewer += tally.fewer;
    none += tally.none;
    most = std::max(most, record->replicas());
  }
  const std::string of =
      images.size() == 1 ? "image " + images[0].text() : fmt::format("{} images", images.size());
  std::string text;
  if (fewer > 0) {
    std::string to;
    std::uint32_t servers = 0;
    for (std::uint32_t i = 0; i < fleet_.size(); ++i) {
      if (!fleet_.well(i)) continue;
      if (++servers <= 3) to += fmt::format("{}{}", to.empty() ? "" : ", ", fleet_.name(i));
    }
    if (servers > 3) to += fmt::format(" and {} more", servers - 3);
    text += fmt::format("; {} tiles of {} have {} left", fewer, of, most == 2 ? "one copy" : "fewer copies");
    text += servers > 1 ? ", copying them to " + to : ", and no other server to copy them to";
  }
  if (none > 0) text += fmt::format("; {} tiles of {} have no copy left", none, of);
  return text;
}

void Keeper::hear(const Incident& incident) {
  const auto server = fleet_.member_of(incident.link);
  if (!server) return;
  if (incident.event.kind == LinkEvent::Kind::restarted)
    restarted(*server, incident.event.why);
  else if (!fleet_.well(*server) && !said_.contains(*server))
    lost(*server, incident.event.why);
}

void Keeper::lost(std::uint32_t server, const Error& why) {
  said_[server] = fleet_.epoch(server);
  missed();
  const std::string name = fleet_.name(server);
  log_.line(Level::warning, fmt::format("{} is lost ({}){}", name, without_host(why.what, name), damage_text()));
}

// It did not stay away for long enough to be missed.
void Keeper::restarted(std::uint32_t server, const Error&) {
  if (fleet_.link_of(server).identity().server != fleet_.member(server).id) {
    fleet_.member(server).well = false;  // another server answers there: to be met as what it is
    if (!said_.contains(server)) lost(server, {Errc::unavailable, "another server answers there now"});
    return;
  }
  bool mattered = false;
  for (const auto& [id, record] : images_.all()) {
    mattered = mattered || record->epoch(server) != 0 || record->may_be_short;
    record->restarted(server, fleet_.epoch(server));
  }
  missed();
  if (!mattered || said_.contains(server)) return;  // else said when it is back
  log_.line(Level::warning,
            fmt::format("{} was restarted, and what it held is gone{}", fleet_.name(server), damage_text()));
}

// What was given up by its callers has arrived, or never will.
bool Keeper::settled(Member& member) const {
  const std::lock_guard lock(member.mutex);
  std::erase_if(member.unsettled, [](const RequestPtr& request) { return request->over.load(); });
  return member.unsettled.empty();
}

// True while there is something to look after.
bool Keeper::probe(std::uint32_t number) {
  const auto server = fleet_.member_of(number);
  if (server && (fleet_.well(*server) || &fleet_.link_of(*server) != &fleet_.link(number))) {
    if (fleet_.well(*server)) probes_.erase(number);
    return false;
  }
  Probe& probe = probes_[number];
  if (!probe.ping) {
    if (Clock::now() < probe.next) return true;
    probe.ping = Fleet::request(call_, native::Ping{});
    fleet_.link(number).submit({probe.ping});
    return true;
  }
  if (!probe.ping->over) return true;
  if (probe.ping->failed) {
    probe.ping.reset();
    probe.pause = std::clamp<Clock::duration>(probe.pause * 2, first_pause, longest_pause);
    probe.next = Clock::now() + probe.pause;
    return true;
  }
  if (server && !settled(fleet_.member(*server))) return true;
  probes_.erase(number);
  back(fleet_.join(number));
  return true;
}

void Keeper::back(std::uint32_t server) {
  Member& member = fleet_.member(server);
  const std::uint64_t epoch = fleet_.epoch(server);
  for (const auto& [id, record] : images_.all()) record->restarted(server, epoch);
  missed();
  member.well = true;
  const auto said = said_.find(server);
  const bool missed = said != said_.end();
  const bool anew = missed && said->second != 0 && said->second != epoch;
  said_.erase(server);
  // One that was slow to answer at first is nothing to warn of.
  log_.line(missed ? Level::warning : Level::info, fmt::format("{} {}{}", fleet_.name(server), missed ? "is back" : "has joined",
                                        anew ? ", restarted: what it held is gone" : ""));
  clean(server);
}

// Takes away what was left there and must not be read: other copies were put, or removed, while it could not be told.
void Keeper::clean(std::uint32_t server) {
  Member& member = fleet_.member(server);
  std::vector<Errand> errands;
  std::vector<ImageId> dropped;
  {
    const std::lock_guard lock(member.mutex);
    dropped = std::exchange(member.to_drop, {});
  }
  for (const ImageId& image : dropped) errands.push_back({server, Fleet::request(call_, native::Drop{image}), {}});
  std::vector<TileKey> claimed;
  for (const auto& [id, record] : images_.all()) {
    if (record->existing) continue;  // its tiles are the same everywhere
    const std::uint64_t epoch = record->epoch(server);
    for (const std::uint64_t tile : record->take_owed(server)) {
      const TileKey key = record->key(tile);
      if (epoch == 0 || record->copies(key).on(server)) continue;
      if (claims_.try_take({&key, 1}).empty()) {
        record->owe(server, key);  // somebody is at it: at the next occasion
        continue;
      }
      claimed.push_back(key);
      if (record->copies(key).on(server)) continue;
      auto request = Fleet::request(call_, native::Put{{{key, {}, 0, 0}}});
      request->payloads.emplace_back();
      request->epoch = epoch;
      errands.push_back({server, std::move(request), {}});
    }
  }
  const auto cleaned = fleet_.carry_out(call_, errands);
  std::vector<RequestPtr> lingering;
  for (const Errand& errand : errands)
    if (!errand.request->over) lingering.push_back(errand.request);
  if (!cleaned) log_.line(Level::debug, cleaned.error().what);
  claims_.release_after(std::move(claimed), std::move(lingering));
}

// Puts right what another copy proved wrong. True when there was something.
bool Keeper::mend_some() {
  std::vector<Damage> damages;
  {
    const std::lock_guard lock(mutex_);
    damages = std::exchange(damages_, {});
    mending_ = !damages.empty();
  }
  for (const Damage& damage : damages) {
    const auto mine = claims_.try_take({&damage.key, 1});
    if (mine.empty()) continue;  // it is being put anew
    const Copies now = damage.record->copies(damage.key);
    std::vector<Errand> errands;
    if (now.generation == damage.generation && now.on(damage.server) && fleet_.well(damage.server)) {
      errands.push_back(copying(*damage.record, damage.key, damage.server, damage.tile));
    }
    const auto done = fleet_.carry_out(call_, errands);
    if (done && !errands.empty() && !fleet_.failure(errands[0]) && errands[0].request->puts[0]) {
      ++fleet_.link_of(damage.server).traffic().repaired_tiles;
      log_.line(Level::info, fmt::format("{}: tile {},{} of image {} was damaged there, and is put right",
                                         fleet_.name(damage.server), damage.key.col, damage.key.row,
                                         damage.key.image.text()));
    }
    std::vector<RequestPtr> lingering;
    for (const Errand& errand : errands) lingering.push_back(errand.request);
    claims_.release_after({damage.key}, std::move(lingering));
  }
  {
    const std::lock_guard lock(mutex_);
    mending_ = false;
  }
  told_.notify_all();
  return !damages.empty();
}

// One batch. True when there may be more.
bool Keeper::copy_some() {
  if (Clock::now() < no_copies_before_) return true;
  bool more = false;
  for (const auto& [id, record] : images_.all()) {
    const auto cursor = cursors_.find(id);
    if (record->existing && cursor == cursors_.end()) more = remember(*record) || more;
    if (cursor == cursors_.end() && !record->may_be_short.exchange(false)) continue;
    if (record->replicas() < 2 && !record->existing) continue;
    std::uint64_t from = cursor == cursors_.end() ? 0 : cursor->second;
    if (record->existing && cursor == cursors_.end()) {
      if (too_early(*record)) continue;
      open_again(*record);
    }
    more = copy_some(*record, from) || more;
    if (from < record->grid().tiles()) {
      cursors_[id] = from;
      more = true;
    } else {
      cursors_.erase(id);
      if (record->existing) looked_through(*record);
    }
    if (call_.stop.stop_requested()) return false;
  }
  std::erase_if(cursors_, [this](const auto& one) { return !images_.find(one.first); });
  if (!more && copied_ > 0) tell_copied();
  return more;
}

void Keeper::tell_copied() {
  const std::uint64_t copied = std::exchange(copied_, 0);
  ImageRecord::Tally sum;
  std::uint64_t images = 0;
  for (const auto& [id, record] : images_.all()) {
    const auto tally = record->tally(well());
    sum.fewer += tally.fewer;
    sum.none += tally.none;
    ++images;
  }
  if (images == 0 || sum.fewer + sum.none > 0) return;  // gone before it was done, or there are no servers to do it
  log_.line(Level::info, fmt::format("{} tiles were copied: each has enough copies again", copied));
}

// Looks at a part of an image's tiles, and copies some.
bool Keeper::copy_some(ImageRecord& record, std::uint64_t& from) {
  const std::uint64_t tile_bytes = std::max<std::uint64_t>(1, record.spec.tile.area() * record.spec.format.pixel_bytes());
  const std::size_t most = std::clamp<std::uint64_t>(bytes_together / tile_bytes, 1, copied_together);
  const std::uint32_t wanted = std::min(record.replicas(), fleet_.well_count());
  const auto tiles = record.short_of(wanted, well(), from, most);
  if (tiles.empty()) return false;
  std::vector<TileKey> keys, mine;
  for (const std::uint64_t tile : tiles) keys.push_back(record.key(tile));
  for (const std::size_t i : claims_.try_take(keys)) mine.push_back(keys[i]);
  std::vector<RequestPtr> lingering;
  const auto done = copy(record, mine, lingering);
  copied_ += done.size();
  if (record.existing) {
    const std::lock_guard lock(mutex_);
    if (const auto care = cares_.find(record.id); care != cares_.end()) care->second.copied += done.size();
  }
  if (done.size() < keys.size()) {
    record.may_be_short = true;
    if (done.empty()) no_copies_before_ = Clock::now() + copy_pause;
  }
  claims_.release_after(std::move(mine), std::move(lingering));
  return true;
}

// The next in order that is well, has not got it, and has room.
std::optional<std::uint32_t> Keeper::place_for(const ImageRecord& record, const TileKey& key) const {
  const Copies copies = record.copies(key);
  for (const std::uint32_t server : record.order(key, fleet_.size()))
    if (fleet_.well(server) && !copies.on(server) && fleet_.member(server).full_until.load() <= Clock::now() &&
        (record.ruled_by(server) || fleet_.member(server).listed))
      return server;
  return std::nullopt;
}

// The same, and the image is known there. One that cannot take it is passed over for a while.
std::optional<std::uint32_t> Keeper::opened_place_for(ImageRecord& record, const TileKey& key) {
  for (std::uint32_t tries = 0; tries < fleet_.size(); ++tries) {
    const auto server = place_for(record, key);
    if (!server) break;
    const auto opened = open_on(fleet_, call_, record, {*server}, true);
    if (opened.empty() || !opened[0].error) return server;
    if (call_.stop.stop_requested()) break;
    fleet_.member(*server).full_until = Clock::now() + full_for;
  }
  return std::nullopt;
}

Errand Keeper::copying(const ImageRecord& record, const TileKey& key, std::uint32_t server, const Tile& tile) const {
  const auto bytes = static_cast<std::uint32_t>(tile.charge());
  native::PutItem item{key, {}, tile.checksum(), bytes};
  if (record.existing) item.only_if = Generation::none;  // what is there, and sound, does not change
  auto request = Fleet::request(call_, native::Put{{item}});
  request->payloads.push_back(tile);
  request->weight = bytes;
  request->epoch = record.epoch(server);
  return {server, std::move(request), {}};
}

std::vector<TileKey> Keeper::copy(ImageRecord& record, std::span<const TileKey> keys,
                                  std::vector<RequestPtr>& lingering) {
  std::vector<TileGet> gets;
  std::vector<std::uint32_t> places;
  for (const TileKey& key : keys) {
    const auto server = opened_place_for(record, key);
    if (!server) continue;
    gets.push_back({key});
    places.push_back(*server);
  }
  const Call patient = call_.within(longest_reading);  // others may want to put what is claimed
  GetRounds reading(fleet_, images_, patient, gets, {});
  reading.run();
  std::vector<Errand> errands;
  std::vector<std::size_t> of;
  for (std::size_t i = 0; i < gets.size(); ++i) {
    if (!gets[i].got || !*gets[i].got) continue;
    errands.push_back(copying(record, gets[i].key, places[i], **gets[i].got));
    lingering.push_back(errands.back().request);
    of.push_back(i);
  }
  std::vector<TileKey> done;
  if (!fleet_.carry_out(call_, errands)) return done;
  for (std::size_t n = 0; n < errands.size(); ++n) {
    const std::uint32_t server = errands[n].server;
    const TileKey& key = gets[of[n]].key;
    const auto failed = fleet_.failure(errands[n]);
    if (!failed && errands[n].request->puts[0]) {
      for (const std::uint32_t old : record.copied(key, server, well())) record.owe(old, key);
      ++fleet_.link_of(server).traffic().copied_tiles;
      done.push_back(key);
    } else if (!failed && (errands[n].request->puts[0].error().code == Errc::limit || record.existing)) {
      fleet_.member(server).full_until = Clock::now() + full_for;
    } else {
      record.owe(server, key);
    }
  }
  return done;
}

}  // namespace smalti::client
