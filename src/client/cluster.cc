#include "client/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "client/fleet.h"
#include "client/image_record.h"
#include "client/put_rounds.h"
#include "smalti/base/waiting.h"

namespace smalti {

using namespace client;
namespace native = wire::native;

namespace {

constexpr std::uint64_t whole_image_bytes = 16u << 20;

class ClusterStore final : public TileStore {
 public:
  ClusterStore(net::Loop& loop, TileHeap& heap, Log& log, const ClusterOptions& options)
      : fleet_(loop, heap, log, options), placement_(options.placement), turn_(options.first) {
    if (!options.random_first) return;
    const ImageId dice = ImageId::fresh();
    turn_ = std::to_integer<std::uint32_t>(dice.raw[0]) << 8 | std::to_integer<std::uint32_t>(dice.raw[1]);
  }

  Result<void> open(const Call&, const ImageId&, const ImageSpec&) override;
  void get(const Call&, std::span<TileGet>) override;
  void put(const Call&, std::span<TilePut>) override;
  Result<void> drop(const Call&, const ImageId&) override;
  Result<void> sync(const Call&, const std::optional<ImageId>&) override;
  std::vector<TilePut> shed(std::uint64_t) override { return {}; }
  Traits traits() const noexcept override { return {.waits = true, .conditional = true}; }
  void count(const std::function<void(const Count&)>&) const override;
  void use(const std::optional<ImageId>&, const std::function<void(const TierUse&)>&) const override;

 private:
  using RecordPtr = ImagesOf<ImageRecord>::Ptr;

  std::optional<std::uint32_t> first_for(const ImageSpec&);
  std::vector<Errand> gets_to_send(const Call&, std::span<TileGet>);
  void settle(const Errand&, std::span<TileGet>);

