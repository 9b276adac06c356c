// ImageRecord: what this client knows of one image: where each of its tiles is.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "client/placement.h"
#include "store/open_images.h"

namespace smalti::client {

inline constexpr std::uint32_t most_replicas = 8;

// Where an image's tiles belong. Servers are members of the fleet, by number.
struct Rule {
  std::vector<std::uint32_t> servers;
  Rendezvous rendezvous;               // of their ids, in the same order
  std::optional<std::uint32_t> first;  // whole: from this one of `servers` around the ring; none: sharded
  std::uint32_t replicas = 1;
};

// The servers that have one tile, best first. A value without an allocation.
struct Copies {
  struct Copy {
    std::uint16_t server = 0;
    bool gone = false;  // it was there, and the server has lost it
  };
  std::array<Copy, most_replicas> all{};
  std::uint8_t count = 0;
  std::uint32_t generation = 0;

  const Copy* begin() const noexcept { return all.data(); }
  const Copy* end() const noexcept { return all.data() + count; }
  bool empty() const noexcept { return count == 0; }
  bool on(std::uint32_t server) const noexcept;  // and not gone
};

// Thread-safe. Two bytes a replica and four bytes a tile, so that an exception to the rule costs no more than the rule.
// Changes to one tile come from whoever holds its claim (see claims.h).
class ImageRecord : public OpenImage {
 public:
  ImageRecord(const ImageSpec&, const ImageId&, Rule);

  const ImageId id;
  // Somebody else has put it and given it a name: it does not change. Or it is to get one. Constant after open().
  std::atomic<bool> existing{false}, for_name{false};
  const Grid& grid() const noexcept { return grid_; }
  std::uint32_t replicas() const noexcept { return rule_.replicas; }
  const Rule& rule() const noexcept { return rule_; }
  bool ruled_by(std::uint32_t server) const noexcept;
  // Where a tile belongs first.
  std::uint32_t home(const TileKey&) const noexcept;
  // Where a tile belongs, best first: the servers of the rule, then the others below `members`.
  std::vector<std::uint32_t> order(const TileKey&, std::uint32_t members) const;
  // Those that hold some of it if nothing goes wrong.
  std::vector<std::uint32_t> expected_servers() const;
  TileKey key(std::uint64_t tile) const noexcept;

  // REQUIRES, of all that take a key: grid().has(key).
  Copies copies(const TileKey&) const;
  // A put has succeeded on these, at least one; the new generation. `replaced`: who had it before and is not among them.
  Generation placed(const TileKey&, std::span<const std::uint32_t> servers, std::vector<std::uint32_t>& replaced);
  // Another copy of what is there: in the place of those on servers that are not well, if there is no other; these.
  std::vector<std::uint32_t> copied(const TileKey&, std::uint32_t server,
                                    const std::function<bool(std::uint32_t)>& well);
  // It was taken away: it is absent now, everywhere.
  void removed(const TileKey&);
  // Only the first copy counts from now on; the servers of the others.
  std::vector<std::uint32_t> narrowed(const TileKey&);

  // The life of a server in which the image was opened there; 0: not yet.
  std::uint64_t epoch(std::uint32_t server) const;
  // In another life than before: what it held is gone. Tiles that nobody else has are lost. But one that exists already
  // may be kept through restarts: it is to be opened there again, and has gone if it cannot.
  void opened(std::uint32_t server, std::uint64_t epoch);
  void restarted(std::uint32_t server, std::uint64_t epoch_now);
  // It answers, and has the image no more.
  void gone_from(std::uint32_t server);
  bool needs_opening(std::uint32_t server, std::uint64_t epoch_now) const;
  std::vector<std::uint32_t> opened_servers() const;
  // A server that has lost the only copy of a tile.
  std::optional<std::uint32_t> lost_on() const;

  struct Part {
    std::uint64_t epoch = 0, tiles = 0, bytes = 0;
  };
  Part part(std::uint32_t server) const;

  // Tiles that have fewer than `wanted` copies on servers that are well, and at least one; at most `most` of them, from
  // `from` on, which becomes where to go on; the grid's end when there are no more.
  std::vector<std::uint64_t> short_of(std::uint32_t wanted, const std::function<bool(std::uint32_t)>& well,
                                      std::uint64_t& from, std::size_t most) const;
  // Tiles that have fewer copies on servers that are well than they ought to, and those that have none.
  struct Tally {
    std::uint64_t fewer = 0, none = 0;
  };
  Tally tally(const std::function<bool(std::uint32_t)>& well) const;
  // Some tiles may be short of copies: to be looked through in the background.
  std::atomic<bool> may_be_short{false};

  // A copy that nobody may read lies on a server that cannot be told now.
  void owe(std::uint32_t server, const TileKey&);
  std::vector<std::uint64_t> take_owed(std::uint32_t server);

  // For placing.h: each run of tiles that are not where the rule says.
  void each_exception(const std::function<void(std::uint64_t first, std::uint64_t tiles, const Copies&)>&) const;
  // All tiles are where the rule says: for an image that was put by somebody else. Then its exceptions.
  void restore_rule();
  void restore(std::uint64_t first, std::uint64_t tiles, std::span<const std::uint32_t> servers);

 private:
  using Slot = std::uint16_t;  // the server's number and one; its highest bit: gone. 0: none

  std::span<Slot> slots(std::uint64_t tile) { return std::span(slots_).subspan(tile * rule_.replicas, rule_.replicas); }
  std::span<const Slot> slots(std::uint64_t tile) const {
    return std::span(slots_).subspan(tile * rule_.replicas, rule_.replicas);
  }
  void set(std::uint64_t tile, std::span<const std::uint32_t> servers);
  Copies copies_of(std::uint64_t tile) const;
  std::vector<std::uint32_t> ruled(const TileKey&) const;
  void begin();
  Part& part_of(std::uint32_t server);
  void count(std::uint64_t tile, std::uint32_t server, bool more);
  void forget(std::uint32_t server);

  const Grid grid_;
  const Rule rule_;
  mutable std::mutex mutex_;
  // Guarded by mutex_, all below.
  std::vector<Slot> slots_;                 // `replicas` a tile, best first; empty until the first put
  std::vector<std::uint32_t> generations_;  // of the last put or removal of each tile
  std::vector<Part> parts_;                 // by server
  std::unordered_map<std::uint32_t, std::vector<std::uint64_t>> owed_;  // tiles, by server
  std::optional<std::uint32_t> lost_on_;
};

}  // namespace smalti::client
