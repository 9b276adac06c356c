// Where the tiles of a read come from: drafts, the thread's memo, the window, the store at once, the store in
// time.
#include <fmt/format.h>

#include <algorithm>

#include "cache/core.h"

namespace smalti {

using cache::Ask;
using cache::Piece;

namespace {

template <class F>
void each_missing(std::vector<Piece>& pieces, F f) {
  for (Piece& piece : pieces)
    if (!piece.ready) f(piece);
}

bool any_missing(const std::vector<Piece>& pieces) noexcept {
  return std::any_of(pieces.begin(), pieces.end(), [](const Piece& piece) { return !piece.ready; });
}

void give(Piece& piece, Tile tile) {
  piece.tile = std::move(tile);
  piece.ready = true;
}

std::uint64_t nanoseconds_since(Clock::time_point start) {
  return static_cast<std::uint64_t>(std::chrono::nanoseconds(Clock::now() - start).count());
}

}  // namespace

Result<void> PixelCache::Core::acquire(const Call& call, cache::Pieces& wanted, bool noting) {
  std::vector<Piece>& pieces = wanted.items;
  if (!drafts.empty()) overlay(pieces);
  // Read after the drafts: a draft begun since then may be drawn over what this version still shows, never
  // over less.
  const std::uint64_t at_version = version.load(std::memory_order_acquire);
  each_missing(pieces, [this](Piece& piece) { piece.ready = !is_written(piece.index); });
  if (any_missing(pieces)) recall(wanted, at_version);
  if (any_missing(pieces)) {
    const bool waited_for = look_in_window(pieces);
    ask_at_once(call, pieces, at_version);
    const bool missing = any_missing(pieces);
    if (noting && (waited_for || missing)) move_on(pieces);
    if (missing) SMALTI_CHECK(fetch(call, pieces));
  }
  for (Piece& piece : pieces) {
    if (!piece.draft || !piece.held()) continue;
    const std::lock_guard lock(piece.draft->mutex);
    piece.draft->set_base(piece.held());
  }
  return {};
}

// A tile leaves its draft only when the store has it and older copies are forgotten. So whoever finds no
// draft here gets, from wherever it looks next, what that draft held or something newer.
void PixelCache::Core::overlay(std::vector<Piece>& pieces) {
  drafts.match(
      pieces, [](const Piece& piece) { return piece.index; },
      [](Piece& piece, const cache::DraftPtr& draft) { piece.draft = draft; });
  for (Piece& piece : pieces) {
    if (!piece.draft) continue;
    const std::lock_guard lock(piece.draft->mutex);
    if (piece.draft->phase == cache::Draft::Phase::fresh) {
      piece.draft.reset();  // its writer has not written yet
    } else if (!piece.draft->needs_base(piece.part)) {
      piece.ready = true;
    } else if (!is_written(piece.index)) {
      piece.draft->set_base({});
      piece.ready = true;
    }
  }
}

void PixelCache::Core::recall(cache::Pieces& wanted, std::uint64_t at_version) {
  wanted.page = memo.mine(at_version);
  if (!wanted.page) return;
  auto entry = wanted.page->entries.begin();
  for (Piece& piece : wanted.items) {
    while (entry != wanted.page->entries.end() && entry->index < piece.index) ++entry;
    if (entry == wanted.page->entries.end()) return;
    if (piece.ready || entry->index != piece.index) continue;
    piece.lent = &entry->tile;
    piece.ready = piece.at_rest = true;
  }
}

void PixelCache::Core::remember(const std::vector<Piece>& pieces, std::uint64_t at_version) {
  std::uint64_t bytes = 0;
  for (const Piece& piece : pieces) bytes += piece.at_rest ? piece.held().charge() : 0;
  if (bytes > cache::Memo::slot_bytes) return;
  auto page = std::make_shared<cache::MemoPage>();
  page->version = at_version;
  page->entries.reserve(pieces.size());
  for (const Piece& piece : pieces)
    if (piece.at_rest) page->entries.push_back({piece.index, piece.held()});
  memo.keep(std::move(page));
}

bool PixelCache::Core::look_in_window(std::vector<Piece>& pieces) {
  if (window.idle()) return false;
  std::vector<Ask> asks;
  each_missing(pieces, [&asks](Piece& piece) { asks.push_back({.index = piece.index}); });
  window.look(asks);
  auto ask = asks.begin();
  std::uint64_t hits = 0, ahead = 0;
  each_missing(pieces, [&](Piece& piece) {
    if (ask->tile) {
      ++hits;
      ahead += ask->was_ahead;
      give(piece, std::move(ask->tile));
    }
    ++ask;
  });
  counts.window_hits += hits;
  counts.ahead_used += ahead;
  return hits != 0;
}

void PixelCache::Core::ask_at_once(const Call& call, std::vector<Piece>& pieces, std::uint64_t at_version) {
  std::vector<TileGet> gets;
  each_missing(pieces, [&](Piece& piece) { gets.push_back({key(piece.index)}); });
  if (gets.empty()) return;
  parts.store->get(call.hot(), gets);
  auto get = gets.begin();
  std::uint64_t hot = 0;
  each_missing(pieces, [&](Piece& piece) {
    if (get->got && *get->got && **get->got) {
      ++hot;
      give(piece, std::move(**get->got));
      piece.at_rest = true;
    }
    ++get;
  });
  counts.tiles_hot += hot;
  if (hot != 0) remember(pieces, at_version);
}

Result<void> PixelCache::Core::fetch(const Call& call, std::vector<Piece>& pieces) {
  if (call.reach == Reach::hot)
    return fail(Errc::would_wait, fmt::format("{}: not every tile is at hand", id.text()));
  const Clock::time_point start = Clock::now();
  Result<void> outcome;
  // More than once only when a flight of somebody else failed, and it is our turn to try.
  while (outcome && any_missing(pieces)) {
    outcome = call.alive();
    if (!outcome) break;
    std::vector<Ask> asks;
    each_missing(pieces, [&](Piece& piece) {
      asks.push_back({.index = piece.index, .bytes = tile_bytes(piece.index)});
    });
    window.claim(asks);
    outcome = fetch_mine(call, asks);
    auto ask = asks.begin();
    each_missing(pieces, [&](Piece& piece) {
      if (outcome && !ask->tile) {
        Result<Tile> tile = window.wait(call, ask->flight);
        if (tile)
          ask->tile = std::move(*tile);
        else
          outcome = failed_for(std::move(tile.error()), piece.index);
      }
      if (!ask->mine) {
        counts.window_hits += bool(ask->tile);
        counts.ahead_used += ask->was_ahead;
      }
      if (ask->tile) give(piece, std::move(ask->tile));
      ++ask;
    });
  }
  counts.wait_ns += nanoseconds_since(start);
  return outcome;
}

// Every flight that is ours lands, whatever happens: others may be waiting for it.
Result<void> PixelCache::Core::fetch_mine(const Call& call, std::vector<Ask>& asks) {
  std::vector<TileGet> gets;
  for (const Ask& ask : asks)
    if (ask.mine) gets.push_back({key(ask.index)});
  if (gets.empty()) return {};
  parts.store->get(call, gets);
  Result<void> outcome;
  auto get = gets.begin();
  for (Ask& ask : asks) {
    if (!ask.mine) continue;
    Result<Tile> tile = arrived(ask.index, *get++);
    if (tile)
      ask.tile = std::move(*tile);
    else if (outcome)
      outcome = pass(std::move(tile.error()));
    counts.tiles_got += bool(ask.tile);
    counts.bytes_got += ask.tile.charge();
  }
  window.land(asks);
  return outcome;
}

// A written tile that is absent is lost. A tile of another shape is not the one that was put.
Result<Tile> PixelCache::Core::arrived(std::uint64_t index, TileGet& get) const {
  if (!get.got) return failed_for(std::move(get.got.error()), index);
  if (!*get.got || !**get.got)
    return fail(Errc::unavailable,
                fmt::format("{}: it was written, but nobody has it any more: the server or the folder "
                            "that held it was restarted or lost; start the job again",
                            name(index)));
  Tile& tile = **get.got;
  if (tile.pixels().size != tile_rect(index).size || tile.pixels().format != spec.format)
    return fail(Errc::corrupt,
                fmt::format("{}: the stored tile has another size or format than the image", name(index)));
  return std::move(tile);
}

// Readers have used tiles: those that follow may be fetched.
void PixelCache::Core::move_on(const std::vector<Piece>& pieces) {
  if (!window.planned()) return note(pieces);
  if (window.any_due()) fetch_due(0);
}

void PixelCache::Core::note(const std::vector<Piece>& pieces) {
  if (!read_ahead) return;
  Grid::Span box{grid.cols(), static_cast<std::uint32_t>(pieces.front().index / grid.cols()), 0,
                 static_cast<std::uint32_t>(pieces.back().index / grid.cols()) + 1};
  for (const Piece& piece : pieces) {
    const auto col = static_cast<std::uint32_t>(piece.index % grid.cols());
    box.col0 = std::min(box.col0, col);
    box.col1 = std::max(box.col1, col + 1);
  }
  const Grid::Span next = order.note(box);
  if (next.empty()) return;
  window.face(order.front());
  fetch_ahead(next, Hint::guessed);
}

}  // namespace smalti
