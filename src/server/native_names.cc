// What clients ask about names, and how a server takes up what it kept of them.
#include <fmt/format.h>

#include <map>

#include "server/native_client.h"
#include "wire/native_blob.h"

namespace smalti::server {

namespace {

namespace native = wire::native;

void look(const ClientPtr& client, const native::Meta& meta, const native::Look& m) {
  auto told = client->host.catalog.look(m.name);
  if (!told) return answer(client, meta, pass(std::move(told.error())));
  std::vector<Tile> payload;
  if (told->details) payload.push_back(std::move(told->details));
  client->connection->send(meta, told->state, std::move(payload));
}

asio::awaitable<void> lock(ClientPtr client, native::Meta meta, native::Lock m) {
  const Running running(client);
  auto locking = client->host.catalog.lock(client->session(), client->call_for(meta), std::move(m));
  auto locked = co_await std::move(locking);
  answer(client, meta, std::move(locked));
}

asio::awaitable<void> unlock(ClientPtr client, native::Meta meta, native::Unlock m) {
  const Running running(client);
  auto unlocking = client->host.catalog.unlock(client->session(), std::move(m));
  auto unlocked = co_await std::move(unlocking);
  answer(client, meta, std::move(unlocked));
}

asio::awaitable<void> pin(ClientPtr client, native::Meta meta, native::Pin m) {
  const Running running(client);
  auto pinning = client->host.catalog.pin(client->session(), client->call_for(meta), std::move(m));
  auto pinned = co_await std::move(pinning);
  answer(client, meta, std::move(pinned));
}

asio::awaitable<void> enter(ClientPtr client, native::Meta meta, native::Enter m, Tile details) {
  const Running running(client);
  auto entering = client->host.catalog.enter(client->session(), std::move(m), std::move(details));
  auto entered = co_await std::move(entering);
  answer(client, meta, std::move(entered));
}

asio::awaitable<void> settle(ClientPtr client, native::Meta meta, native::Settle m) {
  const Running running(client);
  auto settling = client->host.catalog.settle(client->session(), std::move(m));
  auto settled = co_await std::move(settling);
  answer(client, meta, std::move(settled));
}

// The details are read before anything else is.
net::Task<void> begin_enter(ClientPtr client, native::Meta meta, native::Enter m) {
  const Shares shares = co_await client->connection->take(m.detail_bytes);
  auto bytes = std::make_shared<std::vector<std::byte>>(m.detail_bytes);
  auto reading = client->connection->payload(*bytes);
  auto read = co_await std::move(reading);
  if (!read) co_return read;
  const Tile details = native::blob_tile(std::move(bytes));
  if (details && details.computed_checksum() != m.checksum)
    answer(client, meta, fail(Errc::corrupt, "the record of a name arrived damaged: enter it again"));
  else
    client->connection->tasks().spawn(enter(client, meta, std::move(m), details));
  co_return Result<void>();
}

}  // namespace

net::Task<bool> begin_named(ClientPtr client, native::Meta meta, native::Message message) {
  net::Tasks& tasks = client->connection->tasks();
  if (auto* to_enter = std::get_if<native::Enter>(&message)) {
    auto beginning = begin_enter(client, meta, std::move(*to_enter));
    auto begun = co_await std::move(beginning);
    if (!begun) co_return pass(std::move(begun.error()));
  } else if (const auto* name = std::get_if<native::Look>(&message)) {
    look(client, meta, *name);
  } else if (const auto* after = std::get_if<native::ListNames>(&message)) {
    client->connection->send(meta, client->host.catalog.page(after->after));
  } else if (auto* to_lock = std::get_if<native::Lock>(&message)) {
    tasks.spawn(lock(client, meta, std::move(*to_lock)));
  } else if (auto* to_unlock = std::get_if<native::Unlock>(&message)) {
    tasks.spawn(unlock(client, meta, std::move(*to_unlock)));
  } else if (auto* to_pin = std::get_if<native::Pin>(&message)) {
    tasks.spawn(pin(client, meta, std::move(*to_pin)));
  } else if (auto* to_settle = std::get_if<native::Settle>(&message)) {
    tasks.spawn(settle(client, meta, std::move(*to_settle)));
  } else {
    co_return false;
  }
  co_return true;
}

void restore_names(NativeHost& host) {
  NamesParts& names = host.parts.names;
  const auto complain = [&host](const std::string& what) { host.parts.log.line(Level::error, what); };
  std::map<ImageId, const KeptImage*> kept;
  for (const KeptImage& image : names.images) kept.emplace(image.image, &image);
  for (const KeptRecord& one : names.records) {
    auto images = Catalog::images_of(one.record);
    if (images) {
      for (const ImageId& image : *images) {
        const auto found = kept.find(image);
        if (found == kept.end()) {
          complain(fmt::format("named image `{}': its pixels (image {}) are lost", one.name, image.text()));
          continue;
        }
        const KeptImage& is = *found->second;
        kept.erase(found);
        if (is.spec.check())
          host.leases.keep(image, is.spec, is.bytes);
        else
          complain(fmt::format("named image `{}': its pixels (image {}) are damaged beyond reading", one.name, image.text()));
      }
    }
    auto restored = images ? host.catalog.restore(one.name, one.record) : Result<void>(pass(std::move(images.error())));
    if (restored) continue;
    complain(fmt::format("named image `{}': {}", one.name, restored.error().what));
    host.catalog.lost(one.name, std::move(restored.error()));
  }
  for (LostRecord& one : names.lost) {
    complain(fmt::format("named image `{}': {}", one.name, one.why.what));
    if (!one.name.empty()) host.catalog.lost(one.name, std::move(one.why));
  }
  // A record that cannot be read may speak of any of them; they are kept then, for whoever mends it.
  const Call call;
  if (names.lost.empty())
    for (const auto& [image, what] : kept)
      if (auto dropped = host.parts.store->drop(call, image); !dropped) complain(dropped.error().what);
  names.images.clear();
  names.records.clear();
  names.lost.clear();
}

}  // namespace smalti::server
