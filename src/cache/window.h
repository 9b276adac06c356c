// Window: the tiles that were lately fetched from where fetching waits, and those on their way.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "cache/plan.h"
#include "cache/working_set.h"
#include "smalti/base/call.h"
#include "smalti/tile/tile.h"

namespace smalti::cache {

// A tile on its way. Whoever needs it meanwhile waits for it rather than fetching it again.
struct Flight {
  // Guarded by the window's lock.
  bool landed = false;
  bool failed = false;
  bool detached = false;  // its tile was written meanwhile: for those who wait only, not to be kept
  bool ahead = false;     // nobody has asked for it yet
  Tile tile;
  std::uint64_t bytes = 0;
  unsigned waiters = 0;
};
using FlightPtr = std::shared_ptr<Flight>;

// What a caller asks of the window, and gets.
struct Ask {
  std::uint64_t index = 0;  // Grid::index
  std::uint64_t bytes = 0;  // the tile's
  Tile tile;                // there
  FlightPtr flight;         // on its way; or, with `mine`, to be fetched by the caller, who must land() it
  bool mine = false;
  bool was_ahead = false;  // read ahead, and now used for the first time
};

// Where readers are: the row (column) of tiles that the foremost has come to.
struct Front {
  enum class Axis : std::uint8_t { none, rows, cols };
  Axis axis = Axis::none;
  std::uint32_t at = 0;
  std::uint32_t cols = 1;  // of the grid

  std::uint64_t distance(std::uint64_t index) const noexcept {
    if (axis == Axis::none) return 0;
    const std::uint64_t place = axis == Axis::rows ? index / cols : index % cols;
    return place > at ? place - at : at - place;
  }
};

// Thread-safe. Tiles count towards the working set from the claim on. Where readers told a plan, what no step
// wants any more goes first, then what is wanted last; before the latter the working set grows as far as it
// may. Else those furthest from the readers' front go first, among them the least lately used; those read
// ahead stay until they are used, unless so many tiles have come since that nobody seems to want them.
class Window {
 public:
  explicit Window(WorkingSet& set) : set_(set) {}

  bool idle() const noexcept { return kept_.load(std::memory_order_acquire) == 0; }
  // Fills in what is there.
  void look(std::span<Ask>);
  // Fills in what is there or on its way, and makes the rest the caller's to fetch.
  void claim(std::span<Ask>);
  // The same for a read-ahead: takes only what is neither there nor on its way and `wanted`, as far as half
  // of the bound goes. `wanted` is asked under the window's lock, so that no reader can come and go in
  // between.
  void claim_ahead(std::span<Ask>, const std::function<bool(std::uint64_t index)>& wanted);
  // The readers' plan: see Plan.
  void tell(std::span<const std::uint64_t> indices, Pace);
  void end_plan();
  bool planned() const noexcept { return planned_.load(std::memory_order_acquire); }
  // Tiles of the plan to be read ahead now; none while those that were handed out, or read ahead and not
  // used, are as many as may be. `done` of those handed out earlier have been claimed or were at hand.
  // `tile_bytes`: of one.
  std::vector<std::uint64_t> due(std::size_t done, std::uint64_t tile_bytes);
  // As many of those handed out will not be claimed.
  void give_up(std::size_t tiles);
  bool any_due() const noexcept { return any_due_.load(std::memory_order_acquire); }
  // The same as claim_ahead, for those.
  void claim_due(std::span<Ask>);
  // Ends the flights that were the caller's: a tile without pixels means that it failed. Never forget one: others wait
  // for it.
  void land(std::span<Ask>);
  // The tile; one without pixels when the flight failed, so that the caller tries for itself.
  Result<Tile> wait(const Call&, const FlightPtr&);
  // The tile was written: what is here, or on its way, is old.
  void forget(std::uint64_t index);
  void face(const Front&);
  // Gives up tiles until the working set keeps its bound.
  void trim();
  void clear();

 private:
  struct Pane {
    std::uint64_t index = 0;
    Tile tile;
    bool ahead = false;
    std::uint64_t born = 0;  // how many tiles had landed before it
  };
  using Panes = std::list<Pane>;

  bool take_if_here(Ask&);
  void start(Ask&, bool ahead);
  bool end(const Ask&);
  void drop(Panes::iterator, Panes& leaving);
  Panes::iterator victim();
  Panes::iterator planned_victim();
  bool live(const Pane& pane) const noexcept { return plan_.last_use(pane.index) != 0; }
  // Bytes that may be read ahead of a plan and not used.
  std::uint64_t ahead_bound() const noexcept { return std::max(set_.least_bound(), set_.most_bound()) / 2; }
  // Makes room for `coming` bytes; what goes, goes into `leaving`.
  void trim_locked(std::uint64_t coming, Panes& leaving);
  void recount() noexcept { kept_.store(panes_.size() + flights_.size(), std::memory_order_release); }

  WorkingSet& set_;
  std::mutex mutex_;
  std::condition_variable_any landed_;
  std::atomic<std::size_t> kept_{0};
  std::atomic<bool> planned_{false};
  std::atomic<bool> any_due_{false};
  // Guarded by mutex_:
  Panes used_;   // least lately used first
  Panes ahead_;  // read ahead and not used yet, oldest first
  std::uint64_t landings_ = 0;
  Front front_;
  std::unordered_map<std::uint64_t, Panes::iterator> panes_;
  std::unordered_map<std::uint64_t, FlightPtr> flights_;
  std::uint64_t ahead_bytes_ = 0;  // read ahead, or on the way so, and not used yet
  Plan plan_;
  std::size_t handed_out_ = 0;  // tiles that are due and neither claimed nor given up
};

}  // namespace smalti::cache
