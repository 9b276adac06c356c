#include "server/native_client.h"

#include <fmt/format.h>

#include <chrono>
#include <variant>

namespace smalti::server {

void answer(const ClientPtr& client, const wire::native::Meta& meta, Result<void> done) {
  if (done)
    client->connection->send(meta, wire::native::Done{});
  else
    client->connection->send(meta, wire::native::Failed{std::move(done.error())});
}

namespace {

namespace native = wire::native;

asio::awaitable<void> open(ClientPtr client, native::Meta meta, native::Open m) {
  const Running running(client);
  const auto as = m.existing ? Leases::As::existing : m.for_name ? Leases::As::for_name : Leases::As::own;
  auto opening = client->host.leases.open(client->session(), client->call_for(meta), m.image, m.spec, as);
  auto opened = co_await std::move(opening);
  answer(client, meta, std::move(opened));
}

asio::awaitable<void> drop(ClientPtr client, native::Meta meta, native::Drop m) {
  const Running running(client);
  auto dropping = client->host.leases.drop(client->session(), client->call_for(meta), m.image);
  auto dropped = co_await std::move(dropping);
  answer(client, meta, std::move(dropped));
}

// A client's images, never those of others: their failures are not its business.
asio::awaitable<void> sync(ClientPtr client, native::Meta meta, native::Sync m) {
  const Running running(client);
  std::vector<ImageId> images(client->session().images.begin(), client->session().images.end());
  if (m.image) std::erase_if(images, [&](const ImageId& image) { return image != *m.image; });
  auto work = [store = client->host.parts.store, call = client->call_for(meta), images = std::move(images)] {
    Result<void> all;
    for (const ImageId& image : images)
      if (auto one = store->sync(call, image); !one && all) all = std::move(one);
    return all;
  };
  auto synced = co_await net::offload(client->host.parts.waiters, std::move(work));
  answer(client, meta, std::move(synced));
}

native::UseReport report(TileStore& store, const Ledger& ledger, const std::optional<ImageId>& image) {
  native::UseReport out;
  store.use(image, [&out](const TierUse& use) {
    out.tiers.push_back({use.tier, use.place, use.tiles, use.bytes});
  });
  store.count([&out](const Count& count) { out.counts.push_back({count.name, count.value}); });
  for (std::size_t i = 0; i < resource_count; ++i) {
    const auto resource = static_cast<Resource>(i);
    out.rooms.push_back({resource, ledger.limit(resource), ledger.used(resource)});
  }
  return out;
}

asio::awaitable<void> use(ClientPtr client, native::Meta meta, native::Use m) {
  const Running running(client);
  auto work = [store = client->host.parts.store, &ledger = client->host.parts.ledger, image = m.image] {
    return report(*store, ledger, image);
  };
  native::UseReport told = co_await net::offload(client->host.parts.waiters, std::move(work));
  told.counts.push_back({"server.clients", client->host.leases.connected() - 1});  // without who asks
  client->connection->send(meta, told);
}

Result<void> share(const ClientPtr& client, const native::Share& m) {
  if (client->connection->shares()) return fail(Errc::invalid, "the connection shares memory already");
  SMALTI_TRY(auto memory, client->host.shared.open(m, client->connection->ends()));
  client->connection->share(std::move(memory));
  return {};
}

}  // namespace

Call NativeClient::call_for(const native::Meta& meta) const {
  Call call;
  if (meta.millis != 0) call.deadline = Clock::now() + std::chrono::milliseconds(meta.millis);
  call.stop = connection->stop();
  call.trace = meta.trace;
  return call;
}

net::Task<void> begin_request(ClientPtr client, native::Frame frame) {
  const native::Meta meta = frame.meta;
  net::Tasks& tasks = client->connection->tasks();
  if (auto* put = std::get_if<native::Put>(&frame.message)) {
    auto putting = begin_put(client, meta, std::move(*put), {});
    auto done = co_await std::move(putting);
    co_return done;
  }
  if (auto* shared = std::get_if<native::SharedPut>(&frame.message)) {
    auto putting = begin_put(client, meta, std::move(shared->put), std::move(shared->at));
    auto done = co_await std::move(putting);
    co_return done;
  }
  if (auto* shared = std::get_if<native::SharedGet>(&frame.message)) {
    begin_get(client, meta, std::move(shared->get), std::move(shared->at));
    co_return Result<void>();
  }
  if (const auto* to_share = std::get_if<native::Share>(&frame.message)) {
    answer(client, meta, share(client, *to_share));
    co_return Result<void>();
  }
  if (auto* get = std::get_if<native::Get>(&frame.message))
    begin_get(client, meta, std::move(*get), {});
  else if (const auto* to_open = std::get_if<native::Open>(&frame.message))
    tasks.spawn(open(client, meta, *to_open));
  else if (const auto* to_drop = std::get_if<native::Drop>(&frame.message))
    tasks.spawn(drop(client, meta, *to_drop));
  else if (const auto* to_sync = std::get_if<native::Sync>(&frame.message))
    tasks.spawn(sync(client, meta, *to_sync));
  else if (const auto* to_tell = std::get_if<native::Use>(&frame.message))
    tasks.spawn(use(client, meta, *to_tell));
  else if (std::holds_alternative<native::Ping>(frame.message))
    client->connection->send(meta, native::Done{});
  else {
    const std::string_view what = native::name_of(frame.message);
    auto beginning = begin_named(client, meta, std::move(frame.message));
    auto begun = co_await std::move(beginning);
    if (!begun) co_return pass(std::move(begun.error()));
    if (!*begun) co_return fail(Errc::corrupt, fmt::format("{} in the middle of a conversation", what));
  }
  co_return Result<void>();
}

}  // namespace smalti::server
