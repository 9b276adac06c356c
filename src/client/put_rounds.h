// Putting a batch of tiles on the servers they belong to, and on the next ones where those have no room or are lost.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client/claims.h"
#include "client/fleet.h"
#include "client/image_record.h"

namespace smalti::client {

// Collects the items for each server into requests of bounded size, so that answers flow while others are under way.
class Batcher {
 public:
  explicit Batcher(std::uint32_t servers) : current_(servers) {}

  // The errand that the next item of `bytes` for this server goes to: the one being filled to `most`, or a new one.
  Errand& room(std::uint32_t server, std::uint64_t bytes, std::uint64_t most,
               const std::function<bool(const Request&)>& compatible, const std::function<RequestPtr()>& make);
  std::vector<Errand> take() { return std::move(errands_); }

 private:
  std::vector<Errand> errands_;
  std::vector<std::size_t> current_;  // by server: index in errands_ and one; 0: none
};

// The result of announcing an image to one server.
struct Opening {
  std::uint32_t server = 0;
  std::optional<Error> error;
};

// Announces the image to those of the servers that do not know it yet. `anew`: one that exists already, and that a server has
// not (any more), is made there, so that it can take copies.
std::vector<Opening> open_on(Fleet&, const Call&, ImageRecord&, const std::vector<std::uint32_t>& servers, bool anew = false);

// "127.0.0.1:6668: the server restarted in the middle; image 1234... is lost with it"
Error lost_image(Error, const ImageId&);
// The server does not know an image that was opened there: its lease must have ended.
Error unknown_image(Error, const std::string& server, const ImageId&);
// Tiles of this image are gone for good.
Error lost_for_good(const Fleet&, const ImageRecord&, std::uint32_t server);

// One batch, each tile claimed while it is worked on. A tile goes to as many servers as its image has replicas: where it
// is, else where it belongs, in order; a server without room, or lost, passes it on to the next. It is done when all
// have it that are well. One that keeps silent is given up when the tile is, or can be, elsewhere.
class PutRounds {
 public:
  PutRounds(Fleet& fleet, ImagesOf<ImageRecord>& images, Claims& claims, const Call& call, std::span<TilePut> puts);
  void run();
  // Some tile has fewer copies than asked, for there were not as many servers.
  bool fewer() const noexcept { return fewer_; }

 private:
  struct Item {
    std::size_t index = 0;  // of the put
    ImagesOf<ImageRecord>::Ptr record;
    Tile tile;
    Copies before;
    std::vector<std::uint32_t> next;     // to be asked this round
    std::vector<std::uint32_t> stored;   // these have it
    std::vector<std::uint32_t> pending;  // these were asked
    std::vector<std::uint32_t> tried;    // these will not be asked (again)
    std::string refusals;                // of those without room, for the operator
    std::optional<Error> failed;         // another reason; the last
    bool damaged_once = false;
    bool done = false;
  };

  Result<ImagesOf<ImageRecord>::Ptr> check(const TilePut&) const;
  void run_claimed();
  void begin(Item&);
  void begin_removal(Item&);
  void choose(Item&);
  std::optional<std::uint32_t> next_server(const Item&) const;
  bool may_ask(const Item&, std::uint32_t server) const;
  void open_where_needed();
  std::vector<Errand> errands();
  void collect();
  bool dispensable(const Item&, std::uint32_t server) const;
  void drop_silent();
  void settle(const Errand&, std::size_t n);
  void settle(Item&, std::uint32_t server, Result<Generation> answer);
  void conclude(Item&);
  void conclude_removal(Item&);
  void store(Item&);
  void refuse(Item&);
  void finish(Item&, Result<Generation>);
  void give_up(const Error&);
  void take_away(const Item&, const std::vector<std::uint32_t>& servers);
  void clean_up();

  Fleet& fleet_;
  ImagesOf<ImageRecord>& images_;
  Claims& claims_;
  const Call& call_;
  const std::span<TilePut> puts_;
  std::vector<Item> items_;
  std::vector<Errand> errands_;
  std::vector<Errand> leftovers_;  // copies that an older put left elsewhere
  bool alternatives_ = false;
  bool fewer_ = false;
};

}  // namespace smalti::client