  Fleet fleet_;
  const Placement placement_;
  std::atomic<std::uint32_t> turn_;  // of the next whole image
  ImagesOf<ImageRecord> images_;
};

// The server a whole image begins on; none where it is to be sharded.
std::optional<std::uint32_t> ClusterStore::first_for(const ImageSpec& spec) {
  const bool whole = placement_ == Placement::round_robin ||
                     (placement_ == Placement::automatic && spec.stored_bytes() <= whole_image_bytes);
  if (!whole) return std::nullopt;
  return turn_++ % fleet_.size();
}

Result<void> ClusterStore::open(const Call& call, const ImageId& image, const ImageSpec& spec) {
  assert(!on_loop_thread());
  SMALTI_CHECK(spec.check());
  const std::uint64_t tile_bytes = spec.tile.area() * spec.format.pixel_bytes();
  if (tile_bytes > native::most_tile_bytes)
    return fail(Errc::invalid, fmt::format("image {}: tiles of {} bytes exceed the {} that servers take", image.text(),
                                           tile_bytes, native::most_tile_bytes));
  if (call.reach == Reach::hot) return fail(Errc::would_wait, "servers are not asked in haste");
  SMALTI_CHECK(fleet_.meet(call));
  if (images_.find(image)) return images_.open(image, spec, std::nullopt, Rendezvous(), 0u);
  SMALTI_CHECK(images_.open(image, spec, first_for(spec), fleet_.rendezvous(), fleet_.size()));
  const RecordPtr record = images_.find(image);
  if (!record) return {};  // dropped meanwhile
  auto opened = open_on(fleet_, call, image, *record, record->expected_servers());
  for (const Opening& one : opened) {
    // A server without room for it is passed over by its puts.
    if (!one.error || one.error->code == Errc::limit) continue;
    images_.drop(image);
    return pass(*one.error);
  }
  return {};
}

std::vector<Errand> ClusterStore::gets_to_send(const Call& call, std::span<TileGet> gets) {
  Batcher batcher(fleet_.met() ? fleet_.size() : 0);
  for (std::size_t i = 0; i < gets.size(); ++i) {
    TileGet& get = gets[i];
    get.got = std::optional<Tile>();
    const RecordPtr record = images_.find(get.key.image);
    if (!record || !record->grid().has(get.key)) continue;
    const auto holder = record->holder(get.key);
    if (!holder) continue;
    const Extent size = record->grid().rect(get.key).size;
    const std::uint64_t bytes = size.area() * record->spec.format.pixel_bytes();
    const std::uint64_t epoch = record->epoch(*holder);
    const auto compatible = [&](const Request& r) { return r.epoch == epoch && r.format == record->spec.format; };
    Errand& errand = batcher.room(*holder, bytes, compatible, [&] {
      auto made = Fleet::request(call, native::Get{});
      made->epoch = epoch;
      made->format = record->spec.format;
      return made;
    });
    std::get<native::Get>(errand.request->message).keys.push_back(get.key);
    errand.request->expected.push_back(size);
    errand.items.push_back(i);
  }
  return batcher.take();
}

void ClusterStore::get(const Call& call, std::span<TileGet> gets) {
  if (call.reach == Reach::hot) {
    for (TileGet& get : gets) get.got = fail(Errc::would_wait, "servers are not asked in haste");
    return;
  }
  assert(!on_loop_thread());
  const auto errands = gets_to_send(call, gets);
  const auto answered = fleet_.carry_out(call, errands);
  for (const Errand& errand : errands) {
    if (answered) {
      settle(errand, gets);
      continue;
    }
    for (const std::size_t i : errand.items) gets[i].got = pass(answered.error());
  }
}

// What came, verified; what ought to have come and did not is an error.
void ClusterStore::settle(const Errand& errand, std::span<TileGet> gets) {
  const std::string name = fleet_.name(errand.server);
  for (std::size_t n = 0; n < errand.items.size(); ++n) {
    TileGet& get = gets[errand.items[n]];
    if (errand.request->failed) {
      get.got = pass(lost_image(*errand.request->failed, get.key.image));
      continue;
    }
    Arrived& arrived = errand.request->gets[n];
    if (arrived.got && *arrived.got && (*arrived.got)->computed_checksum() != (*arrived.got)->checksum()) {
      get.got = fail(Errc::corrupt, fmt::format("{}: tile {},{} of image {} arrived damaged", name, get.key.col,
                                                get.key.row, get.key.image.text()));
    } else if (arrived.got && !*arrived.got) {
      const RecordPtr record = images_.find(get.key.image);
      if (!record || record->holder(get.key) != errand.server) continue;  // taken away meanwhile
      get.got = fail(Errc::unavailable, fmt::format("{}: the server has lost tile {},{} of image {}", name, get.key.col,
                                                    get.key.row, get.key.image.text()));
    } else if (!arrived.got && arrived.got.error().code == Errc::invalid) {
      get.got = pass(unknown_image(std::move(arrived.got.error()), name, get.key.image));
    } else {
      get.got = std::move(arrived.got);
    }
  }
}

void ClusterStore::put(const Call& call, std::span<TilePut> puts) {
  if (call.reach == Reach::hot) {
    for (TilePut& put : puts) put.put = fail(Errc::would_wait, "servers are not asked in haste");
    return;
  }
  assert(!on_loop_thread());
  PutRounds rounds(fleet_, images_, call, puts);
  rounds.run();
}

Result<void> ClusterStore::drop(const Call& call, const ImageId& image) {
  const RecordPtr record = images_.drop(image);
  if (!record) return {};
  assert(!on_loop_thread());
  std::vector<Errand> errands;
  for (const std::uint32_t server : record->opened_servers()) {
    auto request = Fleet::request(call, native::Drop{image});
    request->epoch = record->epoch(server);
    errands.push_back({server, std::move(request), {}});
  }
  SMALTI_CHECK(fleet_.carry_out(call, errands));
  for (const Errand& errand : errands)
    // A server that cannot be reached frees the image when our session's grace is over, if it still lives.
    if (errand.request->failed && errand.request->failed->code != Errc::unavailable)
      return pass(*errand.request->failed);
  return {};
}

Result<void> ClusterStore::sync(const Call& call, const std::optional<ImageId>& image) {
  if (!fleet_.met()) return {};
  assert(!on_loop_thread());
  std::vector<Errand> errands;
  const auto add = [&](const ImageId& id, const ImageRecord& record) {
    for (const std::uint32_t server : record.opened_servers()) {
      if (record.part(server).tiles == 0) continue;
      auto request = Fleet::request(call, native::Sync{id});
      request->epoch = record.epoch(server);
      errands.push_back({server, std::move(request), {}});
    }
  };
  if (image) {
    const RecordPtr record = images_.find(*image);
    if (record) add(*image, *record);
  } else {
    for (const auto& [id, record] : images_.all()) add(id, *record);
  }
  SMALTI_CHECK(fleet_.carry_out(call, errands));
  for (const Errand& errand : errands)
    if (errand.request->failed)
      return pass(lost_image(*errand.request->failed, *std::get<native::Sync>(errand.request->message).image));
  return {};
}

void ClusterStore::count(const std::function<void(const Count&)>& tell) const {
  for (const auto& link : fleet_.links()) {
    const std::string name = link->host().text();
    const Traffic& traffic = link->traffic();
    tell({name + ".sent.bytes", traffic.sent});
    tell({name + ".received.bytes", traffic.received});
    tell({name + ".put.tiles", traffic.put_tiles});
    tell({name + ".get.tiles", traffic.got_tiles});
    tell({name + ".requests", traffic.requests});
    tell({name + ".connects", traffic.connects});
  }
}

void ClusterStore::use(const std::optional<ImageId>& image, const std::function<void(const TierUse&)>& tell) const {
  if (!fleet_.met()) return;
  std::vector<RecordPtr> records;
  if (image) {
    if (auto record = images_.find(*image)) records.push_back(std::move(record));
  } else {
    for (auto& [id, record] : images_.all()) records.push_back(record);
  }
  for (std::uint32_t server = 0; server < fleet_.size(); ++server) {
    TierUse sum{"Distributed", fleet_.name(server)};
    for (const RecordPtr& record : records) {
      const auto part = record->part(server);
      sum.tiles += part.tiles;
      sum.bytes += part.bytes;
    }
    if (sum.tiles > 0) tell(sum);
  }
}

}  // namespace

StorePtr cluster_store(net::Loop& loop, TileHeap& heap, Log& log, ClusterOptions options) {
  return std::make_unique<ClusterStore>(loop, heap, log, options);
}

}  // namespace smalti
