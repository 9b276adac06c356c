#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "cache/core.h"

namespace smalti {

using cache::Draft;
using cache::DraftPtr;

// Frozen drafts on their way to one put. Whoever puts a draft here must put() the batch, also on the way out:
// others may wait for it to settle.
struct PixelCache::Core::Batch {
  std::vector<DraftPtr> drafts;
  std::uint64_t bytes = 0;

  void add(const DraftPtr& draft) {
    drafts.push_back(draft);
    bytes += draft->frozen.charge();
  }
};

Result<void> PixelCache::Core::write(const Call& call, Rect rect, Pixels from) {
  if (from.size != rect.size || from.format != spec.format)
    return fail(Errc::invalid,
                fmt::format("image {}: a write of {}x{} pixels from a buffer of {}x{} pixels, or of another "
                            "format",
                            id.text(), rect.size.w, rect.size.h, from.size.w, from.size.h));
  if (!rect.inside(spec.size))
    return fail(Errc::invalid,
                fmt::format("image {} of {}x{} pixels: a write of {}x{} pixels at {},{} leaves it", id.text(),
                            spec.size.w, spec.size.h, rect.size.w, rect.size.h, rect.x, rect.y));
  if (read_only)
    return fail(Errc::conflict, fmt::format("image {} has a name: its pixels do not change any more", id.text()));
  ++counts.writes;
  const Grid::Span span = grid.span(rect);
  const std::uint64_t along = std::max(span.col1 - span.col0, span.row1 - span.row0);
  set.need(3 * along * full_tile_bytes());
  Batch batch;
  Result<void> outcome;
  for (std::uint32_t row = span.row0; outcome && row < span.row1; ++row) {
    for (std::uint32_t col = span.col0; outcome && col < span.col1; ++col) {
      const Rect part = grid.rect(col, row).meet(rect);
      outcome = draw(call, std::uint64_t{row} * grid.cols() + col, part,
                     from.crop({part.x - rect.x, part.y - rect.y, part.size}), batch);
      if (outcome && batch.bytes > set.bound() / 2) outcome = put(call, batch);
    }
  }
  Result<void> last = put(call, batch);
  if (!outcome) return outcome;
  if (!last) return last;
  return set.over() && call.reach == Reach::deep ? evict(call) : Result<void>();
}

// Lays `from` over one tile's draft.
Result<void> PixelCache::Core::draw(const Call& call, std::uint64_t index, Rect part, Pixels from,
                                    Batch& batch) {
  while (true) {
    const DraftPtr draft = drafts.find_or_make(index, tile_rect(index));
    std::unique_lock lock(draft->mutex);
    if (draft->phase == Draft::Phase::gone) continue;  // just left the table: the next look finds another
    if (draft->phase == Draft::Phase::putting) {
      if (call.reach == Reach::hot)
        return fail(Errc::would_wait, fmt::format("{}: on its way to the store", name(index)));
      lock.unlock();
      // Never wait with frozen drafts in hand: their puts may be what another writer, who holds this one,
      // waits for.
      SMALTI_CHECK(put(call, batch));
      lock.lock();
      draft->settled.wait_until(lock, call.stop,
                                std::min(call.deadline, Clock::now() + std::chrono::seconds(1)),
                                [&draft] { return draft->phase != Draft::Phase::putting; });
      SMALTI_CHECK(call.alive());
      continue;
    }
    if (draft->phase != Draft::Phase::open) {
      const bool fresh = draft->phase == Draft::Phase::fresh;
      if (Result<void> opened = draft->open(spec.format, parts.heap); !opened) {
        if (fresh) {
          draft->phase = Draft::Phase::gone;
          lock.unlock();
          drafts.erase(draft);
        }
        return failed_for(std::move(opened.error()), index);
      }
      if (fresh) set.add(tile_bytes(index));
    }
    copy_pixels(from, draft->pixels->pixels().crop(draft->local(part)));
    draft->covered.mark(draft->local(part));
    if (!draft->covered.whole()) return {};
    if (call.reach == Reach::hot)
      return fail(Errc::would_wait, fmt::format("{}: whole, to be put", name(index)));
    if (skips(index, draft->pixels->pixels())) {
      draft->phase = Draft::Phase::gone;
      lock.unlock();
      set.remove(tile_bytes(index));
      drafts.erase(draft);
      return {};
    }
    draft->freeze();
    batch.add(draft);
    return {};
  }
}

// A whole tile that need not be stored.
bool PixelCache::Core::skips(std::uint64_t index, Pixels pixels) {
  if (!sparse || is_written(index) || !all_same(pixels)) return false;
  const std::span<const std::byte> pixel(pixels.at(0, 0), spec.format.pixel_bytes());
  const std::lock_guard lock(choosing_);
  if (!std::exchange(chosen_, true)) blank.assign(pixel.begin(), pixel.end());
  return std::ranges::equal(blank, pixel);
}

// Takes the batch's drafts to the store, and empties it. Their bytes are the store's from here on: it charges
// them.
Result<void> PixelCache::Core::put(const Call& call, Batch& batch) {
  if (batch.drafts.empty()) return {};
  std::vector<TilePut> puts;
  puts.reserve(batch.drafts.size());
  for (const DraftPtr& draft : batch.drafts) puts.push_back({key(draft->index), draft->frozen, {}});
  set.remove(batch.bytes);
  const Clock::time_point start = Clock::now();
  parts.store->put(call, puts);
  counts.wait_ns += static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - start).count());
  Result<void> outcome;
  for (std::size_t i = 0; i < puts.size(); ++i) {
    settle(batch.drafts[i], bool(puts[i].put));
    if (outcome && !puts[i].put) outcome = failed_for(std::move(puts[i].put.error()), batch.drafts[i]->index);
  }
  batch = {};
  return outcome;
}

