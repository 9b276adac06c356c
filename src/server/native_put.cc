// Writing: payloads go from the socket straight into drafts, are verified, and put; at once where that needs
// no waiting, else by the pool.
#include <fmt/format.h>

#include <algorithm>

#include "server/native_client.h"
#include "wire/copy_sum.h"
#include "wire/tile_coding.h"

// g++ 12 takes asio's frame of begin_put for the heap's.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace smalti::server {

namespace {

namespace native = wire::native;

constexpr std::uint64_t piece_bytes = 1u << 20;  // put together

// A payload that is still to be decoded.
struct Coded {
  std::size_t put = 0;  // its place in the piece
  std::vector<std::byte> bytes;
  Extent size;
  PixelFormat format;
  std::uint64_t checksum = 0;
};

// What an item means for the quota: nothing, room taken for it, or room to be given back once its tile is away.
enum class Room : std::uint8_t { none, taken, returned };

struct Piece {
  std::vector<std::uint32_t> indexes;
  std::vector<TilePut> puts;
  std::vector<Coded> coded;
  std::vector<Leases::Use> uses;
  std::vector<Room> rooms;
  std::vector<bool> mends;  // of images that have a name: see mender.h
  std::uint64_t bytes = 0;
  Shares shares;

  bool any_mends() const { return std::find(mends.begin(), mends.end(), true) != mends.end(); }
};

Error damaged(const TileKey& key) {
  return {Errc::corrupt,
          fmt::format("tile {},{} of image {} arrived damaged: put it again", key.col, key.row, key.image.text())};
}

// Puts what is to be put, and mends what is to be mended. Of each: whether it needs room in the quota now.
std::vector<bool> put_or_mend(TileStore& store, Mender& mender, const Call& call, std::span<TilePut> puts,
                              const std::vector<bool>& mends) {
  std::vector<bool> needs(puts.size());
  for (const bool mend : {false, true}) {
    std::vector<TilePut> some;
    std::vector<std::size_t> which;
    for (std::size_t i = 0; i < puts.size(); ++i) {
      if (mends[i] != mend) continue;
      which.push_back(i);
      some.push_back(std::move(puts[i]));
    }
    std::vector<bool> fresh;
    if (mend)
      fresh = mender.put(store, call, some);
    else if (!some.empty())
      store.put(call, some);
    for (std::size_t n = 0; n < some.size(); ++n) {
      puts[which[n]] = std::move(some[n]);
      needs[which[n]] = mend ? fresh[n] : puts[which[n]].put.has_value();
    }
  }
  return needs;
}

struct Done {
  std::vector<TilePut> puts;
  std::vector<bool> needs;  // room in the quota
};

// Decodes what is coded, and puts what is sound; on a pool's thread.
Done put_all(TileStore& store, Mender& mender, const Call& call, TileHeap& heap, std::vector<TilePut> puts,
             const std::vector<Coded>& coded, const std::vector<bool>& mends) {
  std::vector<std::optional<Error>> spoilt(puts.size());
  for (const Coded& one : coded) {
    TilePut& put = puts[one.put];
    auto tile = native::decode_tile(one.bytes, one.size, one.format, heap);
    if (tile && tile->computed_checksum() == one.checksum)
      put.tile = tile->marked_with(one.checksum);
    else
      spoilt[one.put] = tile || tile.error().code == Errc::corrupt ? damaged(put.key) : tile.error();
  }
  std::vector<TilePut> sound;
  std::vector<bool> sound_mends;
  for (std::size_t i = 0; i < puts.size(); ++i) {
    if (spoilt[i]) continue;
    sound.push_back(std::move(puts[i]));
    sound_mends.push_back(mends[i]);
  }
  const std::vector<bool> needs = put_or_mend(store, mender, call, sound, sound_mends);
  Done done{std::move(puts), {}};
  for (std::size_t i = 0, next = 0; i < done.puts.size(); ++i) {
    done.needs.push_back(!spoilt[i] && needs[next]);
    done.puts[i].put = spoilt[i] ? Result<Generation>(pass(std::move(*spoilt[i]))) : std::move(sound[next++].put);
  }
  return done;
}

// A tile that is not there in the end, or was there before, needs no room in the quota.
void settle_room(Leases::Use& use, Room room, const TileKey& key, bool done) {
  if (room == (done ? Room::returned : Room::taken)) use.give_room(key);
}

// Waits in the pool for those of a piece that the loop could not put.
asio::awaitable<void> put_deep(ClientPtr client, native::Meta meta, Piece piece) {
  const Running running(client);
  auto work = [store = client->host.parts.store, call = client->call_for(meta), &heap = client->host.parts.heap,
               &mender = client->host.mender, puts = std::move(piece.puts), coded = std::move(piece.coded),
               mends = std::move(piece.mends)]() mutable {
    return put_all(*store, mender, call, heap, std::move(puts), coded, mends);
  };
  const Done done = co_await net::offload(client->host.parts.waiters, std::move(work));
  native::PutDone reply;
  for (std::size_t i = 0; i < done.puts.size(); ++i) {
    settle_room(piece.uses[i], piece.rooms[i], done.puts[i].key, done.needs[i]);
    reply.answers.push_back({piece.indexes[i], done.puts[i].put});
  }
  client->connection->send(meta, reply);
}

// Empties the piece; answers join `reply`, or come later from the pool.
void dispatch(const ClientPtr& client, const native::Meta& meta, Piece& piece, native::PutDone& reply) {
  if (piece.puts.empty()) return;
  Piece all = std::exchange(piece, {});
  if (!all.coded.empty() || all.any_mends()) return client->connection->tasks().spawn(put_deep(client, meta, std::move(all)));
  client->host.parts.store->put(client->call_for(meta).hot(), all.puts);
  Piece later;
  for (std::size_t i = 0; i < all.puts.size(); ++i) {
    TilePut& put = all.puts[i];
    if (put.put || put.put.error().code != Errc::would_wait) {
      settle_room(all.uses[i], all.rooms[i], put.key, put.put.has_value());
      reply.answers.push_back({all.indexes[i], std::move(put.put)});
      continue;
    }
    later.indexes.push_back(all.indexes[i]);
    later.puts.push_back(std::move(put));
    later.uses.push_back(std::move(all.uses[i]));
    later.rooms.push_back(all.rooms[i]);
    later.mends.push_back(false);
  }
  if (later.puts.empty()) return;
  later.shares = std::move(all.shares);
  client->connection->tasks().spawn(put_deep(client, meta, std::move(later)));
}

// Whether the item may be put at all, before its payload is read.
Result<Leases::Use> admit(const ClientPtr& client, const native::PutItem& item) {
  const auto what = item.only_if == Generation::none && item.bytes > 0 ? Leases::For::mending : Leases::For::writing;
  SMALTI_TRY(Leases::Use use, client->host.leases.use(client->session(), item.key.image, what));
  const Grid& grid = use.grid();
  if (!grid.has(item.key))
    return fail(Errc::invalid, fmt::format("image {} has no tile {},{} of level {}", item.key.image.text(),
                                           item.key.col, item.key.row, item.key.level));
  const std::uint64_t expected = grid.rect(item.key).size.area() * grid.spec().format.pixel_bytes();
  if (item.bytes != 0 && item.bytes != expected)
    return fail(Errc::invalid, fmt::format("tile {},{} of image {} has {} bytes, not {}", item.key.col,
                                           item.key.row, item.key.image.text(), expected, item.bytes));
  return use;
}

class Arrived {
 public:
  Arrived() = default;
  Result<Tile> tile;    // or why it cannot be put
  std::vector<std::byte> coded;  // instead of the tile
  bool broken = false;  // the connection is of no more use
};

// From shared memory: copied first, for the client might still change it.
Result<Tile> copied(const NativeConnection& connection, const native::PutItem& item, std::uint32_t at,
                    Result<TileDraft> draft) {
  if (!draft) return pass(std::move(draft.error()));
  const auto part = connection.shared_part(at, item.bytes);
  if (!part) return fail(Errc::invalid, "a tile beyond the memory that is shared");
  if (wire::copy_and_sum(draft->bytes(), *part) != item.checksum) return pass(damaged(item.key));
  return std::move(*draft).freeze().marked_with(item.checksum);
}

// Reads one payload. Whatever is wrong with it, its bytes are taken off the wire.
asio::awaitable<Arrived> read_tile(ClientPtr client, native::PutItem item, Extent size, PixelFormat format,
                                   std::optional<std::uint32_t> at) {
  Arrived arrived;
  if (item.bytes == 0) co_return arrived;
  if (item.coded != 0) {
    arrived.coded.resize(item.coded);
    auto read = co_await client->connection->payload(arrived.coded);
    if (!read) arrived.tile = pass(std::move(read.error()));
    arrived.broken = !read;
    co_return arrived;
  }
  auto draft = TileDraft::make(size, format, client->host.parts.heap);
  if (at) {
    arrived.tile = copied(*client->connection, item, *at, std::move(draft));
    client->connection->copied(item.bytes);
    if (client->connection->owes_a_turn()) co_await net::yield();
    co_return arrived;
  }
  wire::RunningSum sum;
  auto reading = draft ? client->connection->payload(draft->bytes(), &sum) : client->connection->skip(item.bytes);
  auto read = co_await std::move(reading);
  if (!read) {
    arrived.tile = pass(std::move(read.error()));
    arrived.broken = true;
  } else if (!draft) {
    arrived.tile = pass(std::move(draft.error()));
  } else if (sum.value() != item.checksum) {
    arrived.tile = pass(damaged(item.key));
  } else {
    arrived.tile = std::move(*draft).freeze().marked_with(item.checksum);
  }
  co_return arrived;
}

}  // namespace

