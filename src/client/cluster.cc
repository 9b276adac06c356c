#include "client/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>

#include "client/claims.h"
#include "client/fleet.h"
#include "client/get_rounds.h"
#include "client/image_record.h"
#include "client/keeper.h"
#include "client/put_rounds.h"
#include "smalti/base/waiting.h"

namespace smalti {

using namespace client;
namespace native = wire::native;

namespace {

constexpr std::uint64_t whole_image_bytes = 16u << 20;

class ClusterStore final : public Cluster {
 public:
  ClusterStore(net::Loop& loop, TileHeap& heap, Log& log, const ClusterOptions& options)
      : placement_(options.placement),
        for_names_(options.for_names),
        replicas_(std::clamp(options.replicas, 1u, most_replicas)),
        turn_(options.first),
        fleet_(loop, heap, log, options),
        keeper_(fleet_, images_, claims_, log) {
    if (!options.random_first) return;
    const ImageId dice = ImageId::fresh();
    turn_ = std::to_integer<std::uint32_t>(dice.raw[0]) << 8 | std::to_integer<std::uint32_t>(dice.raw[1]);
  }

  Result<void> open(const Call&, const ImageId&, const ImageSpec&) override;
  Result<void> adopt(const Call&, const ImageId&, const ImageSpec&, const Placing&, Remember) override;
  void look_after(const ImageId&) override;
  Result<std::uint64_t> restore(const Call&, const ImageId&) override;
  Result<Placing> describe(const ImageId&) const override;
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

  std::optional<std::uint32_t> turn_for(const ImageSpec&);
  Result<void> synced(const ImageRecord&, const std::vector<std::pair<std::uint32_t, Error>>& failed);