// The order is what readers rely on (see overlay): first the tile counts as written, then older copies are
// forgotten, then the draft goes.
void PixelCache::Core::settle(const DraftPtr& draft, bool arrived) {
  if (arrived) {
    ++counts.tiles_put;
    counts.bytes_put += draft->frozen.charge();
    mark_written(draft->index);
    window.forget(draft->index);
    version.fetch_add(1, std::memory_order_acq_rel);
    drafts.erase(draft);
  } else {
    set.add(draft->frozen.charge());
  }
  {
    const std::lock_guard lock(draft->mutex);
    draft->phase = arrived ? Draft::Phase::gone : Draft::Phase::failed;
  }
  draft->settled.notify_all();
}

// Gives a draft the pixels it was drawn over, and freezes it. False when it needs no put from us: it is
// somebody's else already, or nothing was written to it yet.
Result<bool> PixelCache::Core::freeze(const Call& call, const DraftPtr& draft) {
  std::unique_lock lock(draft->mutex);
  if (draft->phase == Draft::Phase::failed) {
    draft->phase = Draft::Phase::putting;
    return true;
  }
  if (draft->needs_base(draft->rect)) {
    lock.unlock();
    cache::Pieces pieces{{{.index = draft->index, .part = draft->rect}}, nullptr};
    SMALTI_CHECK(acquire(call, pieces, false));
    lock.lock();
  }
  if (draft->phase != Draft::Phase::open) return false;
  draft->freeze();
  return true;
}

// Drafts beyond the bound go to the store, the oldest first; one that is written again later is merged again.
Result<void> PixelCache::Core::evict(const Call& call) {
  window.trim();
  const std::unique_lock alone(evicting_, std::try_to_lock);
  if (!alone || !set.over()) return {};
  Batch batch;
  Result<void> outcome;
  for (const DraftPtr& draft : drafts.oldest_first()) {
    if (set.used() <= set.bound() + batch.bytes) break;
    Result<bool> frozen = freeze(call, draft);
    if (!frozen) {
      outcome = pass(std::move(frozen.error()));
      break;
    }
    if (*frozen) batch.add(draft);
  }
  Result<void> last = put(call, batch);
  return outcome ? last : outcome;
}

Result<void> PixelCache::Core::put_all(const Call& call) {
  Batch batch;
  Result<void> outcome;
  const auto keep_first = [&outcome](Result<void> next) {
    if (outcome && !next) outcome = std::move(next);
  };
  const std::vector<DraftPtr> all = drafts.oldest_first();
  for (const DraftPtr& draft : all) {
    Result<bool> frozen = freeze(call, draft);
    if (!frozen) keep_first(pass(std::move(frozen.error())));
    if (frozen && *frozen) batch.add(draft);
    if (batch.bytes > set.bound() / 2) keep_first(put(call, batch));
  }
  keep_first(put(call, batch));
  for (const DraftPtr& draft : all) {  // those that others are putting
    std::unique_lock lock(draft->mutex);
    while (outcome && draft->phase == Draft::Phase::putting) {
      draft->settled.wait_until(lock, call.stop,
                                std::min(call.deadline, Clock::now() + std::chrono::seconds(1)),
                                [&draft] { return draft->phase != Draft::Phase::putting; });
      keep_first(call.alive());
    }
  }
  return outcome;
}

Result<void> PixelCache::Core::sync(const Call& call) {
  SMALTI_CHECK(put_all(call));
  if (Result<void> synced = parts.store->sync(call, id); !synced)
    return failed_for_all(std::move(synced.error()));
  return {};
}

}  // namespace smalti