net::Task<void> begin_put(ClientPtr client, native::Meta meta, native::Put put, std::vector<std::uint32_t> at) {
  native::PutDone reply;
  Piece piece;
  for (std::uint32_t i = 0; i < put.items.size(); ++i) {
    const native::PutItem& item = put.items[i];
    auto use = admit(client, item);
    if (!use) {
      reply.answers.push_back({i, pass(std::move(use.error()))});
      if (!at.empty()) continue;
      auto skipped = co_await client->connection->skip(item.coded != 0 ? item.coded : item.bytes);
      if (!skipped) co_return pass(std::move(skipped.error()));
      continue;
    }
    const Result<bool> room = item.bytes > 0 ? use->take_room(item.key) : Result<bool>(false);
    if (!room) {
      reply.answers.push_back({i, pass(room.error())});
      if (!at.empty()) continue;
      auto skipped = co_await client->connection->skip(item.coded != 0 ? item.coded : item.bytes);
      if (!skipped) co_return pass(std::move(skipped.error()));
      continue;
    }
    Shares shares;
    if (!client->connection->try_take(item.bytes, shares)) {
      // Nothing is kept from the store while this waits, so that what waits never waits for itself.
      dispatch(client, meta, piece, reply);
      shares = co_await client->connection->take(item.bytes);
    }
    const Extent size = use->grid().rect(item.key).size;
    const PixelFormat format = use->grid().spec().format;
    const std::optional<std::uint32_t> place = at.empty() ? std::nullopt : std::optional(at[i]);
    Arrived arrived = co_await read_tile(client, item, size, format, place);
    if (arrived.broken) {
      if (*room) use->give_room(item.key);
      for (std::size_t n = 0; n < piece.puts.size(); ++n)
        settle_room(piece.uses[n], piece.rooms[n], piece.puts[n].key, false);
      co_return pass(std::move(arrived.tile.error()));
    }
    if (!arrived.tile) {
      if (*room) use->give_room(item.key);
      reply.answers.push_back({i, pass(std::move(arrived.tile.error()))});
      continue;
    }
    if (!arrived.coded.empty())
      piece.coded.push_back({piece.puts.size(), std::move(arrived.coded), size, format, item.checksum});
    piece.indexes.push_back(i);
    piece.puts.push_back({item.key, std::move(*arrived.tile), item.only_if});
    piece.uses.push_back(std::move(*use));
    piece.rooms.push_back(*room ? Room::taken : item.bytes == 0 ? Room::returned : Room::none);
    piece.mends.push_back(item.only_if == Generation::none && item.bytes > 0 && piece.uses.back().for_name());
    piece.shares.join(std::move(shares));
    piece.bytes += item.bytes;
    if (piece.bytes >= piece_bytes) dispatch(client, meta, piece, reply);
  }
  dispatch(client, meta, piece, reply);
  if (!reply.answers.empty()) client->connection->send(meta, reply);
  co_return Result<void>();
}

}  // namespace smalti::server