  const Placement placement_;
  const bool for_names_;
  const std::uint32_t replicas_;
  std::atomic<std::uint32_t> turn_;  // of the next whole image
  Claims claims_;
  ImagesOf<ImageRecord> images_;
  Fleet fleet_;
  Keeper keeper_;  // dies first
};

// Whose turn it is to take a whole image; none where it is to be sharded.
std::optional<std::uint32_t> ClusterStore::turn_for(const ImageSpec& spec) {
  const bool whole = placement_ == Placement::round_robin ||
                     (placement_ == Placement::automatic && spec.stored_bytes() <= whole_image_bytes);
  if (!whole) return std::nullopt;
  return turn_++;
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
  keeper_.start();
  if (images_.find(image)) return images_.open(image, spec, image, Rule());
  const Rule rule = fleet_.rule(image, spec, turn_for(spec), replicas_);
  SMALTI_CHECK(images_.open(image, spec, image, rule));
  const RecordPtr record = images_.find(image);
  if (!record) return {};  // dropped meanwhile
  record->for_name = for_names_;
  std::vector<std::uint32_t> servers = record->expected_servers();
  if (replicas_ > 1) std::erase_if(servers, [this](std::uint32_t server) { return !fleet_.well(server); });
  for (const Opening& one : open_on(fleet_, call, *record, servers)) {
    // A server without room for it is passed over by its puts, and one that is lost where there are others.
    if (!one.error || one.error->code == Errc::limit) continue;
    if (replicas_ > 1 && one.error->code == Errc::unavailable && fleet_.well_count() > 0) continue;
    images_.drop(image);
    return pass(*one.error);
  }
  return {};
}

Result<void> ClusterStore::adopt(const Call& call, const ImageId& image, const ImageSpec& spec, const Placing& placing,
                                 Remember remember) {
  assert(!on_loop_thread());
  SMALTI_CHECK(spec.check());
  SMALTI_CHECK(fleet_.meet(call));
  keeper_.start();
  std::vector<std::uint32_t> servers;  // members, in the placing's order
  SMALTI_TRY(const Rule rule, fleet_.rule(image, spec, placing, servers));
  SMALTI_CHECK(images_.open(image, spec, image, rule));
  const RecordPtr record = images_.find(image);
  if (!record) return {};
  record->existing = true;
  keeper_.tend(image, std::move(remember));
  record->restore_rule();
  for (const Placing::Run& run : placing.exceptions) {
    std::vector<std::uint32_t> holders;
    for (const std::uint32_t holder : run.holders)
      if (holder < servers.size()) holders.push_back(servers[holder]);
    record->restore(run.first, run.tiles, holders);
  }
  std::vector<std::pair<std::uint32_t, Error>> failed;
  std::erase_if(servers, [&](std::uint32_t server) { return record->part(server).tiles == 0; });
  fleet_.reach(call, servers);
  for (Opening& one : open_on(fleet_, call, *record, servers)) {
    if (!one.error) continue;
    failed.emplace_back(one.server, std::move(*one.error));
    record->may_be_short = true;
  }
  const auto there = [&](std::uint32_t server) {
    return std::none_of(failed.begin(), failed.end(), [&](const auto& one) { return one.first == server; });
  };
  if (failed.empty() || (record->replicas() > 1 && record->tally(there).none == 0)) {
    for (const auto& [server, why] : failed)
      if (why.code == Errc::unavailable && fleet_.well(server)) record->gone_from(server);
    return {};
  }
  static_cast<void>(drop(call, image));
  return pass(std::move(failed.front().second));
}

void ClusterStore::look_after(const ImageId& image) {
  if (const RecordPtr record = images_.find(image)) record->may_be_short = true;
}

Result<std::uint64_t> ClusterStore::restore(const Call& call, const ImageId& image) {
  assert(!on_loop_thread());
  const RecordPtr record = images_.find(image);
  if (!record || !record->existing) return fail(Errc::invalid, fmt::format("image {} is not open", image.text()));
  return keeper_.restore(call, *record);
}

Result<Placing> ClusterStore::describe(const ImageId& image) const {
  const RecordPtr record = images_.find(image);
  if (!record) return fail(Errc::invalid, fmt::format("image {} is not open", image.text()));
  return fleet_.describe(*record);
}

void ClusterStore::get(const Call& call, std::span<TileGet> gets) {
  if (call.reach == Reach::hot) {
    for (TileGet& get : gets) get.got = fail(Errc::would_wait, "servers are not asked in haste");
    return;
  }
  assert(!on_loop_thread());
  GetRounds rounds(fleet_, images_, call, gets, [this](Damage damage) { keeper_.mend(std::move(damage)); });
  rounds.run();
}

void ClusterStore::put(const Call& call, std::span<TilePut> puts) {
  if (call.reach == Reach::hot) {
    for (TilePut& put : puts) put.put = fail(Errc::would_wait, "servers are not asked in haste");
    return;
  }
  assert(!on_loop_thread());
  PutRounds rounds(fleet_, images_, claims_, call, puts);
  rounds.run();
  if (rounds.fewer()) keeper_.note_fewer();
}

Result<void> ClusterStore::drop(const Call& call, const ImageId& image) {
  assert(!on_loop_thread());
  if (const RecordPtr known = images_.find(image); known && known->existing) keeper_.finish_mending();
  const RecordPtr record = images_.drop(image);
  if (!record) return {};
  keeper_.forget(image);
  std::vector<Errand> errands;
  for (const std::uint32_t server : record->opened_servers()) {
    Member& member = fleet_.member(server);
    if (!member.well && record->replicas() > 1) {
      const std::lock_guard lock(member.mutex);
      member.to_drop.push_back(image);
      continue;
    }
    auto request = Fleet::request(call, native::Drop{image});
    request->epoch = record->epoch(server);
    errands.push_back({server, std::move(request), {}});
  }
  SMALTI_CHECK(fleet_.carry_out(call, errands));
  for (const Errand& errand : errands)
    // A server that cannot be reached frees the image when our session's grace is over, if it still lives.
    if (const auto failed = fleet_.failure(errand); failed && failed->code != Errc::unavailable) return pass(*failed);
  return {};
}

// What is on other servers, too, need not have arrived on one that is lost.
Result<void> ClusterStore::synced(const ImageRecord& record, const std::vector<std::pair<std::uint32_t, Error>>& failed) {
  if (const auto server = record.lost_on()) return pass(lost_for_good(fleet_, record, *server));
  if (failed.empty()) return {};
  const auto held = [&](std::uint32_t server) {
    return std::none_of(failed.begin(), failed.end(), [&](const auto& one) { return one.first == server; });
  };
  if (record.replicas() > 1 && record.tally(held).none == 0) return {};
  return pass(lost_image(failed.front().second, record.id));
}

Result<void> ClusterStore::sync(const Call& call, const std::optional<ImageId>& image) {
  if (!fleet_.met()) return {};
  assert(!on_loop_thread());
  std::vector<RecordPtr> records;
  if (!image)
    for (auto& [id, record] : images_.all()) records.push_back(record);
  else if (auto record = images_.find(*image))
    records.push_back(std::move(record));
  std::vector<Errand> errands;
  for (std::size_t i = 0; i < records.size(); ++i) {
    for (const std::uint32_t server : records[i]->opened_servers()) {
      records[i]->restarted(server, fleet_.epoch(server));
      if (records[i]->part(server).tiles == 0) continue;
      auto request = Fleet::request(call, native::Sync{records[i]->id});
      request->epoch = records[i]->epoch(server);
      errands.push_back({server, std::move(request), {i}});
    }
  }
  SMALTI_CHECK(fleet_.carry_out(call, errands));
  for (std::size_t i = 0; i < records.size(); ++i) {
    std::vector<std::pair<std::uint32_t, Error>> failed;
    for (const Errand& errand : errands) {
      auto why = errand.items[0] == i ? fleet_.failure(errand) : std::nullopt;
      if (!why) continue;
      records[i]->restarted(errand.server, fleet_.epoch(errand.server));
      failed.emplace_back(errand.server, std::move(*why));
    }
    SMALTI_CHECK(synced(*records[i], failed));
  }
  return {};
}

void ClusterStore::count(const std::function<void(const Count&)>& tell) const {
  for (std::uint32_t i = 0; i < fleet_.links(); ++i) {
    const Link& link = fleet_.link(i);
    const std::string name = link.host().text();
    const Traffic& traffic = link.traffic();
    tell({name + ".sent.bytes", traffic.sent});
    tell({name + ".received.bytes", traffic.received});
    tell({name + ".shared.bytes", traffic.shared});
    tell({name + ".put.tiles", traffic.put_tiles});
    tell({name + ".get.tiles", traffic.got_tiles});
    tell({name + ".requests", traffic.requests});
    tell({name + ".connects", traffic.connects});
    tell({name + ".repaired.tiles", traffic.repaired_tiles});
    tell({name + ".copied.tiles", traffic.copied_tiles});
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

namespace client {
std::unique_ptr<Cluster> make_cluster(net::Loop& loop, TileHeap& heap, Log& log, const ClusterOptions& options) {
  return std::make_unique<ClusterStore>(loop, heap, log, options);
}
}  // namespace client

StorePtr cluster_store(net::Loop& loop, TileHeap& heap, Log& log, ClusterOptions options) {
  return std::make_unique<ClusterStore>(loop, heap, log, options);
}

}  // namespace smalti
