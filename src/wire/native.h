// The native protocol's messages as values. doc/wire-native.md says how they lie on the wire.
// Pixels are not part of a message: an item says how many bytes of the frame's body are its payload, payloads
// stand in the body in the order of their items, and they go straight from a Tile to the socket and from
// there to a draft.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "smalti/base/result.h"
#include "smalti/policy/limits.h"
#include "smalti/tile/grid.h"
#include "smalti/tile/tile.h"
#include "wire/attributes.h"
#include "wire/native_named.h"

namespace smalti::wire::native {

// Caps. A frame that exceeds one ends the connection before anything is allocated for it.
inline constexpr std::size_t header_bytes = 40;
inline constexpr std::uint32_t most_head_bytes = 1u << 20;
inline constexpr std::uint32_t most_items = 1024;  // of a batch
inline constexpr std::uint32_t most_tile_bytes = 32u << 20;
inline constexpr std::uint32_t most_body_bytes = 64u << 20;
inline constexpr std::uint32_t most_item_text = 896;  // bytes; longer texts are cut by the encoder
inline constexpr std::uint32_t most_text = 4096;
inline constexpr std::uint32_t most_name = 255;
inline constexpr std::uint32_t most_shared_bytes = 64u << 20;
inline constexpr std::uint32_t most_report = 1024;  // tiers, or counts

// Whose request a frame belongs to. A reply repeats its request's number and trace.
struct Meta {
  std::uint64_t request = 0;
  std::uint64_t trace = 0;
  std::uint32_t millis = 0;  // the time the caller still gives it; 0: no deadline, and always in replies
};

// How a tile's pixels are coded on the wire: see tile_coding.h.
enum class Coder : std::uint8_t { none = 0, lz4 = 1, zstd = 2 };

// Client to server.

struct Hello {
  Attributes attributes;
  Id session{};  // random; all connections of one client share it
  // Asks for what follows the welcome to go in clear; sends nothing more until it has the welcome.
  bool plain = false;
  std::string name;  // of the client program, for the server's log
  // The session's other connections are of no more use: the server ends them, and what they asked for, before it
  // welcomes this one. So nothing that was sent on a connection that broke can arrive behind what is sent now.
  bool alone = false;
};
// existing: the image has a name already, and this session reads it. for_name: the image is to get a name, so
// that it counts against the server's quota, and goes where named images are kept.
struct Open {
  ImageId image;
  ImageSpec spec;
  bool existing = false;
  bool for_name = false;
};
struct PutItem {
  TileKey key;
  std::optional<Generation> only_if;
  std::uint64_t checksum = 0;  // XXH3-64 of the pixels
  std::uint32_t bytes = 0;     // of the pixels: what the image's spec says; 0 takes the tile away
  std::uint32_t coded = 0;     // of the payload, fewer, where it is coded; 0: it is the pixels
};
struct Put {
  std::vector<PutItem> items;
};
struct Get {
  std::vector<TileKey> keys;
  Coder coder = Coder::none;  // for tiles that it makes shorter
};
struct Drop {
  ImageId image;
};
struct Sync {
  std::optional<ImageId> image;  // one image; absent: all of the session's
};
struct Ping {};
struct Use {
  std::optional<ImageId> image;  // one image; absent: all
};

// On one host: payloads in memory that both map, in place of the body. See the specification.
struct Share {
  Id door{}, token{};       // where to hand it over, and with what
  std::uint32_t bytes = 0;  // of memory
  // The connection's, as the client sees them: whoever stands between has others.
  std::uint16_t client_port = 0, server_port = 0;
};
// `at`: where in the memory each item's payload lies, or is to be laid. As many as there are items.
struct SharedGet {
  Get get;
  std::vector<std::uint32_t> at;
};
struct SharedPut {
  Put put;  // without codings
  std::vector<std::uint32_t> at;
};

// Either side, as its last frame.
struct Goodbye {
  bool session_ends = false;  // client only: free my images now, not after the grace
  std::string text;
};

// Server to client.

struct Welcome {
  Attributes attributes;
  Id server{};                     // persistent
  std::uint64_t incarnation = 0;   // random at every start: a changed one means that all tiles are gone
  bool plain = false;              // agrees: both sides end encryption right behind this frame
  bool durable = false;            // named images survive its end
  std::uint32_t grace_millis = 0;  // how long images outlive the last connection of their session
  // Payload of unanswered requests that the server takes from one connection.
  std::uint32_t in_flight_bytes = 0;
  std::string name;
};
struct Refused {
  Errc code = Errc::incompatible;
  Attributes attributes;  // the server's
  std::string text;       // names each difference, seen from the server
};
struct Done {};
struct Failed {
  Error error;
};
// A request of n items is answered by one reply or several, which together answer each item once, in any
// order.
struct PutAnswer {
  std::uint32_t index = 0;  // of the item in the request
  Result<Generation> put = Generation::none;
};
struct PutDone {
  std::vector<PutAnswer> answers;
};
struct TileAnswer {
  std::uint32_t index = 0;
  enum class State : std::uint8_t { present, absent, failed } state = State::absent;
  Generation generation = Generation::none;  // none: not told
  std::uint64_t checksum = 0;                // present only, as are the bytes
  std::uint32_t bytes = 0;  // of the pixels
  Error error;              // failed only
  std::uint32_t coded = 0;  // of the payload, fewer, where it is coded; 0: it is the pixels
};
struct Tiles {
  std::vector<TileAnswer> answers;
};
// Of a SharedGet: tiles, whose payloads lie where it said.
struct SharedTiles {
  Tiles tiles;
};
struct TierReport {
  std::string tier, place;
  std::uint64_t tiles = 0, bytes = 0;
};
struct CountReport {
  std::string name;
  std::uint64_t value = 0;
};
struct RoomReport {
  Resource resource = Resource::memory;
  std::uint64_t limit = 0, used = 0;
};
struct UseReport {
  std::vector<TierReport> tiers;
  std::vector<CountReport> counts;
  std::vector<RoomReport> rooms;
};

using Message = std::variant<Hello, Open, Put, Get, Drop, Sync, Ping, Use, Goodbye, Welcome, Refused, Done,
                             Failed, PutDone, Tiles, UseReport, Look, ListNames, Lock, Unlock, Pin, Enter,
                             Settle, Register, NamesPage, Share, SharedGet, SharedPut, SharedTiles>;

// "put", "tiles": for logs.
std::string_view name_of(const Message&) noexcept;

// The frame's header and head. The caller sends the payloads, in the order of the items, right behind it.
// REQUIRES: counts and sizes within the caps above. Texts are cut to their caps.
std::vector<std::byte> encode(const Meta&, const Message&);

}  // namespace smalti::wire::native
