// Getting a batch of tiles from the servers that have them, and from the others that have them where that fails.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "client/fleet.h"
#include "client/image_record.h"
#include "client/put_rounds.h"

namespace smalti::client {

// A copy that is not what was put, and the tile as it should be.
struct Damage {
  std::shared_ptr<ImageRecord> record;
  TileKey key;
  std::uint32_t server = 0;
  std::uint32_t generation = 0;
  Tile tile;
};

// One batch. Each tile is asked of the first of its servers that is well; when that one fails, has it not, or has it
// damaged, of the next; and when it keeps silent for some time, of the next as well: the first that comes counts.
class GetRounds {
 public:
  // `damaged` is told of each copy that another one proved wrong.
  GetRounds(Fleet& fleet, ImagesOf<ImageRecord>& images, const Call& call, std::span<TileGet> gets,
            std::function<void(Damage)> damaged)
      : fleet_(fleet), images_(images), call_(call), gets_(gets), damaged_(std::move(damaged)) {}
  void run();

 private:
  struct Item {
    std::size_t index = 0;  // of the get
    ImagesOf<ImageRecord>::Ptr record;
    Extent size;
    std::uint64_t bytes = 0;
    std::vector<std::uint32_t> tried;
    std::vector<std::uint32_t> bad;  // of these, who gave something else than the tile
    std::uint32_t generation = 0;
    unsigned pending = 0;
    bool done = false;
    std::optional<Error> failed;  // the last
  };

  void begin();
  bool launch();
  std::optional<std::uint32_t> choose(Item&, bool hedge) const;
  void hedge(Batcher&);
  void ask(Batcher&, std::size_t item, std::uint32_t server);
  void collect();
  void settle(Errand&);
  void settle(Item&, std::uint32_t server, const Errand&, std::size_t n);
  void finish(Item&, Result<std::optional<Tile>>);
  void conclude(Item&);
  void abandon();

  Fleet& fleet_;
  ImagesOf<ImageRecord>& images_;
  const Call& call_;
  const std::span<TileGet> gets_;
  const std::function<void(Damage)> damaged_;
  std::vector<Item> items_;
  std::vector<Errand> errands_;
  std::size_t left_ = 0;  // items not done
  bool alternatives_ = false;
};

}  // namespace smalti::client
