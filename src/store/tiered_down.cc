// How tiles go down: jobs, flights and landings; see tiered.h for the whole.
#include <algorithm>
#include <unordered_map>

#include "store/tiered.h"

namespace smalti {

namespace {
constexpr std::size_t batch_tiles = 32;
constexpr unsigned job_batches = 16;  // then the job queues up again, so that others get at the pool
}  // namespace

// Starts a job unless enough are running. When the pool's queue is full nothing is lost: whoever finds our own queue
// full, or waits for it to empty, does the work himself.
void TieredStore::kick() {
  if (behind_.idle_queue()) return;
  unsigned running = jobs_;
  do {
    if (running >= most_jobs_) return;
  } while (!jobs_.compare_exchange_weak(running, running + 1));
  const bool posted = background_.try_post([gate = gate_] {
    TieredStore* store = nullptr;
    {
      const std::lock_guard lock(gate->mutex);
      store = gate->store;
      if (!store) return;
      ++gate->inside;
    }
    store->work();
    const std::lock_guard lock(gate->mutex);
    if (--gate->inside == 0) gate->left.notify_all();
  });
  if (!posted) --jobs_;
}

void TieredStore::work() {
  for (unsigned i = 0; i < job_batches && !closing_.stop_requested(); ++i)
    if (!write_some()) break;
  --jobs_;
  if (!closing_.stop_requested()) kick();
}

// One batch; false when there was none.
bool TieredStore::write_some() {
  std::vector<Behind::Item> items = behind_.pop(batch_tiles);
  if (items.empty()) return false;
  std::vector<Flight> flights;
  for (Behind::Item& item : items) {
    Flight flight;
    if (take_off(item, flight))
      flights.push_back(std::move(flight));
    else
      behind_.resolved(*item.image);
  }
  ++batches_;
  fly(std::move(flights));
  return true;
}

bool TieredStore::take_off(Behind::Item& item, Flight& flight) {
  IndexShard& shard = index_.of(item.key);
  const std::lock_guard lock(shard.mutex);
  Entry* entry = item.image->dropped ? nullptr : shard.find(item.key);
  if (!entry || !entry->queued) return false;
  entry->queued = false;
  flight.key = item.key;
  flight.version = entry->version;
  if (entry->held) {
    flight.tile = entry->held->tile;
    flight.first = straight_;
  } else if (entry->sinking) {
    const auto home = static_cast<std::size_t>(entry->home);
    auto got = get_one(tier(home), Call(), item.key);
    if (!got || !*got) {
      set_sinking(*entry, false);
      return false;
    }
    flight.tile = std::move(**got);
    flight.first = home + 1;
    flight.sinks = true;
  } else if (entry->stale != 0) {
    flight.stale = entry->stale;
  } else {
    return false;
  }
  entry->flying = entry->version;
  flight.image = item.image;
  return true;
}

void TieredStore::fly(std::vector<Flight> flights) {
  std::vector<Flight*> todo, removals;
  for (Flight& flight : flights) (flight.tile ? todo : removals).push_back(&flight);
  for (std::size_t n = 0; n < tiers_.size() && !todo.empty(); ++n)
    if (straight(n))
      fly_straight(todo, n);
    else
      fly_batch(todo, n);
  for (Flight* flight : todo) {
    // Room may have come free above since the put.
    bool saved = false;
    if (!flight->sinks) {
      Reasons below = std::move(flight->reasons);
      flight->reasons.clear();
      for (std::size_t n = 0; n < straight_ && !saved; ++n) saved = land_straight(*flight, n);
      flight->reasons.insert(flight->reasons.end(), below.begin(), below.end());
    }
    if (!saved) crashed(*flight, exhausted(flight->tile.charge(), flight->reasons));
  }
  if (!removals.empty()) fly_removals(removals);
}

void TieredStore::fly_straight(std::vector<Flight*>& todo, std::size_t n) {
  std::erase_if(todo, [&](Flight* flight) { return flight->first <= n && land_straight(*flight, n); });
}

void TieredStore::fly_batch(std::vector<Flight*>& todo, std::size_t n) {
  const Call call{.stop = closing_.get_token()};
  std::vector<TilePut> puts;
  std::vector<Flight*> aboard;
  std::vector<Flight*> left;
  const TieredImage* unreached = nullptr;  // the image that the tier could not be opened for just now
  Error why;
  for (Flight* flight : todo) {
    const auto opened = flight->first > n                  ? Result<void>(fail(Errc::limit, "not asked"))
                        : flight->image.get() == unreached ? Result<void>(pass(why))
                                                           : ensure_open(call, flight->key, *flight->image, n);
    if (opened) {
      puts.push_back({flight->key, flight->tile});
      aboard.push_back(flight);
    } else if (opened.error().code == Errc::limit) {
      flight->reasons.push_back(opened.error());
      left.push_back(flight);
    } else {
      unreached = flight->image.get();
      why = opened.error();
      crashed(*flight, why);
    }
  }
  if (!puts.empty()) tier(n).put(call, puts);
  for (std::size_t i = 0; i < puts.size(); ++i) {
    if (puts[i].put) {
      landed(*aboard[i], n, *puts[i].put);
    } else if (puts[i].put.error().code == Errc::limit) {
      aboard[i]->reasons.push_back(puts[i].put.error());
      left.push_back(aboard[i]);
    } else {
      crashed(*aboard[i], puts[i].put.error());
    }
  }
  todo = std::move(left);
}

// What is not taken away for whatever reason only takes room: the index does not lead there.
void TieredStore::fly_removals(std::vector<Flight*>& removals) {
  const Call call{.stop = closing_.get_token()};
  for (std::size_t n = 0; n < tiers_.size(); ++n) {
    std::vector<TilePut> puts;
    for (const Flight* flight : removals)
      if (flight->stale >> n & 1u) puts.push_back({flight->key, {}});
    if (!puts.empty()) tier(n).put(call, puts);
  }
  for (Flight* flight : removals) removed(*flight);
}

// The entry that this flight took off from, no longer flying; null when it is gone.
Entry* TieredStore::arrive(IndexShard& shard, const Flight& flight) {
  Entry* entry = shard.find(flight.key);
  if (!entry || entry->flying != flight.version) return nullptr;
  entry->flying = 0;
  return entry;
}

void TieredStore::depart(IndexShard& shard, Flight& flight, Entry& entry) {
  send_down(flight.image, flight.key, entry);
  shard.erase_if_empty(flight.key);
}

// True when the flight is over: it has landed in a straight tier, or failed there for another reason than room.
bool TieredStore::land_straight(Flight& flight, std::size_t n) {
  const Result<void> placed = place_in_flight(flight, n);
  if (placed) {
    flight.tile = {};
    behind_.resolved(*flight.image);
  } else if (placed.error().code == Errc::limit) {
    flight.reasons.push_back(placed.error());
    return false;
  } else {
    crashed(flight, placed.error());
  }
  return true;
}

Result<void> TieredStore::place_in_flight(Flight& flight, std::size_t n) {
  Retired retired;
  IndexShard& shard = index_.of(flight.key);
  const std::lock_guard lock(shard.mutex);
  Entry* entry = shard.find(flight.key);
  if (flight.image->dropped || !entry || entry->flying != flight.version || entry->version != flight.version) {
    if (entry = arrive(shard, flight); entry) depart(shard, flight, *entry);  // overtaken: nothing to land
    return {};
  }
  SMALTI_TRY(const Generation at, place(Call(), *flight.image, flight.key, flight.tile, n));
  entry->flying = 0;
  const std::uint64_t version = entry->version;
  if (flight.sinks) ++sunk_;
  forget_places(flight.key, *entry, retired, static_cast<int>(n));
  entry->version = version;  // the same tile, elsewhere
  shard.move_in(flight.key, *entry, n);
  entry->home_at = at;
  depart(shard, flight, *entry);
  return {};
}

void TieredStore::landed(Flight& flight, std::size_t n, Generation at) {
  {
    Retired retired;
    IndexShard& shard = index_.of(flight.key);
    const std::lock_guard lock(shard.mutex);
    const auto bit = static_cast<std::uint8_t>(1u << n);
    if (Entry* entry = arrive(shard, flight)) {
      if (entry->version == flight.version) {
        const std::uint64_t version = entry->version;
        if (flight.sinks) ++sunk_;
        forget_places(flight.key, *entry, retired, static_cast<int>(n));
        entry->version = version;
        entry->home = static_cast<std::int8_t>(n);
        entry->home_at = at;
        entry->stale = static_cast<std::uint8_t>(entry->stale & ~bit);
      } else {
        entry->stale = static_cast<std::uint8_t>(entry->stale | bit);
      }
      depart(shard, flight, *entry);
    }
  }
  flight.tile = {};
  behind_.resolved(*flight.image);
}

void TieredStore::removed(Flight& flight) {
  {
    IndexShard& shard = index_.of(flight.key);
    const std::lock_guard lock(shard.mutex);
    if (Entry* entry = arrive(shard, flight)) {
      entry->stale = static_cast<std::uint8_t>(entry->stale & ~flight.stale);
      depart(shard, flight, *entry);
    }
  }
  behind_.resolved(*flight.image);
}

// A new tile that could not be stored is gone, and the image says so from now on (or, where somebody waits to hear it,
// only the put). One that was to sink stays where it is:
// that there is no room below is no error then, anything else is.
void TieredStore::crashed(Flight& flight, const Error& why) {
  {
    Retired retired;
    IndexShard& shard = index_.of(flight.key);
    const std::lock_guard lock(shard.mutex);
    if (Entry* entry = arrive(shard, flight)) {
      const bool current = entry->version == flight.version;
      if (flight.sinks && current) {
        set_sinking(*entry, false);
        if (why.code == Errc::limit)
          relief_pause_ = 1024;
        else
          flight.image->fail(why);
      } else if (current) {
        const std::uint64_t version = entry->version;
        forget_places(flight.key, *entry, retired, -1);
        entry->version = version;
        if (options_.through) {
          const std::lock_guard waiting(turned_away_mutex_);
          turned_away_.emplace(version, why);
        } else {
          entry->failed = true;
          flight.image->fail(why);
        }
      }
      depart(shard, flight, *entry);
    }
  }
  flight.tile = {};
  behind_.resolved(*flight.image);
}

}  // namespace smalti
