// Opening, putting, dropping; see tiered.h for the whole.
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

#include "store/tiered.h"

namespace smalti {

namespace {

constexpr std::uint64_t least_behind = 8u << 20;  // bytes: enough to keep a network busy
constexpr unsigned most_copy_rounds = 8;

std::uint64_t behind_bound(const TieredOptions& options) {
  if (!options.ledger) return options.behind_bytes;
  const std::uint64_t share = std::max(options.ledger->limit(Resource::memory) / 4, least_behind);
  return std::min(options.behind_bytes, share);
}

std::size_t count_straight(const std::vector<Tier>& tiers) {
  const auto waits = [](const Tier& tier) { return tier.store->traits().waits; };
  return static_cast<std::size_t>(std::find_if(tiers.begin(), tiers.end(), waits) - tiers.begin());
}

Traits traits_of(const std::vector<Tier>& tiers) {
  Traits sum{.durable = !tiers.empty()};
  for (const Tier& tier : tiers) {
    const Traits each = tier.store->traits();
    sum.waits |= each.waits;
    sum.durable &= each.durable;
    sum.shared |= each.shared;
    sum.heap |= each.heap;
  }
  sum.conditional = !sum.shared;  // what others put there, our generations say nothing of
  return sum;
}

}  // namespace

TieredStore::TieredStore(std::vector<Tier> tiers, Pool& background, TieredOptions options)
    : tiers_(std::move(tiers)),
      straight_(count_straight(tiers_)),
      options_(options),
      traits_(traits_of(tiers_)),
      background_(background),
      most_jobs_(static_cast<unsigned>(std::clamp<std::size_t>(background.threads(), 1, 4))),
      gate_(std::make_shared<Gate>()),
      behind_(behind_bound(options), options.ledger),
      used_(tiers_.size()) {
  gate_->store = this;
}

TieredStore::~TieredStore() {
  closing_.request_stop();
  std::unique_lock lock(gate_->mutex);
  gate_->store = nullptr;
  gate_->left.wait(lock, [this] { return gate_->inside == 0; });
}

void TieredStore::look_ahead(const ImageSpec& spec) {
  if (!options_.overflows || !options_.ledger) return;
  std::uint64_t left = spec.stored_bytes();
  for (const Resource each : {Resource::memory, Resource::map, Resource::disk})
    left -= std::min(left, options_.ledger->room(each));
  if (left > 0) std::call_once(overflow_told_, options_.overflows);
}

Result<void> TieredStore::open(const Call&, const ImageId& image, const ImageSpec& spec) {
  look_ahead(spec);
  return images_.open(image, spec, tiers_.size());
}

Result<void> TieredStore::ensure_open(const Call& call, const TileKey& key, TieredImage& image, std::size_t n) {
  TieredImage::Door& door = image.doors[n];
  const auto known = [&]() -> std::optional<Result<void>> {
    const auto state = door.state.load();
    if (state == TieredImage::Door::open) return Result<void>();
    if (state == TieredImage::Door::refused) return Result<void>(pass(door.why));
    return std::nullopt;
  };
  if (auto answer = known()) return std::move(*answer);
  if (call.reach == Reach::hot && !straight(n)) return fail(Errc::would_wait, "the tier is not open yet");
  const unsigned seen = door.failures;
  const std::lock_guard lock(door.mutex);
  if (auto answer = known()) return std::move(*answer);
  // A host that does not answer takes its time: one try is enough for all who wait for it, and for an image that has
  // lost tiles by it.
  if (door.failures != seen) return pass(door.why);
  if (door.failures != 0)
    if (const auto failed = image.failure()) return pass(*failed);
  auto opened = tier(n).open(call, key.image, image.spec);
  if (opened) {
    used_[n] = true;
    door.state = TieredImage::Door::open;
  } else if (opened.error().code == Errc::limit) {
    door.why = opened.error();
    door.state = TieredImage::Door::refused;
  } else {
    door.why = opened.error();
    ++door.failures;
  }
  return opened;
}

void TieredStore::put(const Call& call, std::span<TilePut> batch) {
  relieve();
  TieredImagePtr image;
  const ImageId* of = nullptr;
  for (TilePut& one : batch) {
    if (!of || *of != one.key.image) image = images_.find(one.key.image);
    of = &one.key.image;
    one.put = image ? put_tile(call, image, one) : Result<Generation>(not_open(one.key));
  }
  if (options_.through)
    for (TilePut& one : batch)
      if (one.put && one.tile) await_landing(call, one);
}

// Until the tile of this put has landed, was overtaken by another put, or found no place.
void TieredStore::await_landing(const Call& call, TilePut& put) {
  while (true) {
    const std::uint64_t seen = behind_.epoch();
    {
      IndexShard& shard = index_.of(put.key);
      const std::lock_guard lock(shard.mutex);
      const Entry* entry = shard.find(put.key);
      const bool current = entry && entry->version == static_cast<std::uint64_t>(*put.put);
      if (!current || !entry->held) break;
    }
    if (auto alive = call.alive(); !alive) {
      put.put = pass(std::move(alive.error()));
      return;
    }
    kick();
    if (!write_some()) behind_.await_change(seen);
  }
  const std::lock_guard lock(turned_away_mutex_);
  if (const auto found = turned_away_.find(static_cast<std::uint64_t>(*put.put)); found != turned_away_.end()) {
    put.put = pass(std::move(found->second));
    turned_away_.erase(found);
  }
}

Result<Generation> TieredStore::put_tile(const Call& call, const TieredImagePtr& image, TilePut& put) {
  std::unique_ptr<Passage> passage;
  for (unsigned rounds = 0;;) {
    Lacks lacks = Lacks::nothing;
    auto done = try_put(call, image, put, rounds >= most_copy_rounds, passage, lacks);
    if (lacks == Lacks::nothing) {
      kick();
      return done;
    }
    if (lacks == Lacks::room_of_copies) {
      rounds += drop_copies(put.tile.charge(), ~0u) == 0 ? most_copy_rounds : 1;
    } else {
      SMALTI_TRY(passage, enter(call, put.tile.charge()));
    }
  }
}

Result<Generation> TieredStore::try_put(const Call& call, const TieredImagePtr& image, const TilePut& put,
                                        bool copies_gone, std::unique_ptr<Passage>& passage, Lacks& lacks) {
  Retired retired;
  IndexShard& shard = index_.of(put.key);
  const std::lock_guard lock(shard.mutex);
  if (image->dropped) return not_open(put.key);
  if (const auto failed = image->failure()) return pass(*failed);
  Entry* old = shard.find(put.key);
  const bool present = old && (old->held || old->home >= 0);
  if (put.only_if && *put.only_if != (present ? Generation{old->version} : Generation::none))
    return fail(Errc::conflict, fmt::format("{} was changed by another writer", text(put.key)));
  if (!put.tile) {
    if (!old) return Generation::none;
    forget_places(put.key, *old, retired, -1);
    send_down(image, put.key, *old);
    shard.erase_if_empty(put.key);
    return Generation::none;
  }
  Reasons reasons;
  for (std::size_t n = 0; n < straight_; ++n) {
    const auto placed = place(call, *image, put.key, put.tile, n);
    if (placed) {
      Entry& entry = old ? *old : shard.make(put.key);
      settle(image, put.key, entry, n, *placed, retired);
      return Generation{entry.version};
    }
    if (placed.error().code != Errc::limit) return pass(placed.error());
    reasons.push_back(placed.error());
  }
  if (!copies_gone && straight_ > 0) {
    lacks = Lacks::room_of_copies;
    return Generation::none;
  }
  if (straight_ == tiers_.size()) return pass(exhausted(put.tile.charge(), reasons));
  if (options_.through && call.reach == Reach::hot) return fail(Errc::would_wait, "the tile goes to a tier that waits");
  if (!passage) {
    lacks = Lacks::passage;
    return Generation::none;
  }
  Entry& entry = old ? *old : shard.make(put.key);
  forget_places(put.key, entry, retired, -1);
  entry.held = std::make_unique<Held>(Held{put.tile, std::move(passage)});
  send_down(image, put.key, entry);
  return Generation{entry.version};
}

Result<Generation> TieredStore::place(const Call& call, TieredImage& image, const TileKey& key, const Tile& tile,
                                      std::size_t n) {
  SMALTI_CHECK(ensure_open(call, key, image, n));
  return put_one(this->tier(n), call, key, tile);
}

// The room is given back; should that fail, nobody sees the tile all the same, since the index does not lead there.
void TieredStore::take(const TileKey& key, std::size_t n) { (void)put_one(tier(n), Call(), key, {}); }

// The entry becomes a new, absent version: nothing of what it led to can be read any more. What straight tiers have is
// taken away at once (except in tier `except`, where it has been replaced), the rest is marked stale.
void TieredStore::forget_places(const TileKey& key, Entry& entry, Retired& retired, int except) {
  if (entry.held) {
    retired.tiles.push_back(std::move(entry.held->tile));
    retired.passage = std::move(entry.held->passage);
    entry.held.reset();
  }
  if (entry.copy >= 0 && entry.copy != except) take(key, static_cast<std::size_t>(entry.copy));
  if (entry.home >= 0 && entry.home != except) {
    const auto home = static_cast<std::size_t>(entry.home);
    if (straight(home))
      take(key, home);
    else
      entry.stale = static_cast<std::uint8_t>(entry.stale | 1u << home);
  }
  if (rests(entry)) index_.of(key).move_out(entry);
  entry.home = entry.copy = -1;
  entry.failed = false;
  set_sinking(entry, false);
  entry.version = ++clock_;
}

// The newest version stands in a straight tier.
void TieredStore::settle(const TieredImagePtr& image, const TileKey& key, Entry& entry, std::size_t n, Generation at,
                         Retired& retired) {
  forget_places(key, entry, retired, static_cast<int>(n));
  index_.of(key).move_in(key, entry, n);
  entry.home_at = at;
  send_down(image, key, entry);
}

void TieredStore::send_down(const TieredImagePtr& image, const TileKey& key, Entry& entry) {
  if (!entry.wants_down() || !entry.idle()) return;  // a flight that lands looks again
  entry.queued = true;
  behind_.push(key, image);
}

void TieredStore::set_sinking(Entry& entry, bool on) {
  if (entry.sinking == on) return;
  entry.sinking = on;
  sinking_ += on ? 1 : std::uint64_t(-1);
}

Error TieredStore::exhausted(std::uint64_t bytes, const Reasons& reasons) {
  std::string what = fmt::format("{}: no room for a tile of {} bytes", exhausted_opening, bytes);
  for (const Error& why : reasons) what += fmt::format("; {}", without_opening(why.what));
  return {Errc::limit, std::move(what)};
}

// Room among what is on its way. Whoever finds none writes a batch himself: so that it also moves on when every thread
// of the pool is busy, or waiting for just this.
Result<std::unique_ptr<Passage>> TieredStore::enter(const Call& call, std::uint64_t bytes) {
  while (true) {
    const std::uint64_t seen = behind_.epoch();
    if (auto passage = behind_.try_enter(bytes)) return passage;
    if (call.reach == Reach::hot) return fail(Errc::would_wait, "the queue of tiles going down is full");
    SMALTI_CHECK(call.alive());
    kick();
    if (!write_some()) behind_.await_change(seen);
  }
}

Result<void> TieredStore::drop(const Call& call, const ImageId& id) {
  const TieredImagePtr image = images_.drop(id);
  if (!image) return {};
  for (std::size_t n = 0; n < TierIndex::shards; ++n) {
    IndexShard::Cells dying;
    IndexShard& shard = index_.nth(n);
    const std::lock_guard lock(shard.mutex);
    const auto found = shard.images.find(id);
    if (found == shard.images.end()) continue;
    for (auto& [cell, entry] : found->second) {
      set_sinking(entry, false);
      if (rests(entry)) shard.move_out(entry);
    }
    dying.swap(found->second);
    shard.images.erase(found);
  }
  behind_.purge(*image);
  {
    const std::lock_guard lock(copies_mutex_);
    std::erase_if(copies_, [&](const TileKey& key) { return key.image == id; });
  }
  Result<void> done;
  while (image->busy != 0) {  // what flies at this moment must not land after the drop
    const std::uint64_t seen = behind_.epoch();
    if (auto alive = call.alive(); !alive) {
      done = std::move(alive);
      break;
    }
    if (image->busy != 0) behind_.await_change(seen);
  }
  for (std::size_t n = 0; n < tiers_.size(); ++n) {
    if (image->doors[n].state != TieredImage::Door::open) continue;
    auto dropped = tier(n).drop(call, id);
    if (!dropped && done) done = std::move(dropped);
  }
  relief_pause_ = 0;
  return done;
}

Result<void> TieredStore::sync(const Call& call, const std::optional<ImageId>& id) {
  const TieredImagePtr image = id ? images_.find(*id) : nullptr;
  if (id && !image) return {};
  const auto busy = [&] { return image ? image->busy.load() : behind_.busy(); };
  while (busy() != 0) {
    const std::uint64_t seen = behind_.epoch();
    SMALTI_CHECK(call.alive());
    kick();
    if (!write_some() && busy() != 0) behind_.await_change(seen);
  }
  std::optional<Error> failed;
  const auto collect = [&](TieredImage& each) {
    if (auto why = each.take_failure(); why && !failed) failed = std::move(why);
  };
  if (image)
    collect(*image);
  else
    for (const auto& [of, each] : images_.all()) collect(*each);
  for (std::size_t n = 0; n < tiers_.size(); ++n) {
    if (image ? image->doors[n].state != TieredImage::Door::open : !used_[n]) continue;
    const auto synced = tier(n).sync(call, id);
    if (!synced && !failed) failed = synced.error();
  }
  if (failed) return pass(std::move(*failed));
  return {};
}

void TieredStore::count(const std::function<void(const Count&)>& tell) const {
  for (const Tier& each : tiers_)
    each.store->count([&](Count count) {
      if (count.name.starts_with("tiers.")) count.name.insert(0, each.name + ".");  // a tiered store in a tiered store
      tell(count);
    });
  tell({"tiers.behind.tiles", behind_.busy()});
  tell({"tiers.behind.bytes", behind_.bytes()});
  tell({"tiers.behind.batches", batches_});
  tell({"tiers.risen", risen_});
  tell({"tiers.sunk", sunk_});
}

void TieredStore::use(const std::optional<ImageId>& image, const std::function<void(const TierUse&)>& tell) const {
  for (std::size_t n = 0; n < tiers_.size(); ++n) {
    if (!used_[n]) continue;
    tier(n).use(image, [&](TierUse use) {
      use.tier = tiers_[n].name;
      tell(use);
    });
  }
}

StorePtr tiered_store(std::vector<Tier> fastest_first, Pool& background, TieredOptions options) {
  return std::make_unique<TieredStore>(std::move(fastest_first), background, options);
}

}  // namespace smalti
