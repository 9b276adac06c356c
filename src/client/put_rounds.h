// Putting a batch of tiles on the servers they belong to, and on the next ones where those have no room.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client/fleet.h"
#include "client/image_record.h"

namespace smalti::client {

// Collects the items for each server into requests of bounded size, so that answers flow while others are under way.
class Batcher {
 public:
  explicit Batcher(std::uint32_t servers) : current_(servers) {}

  // The errand that the next item of `bytes` for this server goes to: the one being filled, or a new one.
  Errand& room(std::uint32_t server, std::uint64_t bytes, const std::function<bool(const Request&)>& compatible,
               const std::function<RequestPtr()>& make);
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

// Announces the image to those of the servers that do not know it yet.
std::vector<Opening> open_on(Fleet&, const Call&, const ImageId&, ImageRecord&, const std::vector<std::uint32_t>& servers);

// "127.0.0.1:6668: the server restarted in the middle; image 1234... is lost with it"
Error lost_image(Error, const ImageId&);
// The server does not know an image that was opened there: its lease must have ended.
Error unknown_image(Error, const std::string& server, const ImageId&);

// One batch. Each round sends every tile that has no place yet to its best server that was not tried; a server without
// room passes it on to the next.
class PutRounds {
 public:
  PutRounds(Fleet& fleet, ImagesOf<ImageRecord>& images, const Call& call, std::span<TilePut> puts);
  void run();

 private:
  struct Item {
    std::size_t index = 0;  // of the put
    ImagesOf<ImageRecord>::Ptr record;
    std::optional<std::uint32_t> server;   // this round's
    std::vector<std::uint32_t> tried;
    std::string refusals;                  // of those tried, for the operator
    bool done = false;
  };

  Result<ImagesOf<ImageRecord>::Ptr> check(const TilePut&) const;
  void choose(Item&);
  void open_where_needed();
  std::vector<Errand> errands();
  void settle(const Errand&);
  void settle(Item&, std::uint32_t server, Result<Generation> answer);
  void refused(Item&, const Error&);
  void finish(Item&, Result<Generation>);
  void clean_up();

  Fleet& fleet_;
  ImagesOf<ImageRecord>& images_;
  const Call& call_;
  const std::span<TilePut> puts_;
  std::vector<Item> items_;
  std::vector<Errand> leftovers_;  // copies that an older put left elsewhere
};

}  // namespace smalti::client
