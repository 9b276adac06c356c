#include <utility>

#include "cache/core.h"

namespace smalti {

using cache::Ask;

namespace {

constexpr std::size_t tiles_a_job = 16;  // small enough for several jobs to fetch a row of tiles side by side
constexpr std::chrono::seconds longest_fetch{60};

}  // namespace

namespace cache {

bool Gate::enter() {
  const std::lock_guard lock(mutex_);
  inside_ += !closed_;
  return !closed_;
}

void Gate::leave() {
  const std::lock_guard lock(mutex_);
  if (--inside_ == 0) empty_.notify_all();
}

void Gate::close() {
  std::unique_lock lock(mutex_);
  closed_ = true;
  empty_.wait(lock, [this] { return inside_ == 0; });
}

}  // namespace cache

void PixelCache::Core::fetch_ahead(const Grid::Span& span, Hint hint) {
  if (span.empty()) return;
  // No more than may be kept: the rest would push out what is in use.
  std::uint64_t room = std::max<std::uint64_t>(1, set.guess_share() / full_tile_bytes());
  std::vector<std::uint64_t> job;
  const auto post = [&] { post_ahead(std::exchange(job, {}), hint); };
  for (std::uint32_t row = span.row0; row < span.row1; ++row) {
    for (std::uint32_t col = span.col0; col < span.col1 && room != 0; ++col, --room) {
      job.push_back(std::uint64_t{row} * grid.cols() + col);
      if (job.size() == tiles_a_job) post();
    }
  }
  post();
}

// A job that waits in the queue keeps nothing alive: the cache may be gone by its turn. False: there is no
// room for it.
bool PixelCache::Core::post_ahead(std::vector<std::uint64_t> indices, Hint hint) {
  if (indices.empty()) return true;
  return parts.ahead.try_post([weak = weak_from_this(), indices = std::move(indices), hint] {
    if (const auto core = weak.lock()) core->run_ahead(indices, hint);
  });
}

void PixelCache::Core::plan(Rect rect, Pace pace) {
  if (rect.empty()) return window.end_plan();
  const Grid::Span span = grid.span(rect);
  std::vector<std::uint64_t> indices;
  for (std::uint32_t row = span.row0; row < span.row1; ++row)
    for (std::uint32_t col = span.col0; col < span.col1; ++col)
      if (const std::uint64_t index = std::uint64_t{row} * grid.cols() + col; is_written(index))
        indices.push_back(index);
  window.tell(indices, pace);
  fetch_due(0);
}

void PixelCache::Core::fetch_due(std::size_t done) {
  const std::vector<std::uint64_t> due = window.due(done, full_tile_bytes());
  for (std::size_t i = 0; i < due.size(); i += tiles_a_job) {
    const auto from = due.begin() + static_cast<std::ptrdiff_t>(i);
    const auto to = due.begin() + static_cast<std::ptrdiff_t>(std::min(i + tiles_a_job, due.size()));
    // What cannot be posted is fetched when it is read.
    if (!post_ahead({from, to}, Hint::planned)) window.give_up(static_cast<std::size_t>(to - from));
  }
}

// After leave() the cache may be closed at any moment, and nothing of ours but the memory of this object
// remains.
void PixelCache::Core::run_ahead(const std::vector<std::uint64_t>& indices, Hint hint) {
  if (!gate_.enter()) return;
  const Call call = Call{.stop = closing_.get_token()}.within(longest_fetch);
  // A job may come to its turn when readers have overtaken it, and what it would fetch was used and let go
  // already.
  const auto wanted = [this, hint](std::uint64_t index) {
    const TileKey tile = key(index);
    return hint != Hint::guessed || !order.reached(tile.col, tile.row);
  };
  std::vector<TileGet> probes;
  for (const std::uint64_t index : indices)
    if (is_written(index) && !drafts.find(index) && wanted(index)) probes.push_back({key(index)});
  // What the store answers at once needs no fetching.
  parts.store->get(call.hot(), probes);
  std::vector<Ask> asks;
  for (const TileGet& probe : probes) {
    const std::uint64_t index = grid.index(probe.key);
    if (!probe.got && probe.got.error().code == Errc::would_wait)
      asks.push_back({.index = index, .bytes = tile_bytes(index)});
  }
  if (hint == Hint::planned) {
    window.claim_due(asks);
    fetch_due(indices.size());
  } else {
    window.claim_ahead(asks, wanted);
  }
  for (const Ask& ask : asks) counts.ahead_got += ask.mine;
  // A failure is not told here: whoever needs the tile tries again, and is told.
  static_cast<void>(fetch_mine(call, asks));
  gate_.leave();
}

}  // namespace smalti
