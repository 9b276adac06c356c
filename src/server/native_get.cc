// Reading: what is in memory is answered on the loop at once; the rest is fetched by the pool, piece by
// piece.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "server/native_client.h"
#include "wire/tile_coding.h"

namespace smalti::server {

namespace {

namespace native = wire::native;
using State = native::TileAnswer::State;

constexpr std::uint64_t piece_bytes = 1u << 20;       // fetched, and answered, together
constexpr std::uint64_t most_laid_at_once = 4u << 20;  // of one request, before others get their turn

struct Wanted {
  std::uint32_t index = 0;
  TileKey key;
  std::uint32_t at = 0;  // in shared memory
};

struct Piece {
  std::vector<std::uint32_t> indexes, at;
  std::vector<TileGet> gets;
  std::vector<Tile> coded;  // beside those of `gets` that coding makes shorter
  std::vector<Leases::Use> uses;
  std::vector<std::span<std::byte>> laid;  // where each is to be laid; empty: they go by the stream
  std::uint64_t bytes = 0;
};

native::TileAnswer answer_to(std::uint32_t index, const Result<std::optional<Tile>>& got) {
  native::TileAnswer answer;
  answer.index = index;
  if (!got) {
    answer.state = State::failed;
    answer.error = got.error();
  } else if (*got && **got) {
    answer.state = State::present;
    answer.checksum = (*got)->checksum();
    answer.bytes = static_cast<std::uint32_t>((*got)->charge());
  }
  return answer;
}

// Copies what there is of a piece to where the client wants it in shared memory, if it does.
void lay(const Piece& piece) {
  for (std::size_t i = 0; i < piece.laid.size(); ++i) {
    const auto& got = piece.gets[i].got;
    if (!got || !*got) continue;
    const auto pixels = (**got).bytes();
    std::memcpy(piece.laid[i].data(), pixels.data(), std::min(pixels.size(), piece.laid[i].size()));
  }
}

// Sends what there is of a piece, but for what would have waited, which goes to `later`.
void send_piece(const ClientPtr& client, const native::Meta& meta, Piece piece, Shares shares,
                std::vector<Wanted>* later) {
  native::Tiles tiles;
  std::vector<Tile> payloads;
  for (std::size_t i = 0; i < piece.gets.size(); ++i) {
    TileGet& get = piece.gets[i];
    if (later && !get.got && get.got.error().code == Errc::would_wait) {
      later->push_back({piece.indexes[i], get.key, piece.at[i]});
      continue;
    }
    tiles.answers.push_back(answer_to(piece.indexes[i], get.got));
    if (tiles.answers.back().state != State::present) continue;
    if (!piece.laid.empty()) continue;
    if (i < piece.coded.size() && piece.coded[i]) {
      tiles.answers.back().coded = static_cast<std::uint32_t>(piece.coded[i].charge());
      payloads.push_back(std::move(piece.coded[i]));
    } else {
      payloads.push_back(std::move(**get.got));
    }
  }
  if (tiles.answers.empty()) return;
  if (!piece.laid.empty())
    client->connection->send(meta, native::SharedTiles{std::move(tiles)});
  else
    client->connection->send(meta, tiles, std::move(payloads), std::move(shares));
}

// Takes a piece's worth off the front of `wanted`; what is not the session's to read is answered into
// `refused`.
Piece next_piece(const ClientPtr& client, std::span<const Wanted>& wanted, native::Tiles& refused, bool shared) {
  Piece piece;
  while (!wanted.empty() && (piece.bytes < piece_bytes || piece.gets.empty())) {
    const Wanted& one = wanted.front();
    auto use = client->host.leases.use(client->session(), one.key.image, Leases::For::reading);
    if (!use || !use->grid().has(one.key)) {
      const Result<std::optional<Tile>> absent;
      const Result<std::optional<Tile>> stranger = use ? absent : pass(std::move(use.error()));
      refused.answers.push_back(answer_to(one.index, stranger));
    } else {
      const std::uint64_t bytes =
          use->grid().rect(one.key).size.area() * use->grid().spec().format.pixel_bytes();
      if (!piece.gets.empty() && piece.bytes + bytes > piece_bytes) break;
      const auto part = shared ? client->connection->shared_part(one.at, bytes) : std::span<std::byte>();
      if (!part) {
        const Result<std::optional<Tile>> beyond = fail(Errc::invalid, "a tile beyond the memory that is shared");
        refused.answers.push_back(answer_to(one.index, beyond));
        wanted = wanted.subspan(1);
        continue;
      }
      if (shared) piece.laid.push_back(*part);
      piece.at.push_back(one.at);
      piece.bytes += bytes;
      piece.indexes.push_back(one.index);
      piece.gets.push_back({one.key});
      piece.uses.push_back(std::move(*use));
    }
    wanted = wanted.subspan(1);
  }
  return piece;
}

// Gets a piece, and codes what the client wants coded; on a pool's thread.
Piece fetched(TileStore& store, const Call& call, native::Coder coder, TileHeap& heap, Piece piece) {
  store.get(call, piece.gets);
  piece.coded.resize(piece.gets.size());
  for (std::size_t i = 0; i < piece.gets.size(); ++i) {
    auto& got = piece.gets[i].got;
    if (!got || !*got) continue;
    if (!(*got)->marked()) *got = (*got)->marked_with((*got)->computed_checksum());
    // A tile that cannot be coded for want of memory goes as it is.
    if (auto coded = native::encode_tile(**got, coder, heap)) piece.coded[i] = std::move(*coded);
  }
  lay(piece);
  return piece;
}

asio::awaitable<void> fetch(ClientPtr client, native::Meta meta, native::Coder coder, std::vector<Wanted> all,
                            bool shared) {
  const Running running(client);
  std::span<const Wanted> wanted(all);
  while (!wanted.empty() && !client->connection->closed()) {
    native::Tiles refused;
    Piece piece = next_piece(client, wanted, refused, shared);
    if (!refused.answers.empty()) client->connection->send(meta, refused);
    if (piece.gets.empty()) continue;
    Shares shares = co_await client->connection->take(piece.bytes);
    auto work = [store = client->host.parts.store, call = client->call_for(meta), coder,
                 &heap = client->host.parts.heap, piece = std::move(piece)]() mutable {
      return fetched(*store, call, coder, heap, std::move(piece));
    };
    Piece done = co_await net::offload(client->host.parts.waiters, std::move(work));
    send_piece(client, meta, std::move(done), std::move(shares), nullptr);
  }
}

}  // namespace

void begin_get(ClientPtr client, native::Meta meta, native::Get get, std::vector<std::uint32_t> at) {
  const bool shared = !at.empty();
  std::vector<Wanted> all(get.keys.size());
  for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = {i, get.keys[i], shared ? at[i] : 0};
  std::span<const Wanted> wanted(all);
  std::vector<Wanted> later;
  const Call hot = client->call_for(meta).hot();
  if (get.coder != native::Coder::none) {  // coding is work for the pool
    client->connection->tasks().spawn(fetch(client, meta, get.coder, std::move(all), shared));
    return;
  }
  std::uint64_t laid = 0;
  while (!wanted.empty() && laid < most_laid_at_once) {
    native::Tiles refused;
    const std::span<const Wanted> before = wanted;
    Piece piece = next_piece(client, wanted, refused, shared);
    Shares shares;
    if (!piece.gets.empty() && !client->connection->try_take(piece.bytes, shares)) {
      wanted = before;
      break;
    }
    if (!refused.answers.empty()) client->connection->send(meta, refused);
    if (piece.gets.empty()) continue;
    client->host.parts.store->get(hot, piece.gets);
    lay(piece);
    if (shared) client->connection->copied(piece.bytes);
    laid += shared ? piece.bytes : 0;
    send_piece(client, meta, std::move(piece), std::move(shares), &later);
  }
  later.insert(later.end(), wanted.begin(), wanted.end());
  if (!later.empty()) client->connection->tasks().spawn(fetch(client, meta, get.coder, std::move(later), shared));
}

}  // namespace smalti::server
