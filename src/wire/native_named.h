// Images with names, as values: what a server keeps of a name, and what clients ask of it. doc/wire-native.md says
// how they lie on the wire, doc/named-images.md what they are for.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "smalti/base/result.h"
#include "smalti/tile/grid.h"
#include "smalti/tile/tile.h"

namespace smalti::wire::native {

inline constexpr std::uint32_t most_keepers = 1024;           // servers of one named image
inline constexpr std::uint32_t most_detail_bytes = 8u << 20;  // of one record
inline constexpr std::uint64_t most_named_tiles = 1u << 26;
inline constexpr std::uint32_t most_names_on_page = 256;

using Id = std::array<std::byte, 16>;  // of a client's session, or of a server

// 1 to 255 bytes of printable UTF-8 without slashes and square brackets. Fails with invalid, and says what is wrong.
Result<void> check_name(std::string_view name);

// A server on which a name is registered, as it was when that was done.
struct Keeper {
  Id server{};
  std::uint64_t incarnation = 0;
  bool durable = false;  // what it registers survives a restart; else another incarnation knows nothing any more
  std::string address;   // "host:port", as the writer reached it
  bool operator==(const Keeper&) const = default;
};

// A version of a named image. Its pixels never change; another version has another image.
struct NameRecord {
  ImageId image;
  ImageSpec spec;
  std::uint64_t created = 0;          // milliseconds since 1970, by the writer's clock
  std::uint64_t tiles = 0, bytes = 0;  // written ones, one copy of each
  std::uint32_t replicas = 1;
  bool whole = false;        // on one server (a copy), not sharded
  std::uint32_t depth = 8;   // bits of a sample of the file it came from
  std::vector<Keeper> keepers;
  bool operator==(const NameRecord&) const = default;
};

// Versions are told apart by (number, image); the larger is the later one.
using Number = std::uint64_t;

// Client to server.

struct Look {
  std::string name;
};
struct ListNames {
  std::string after;  // only names behind it, in the order of their bytes
};
struct Lock {
  std::string name;
  Number number = 0;
};
struct Unlock {
  std::string name;
  Number number = 0;
};
struct Pin {
  std::string name;
  Number number = 0;
  ImageId image;
  bool holds = false;  // tiles of the image were put to this server
  std::vector<Keeper> keepers;  // where it is to be entered: whoever finds it left over knows whom to ask
};
// The record, and its details behind the frame's head: where the tiles are, and what travels beside the pixels. The
// details are the clients' own; servers keep them unread.
struct Enter {
  std::string name;
  Number number = 0;
  bool deleted = false;  // the name ends with this version
  bool repair = false;   // another client's version, found on some of its servers only
  NameRecord record;
  std::uint64_t checksum = 0;  // XXH3-64 of the details
  std::uint32_t detail_bytes = 0;
};
struct Settle {
  std::string name;
  Number number = 0;
  bool forget = false;  // of a deleted one: every server knows it, so nobody needs to remember
};

// Server to client.

// What a server knows of a name. All zero: nothing.
struct Register {
  Number promised = 0;  // the largest number that was locked or entered here
  std::string holder;   // who has the lock; empty: nobody
  Number pinned = 0;    // a version on its way; 0: none
  std::vector<Keeper> pinned_keepers;  // ... and where it was to be entered
  bool orphaned = false;  // its writer is gone
  Number number = 0;    // of the version entered; 0: none
  bool settled = false;   // enough servers know it
  bool deleted = false;
  NameRecord record;
  std::uint64_t held_bytes = 0;  // tiles of it on this server
  std::uint64_t checksum = 0;
  std::uint32_t detail_bytes = 0;  // of the frame's body; 0 on a page
};
struct NamesPage {
  struct Line {
    std::string name;
    Register state;
  };
  std::vector<Line> lines;
  bool more = false;
  std::uint64_t quota = 0, used = 0;  // bytes that names may hold on this server, and do
};

}  // namespace smalti::wire::native
