#include "server/leases.h"

#include <fmt/format.h>

#include <algorithm>

namespace smalti::server {

Leases::Visit Leases::join(const wire::native::Id& id, const std::string& name, std::function<void()> close) {
  auto& session = sessions_[id];
  if (!session) session = std::make_unique<Session>();
  session->id = id;
  session->name = name;
  ++session->connections;
  ++session->visits;
  if (close) session->closers.emplace(session->visits, std::move(close));
  return {*this, *session};
}

net::Task<void> Leases::supersede(wire::native::Id id, Clock::time_point deadline) {
  const auto busy = [this, id]() -> Session* {
    const auto found = sessions_.find(id);
    return found != sessions_.end() && found->second->connections > 0 ? found->second.get() : nullptr;
  };
  while (Session* session = busy()) {
    for (const auto& [visit, close] : std::exchange(session->closers, {})) close();
    if (Clock::now() >= deadline)
      co_return fail(Errc::unavailable, "requests of an earlier connection of this client do not come to an end");
    if (busy()) co_await changed_.wait(deadline);
  }
  co_return Result<void>();
}

void Leases::leave(Session& session, std::uint64_t visit) {
  session.closers.erase(visit);
  if (--session.connections > 0) return;
  session.gone_since = Clock::now();
  changed_.notify();
  parts_.tasks.spawn(expire(session.id, session.visits));
}

asio::awaitable<void> Leases::expire(wire::native::Id id, std::uint64_t visits) {
  const auto until = Clock::now() + grace_;
  const auto forsaken = [this, id, visits]() -> Session* {
    const auto found = sessions_.find(id);
    const bool still =
        found != sessions_.end() && found->second->connections == 0 && found->second->visits == visits;
    return still ? found->second.get() : nullptr;
  };
  const auto has_something = [](const Session* session) { return !session->images.empty() || session->locks > 0; };
  while (forsaken() && has_something(forsaken()) && !closing_ && Clock::now() < until)
    co_await changed_.wait(until);
  Session* session = forsaken();
  if (!session) co_return;
  if (!session->images.empty() && !closing_)
    parts_.log.line(Level::info, fmt::format("client {} has been gone for {} s: its {} images are dropped",
                                             session->name, grace_.count() / 1000.0, session->images.size()));
  ++session->connections;  // nobody else may end it while its images go
  co_await end(*session);
  if (--session->connections > 0) co_return;  // the client came back, with nothing left
  sessions_.erase(id);
}

asio::awaitable<void> Leases::end(Session& session) {
  if (ended_) ended_(session);
  const std::vector<ImageId> images(session.images.begin(), session.images.end());
  for (const ImageId image : images) {
    const Call call;
    auto dropping = drop(session, call, image);
    auto dropped = co_await std::move(dropping);
    if (!dropped)
      parts_.log.line(Level::warning,
                      fmt::format("image {}: not dropped: {}", image.text(), dropped.error().what));
  }
}

Result<void> Leases::admit(const ImageSpec& spec) const {
  SMALTI_CHECK(spec.check());
  SMALTI_CHECK(parts_.ledger.fits(Resource::width, spec.size.w));
  SMALTI_CHECK(parts_.ledger.fits(Resource::height, spec.size.h));
  const Extent tile{std::min(spec.tile.w, spec.size.w), std::min(spec.tile.h, spec.size.h)};
  if (tile.area() * spec.format.pixel_bytes() > wire::native::most_tile_bytes)
    return fail(Errc::invalid,
                fmt::format("tiles of {}x{} pixels of {} bytes: a server takes tiles of at most {} MiB",
                            tile.w, tile.h, spec.format.pixel_bytes(), wire::native::most_tile_bytes >> 20));
  return {};
}

net::Task<void> Leases::open(Session& session, Call call, ImageId id, ImageSpec spec, As as) {
  if (auto fine = admit(spec); !fine) co_return pass(std::move(fine.error()));
  if (as != As::own && Grid(spec).tiles() > wire::native::most_named_tiles)
    co_return fail(Errc::invalid, fmt::format("an image with a name has at most {} tiles", wire::native::most_named_tiles));
  if (as == As::existing) {
    auto joining = join_readers(session, call, id, spec);
    auto joined = co_await std::move(joining);
    co_return joined;
  }
  while (true) {
    const auto found = images_.find(id);
    if (found == images_.end()) break;
    const bool going = found->second->state == Image::State::going;  // its id is free once it is gone
    if (!going && found->second->owner != &session)
      co_return fail(Errc::conflict, fmt::format("image {} belongs to another client", id.text()));
    if (found->second->state == Image::State::open) {
      if (found->second->grid.spec() == spec) co_return Result<void>();
      co_return fail(Errc::conflict,
                     fmt::format("image {} is open with another geometry; drop it first", id.text()));
    }
    if (auto alive = call.alive(); !alive) co_return pass(std::move(alive.error()));
    co_await changed_.wait(call.deadline);
  }
  auto listed = parts_.ledger.take(Resource::list_length, 1);
  if (!listed) co_return pass(std::move(listed.error()));
  const auto image = std::make_shared<Image>(spec);
  image->owner = &session;
  image->listed = std::move(*listed);
  image->counted = as == As::for_name;
  images_[id] = image;
  session.images.insert(id);
  if (image->counted && parts_.for_name) parts_.for_name(id);
  auto work = [store = parts_.store, call, id, spec] { return store->open(call, id, spec); };
  auto opened = co_await net::offload(parts_.waiters, std::move(work));
  if (opened) {
    image->state = Image::State::open;
  } else {
    images_.erase(id);
    session.images.erase(id);
  }
  changed_.notify();
  co_return opened;
}

net::Task<void> Leases::join_readers(Session& session, Call call, ImageId id, ImageSpec spec) {
  while (true) {
    const auto found = images_.find(id);
    const Image* image = found == images_.end() ? nullptr : found->second.get();
    if (image && image->state == Image::State::opening) {
      if (auto alive = call.alive(); !alive) co_return pass(std::move(alive.error()));
      co_await changed_.wait(call.deadline);
      continue;
    }
    const bool known = image && image->state == Image::State::open &&
                       (image->names > 0 || image->readers.contains(&session) || image->owner == &session);
    if (!known)
      co_return fail(Errc::unavailable, fmt::format("image {} is not kept here (any more)", id.text()));
    if (image->grid.spec() != spec)
      co_return fail(Errc::conflict, fmt::format("image {} has another geometry", id.text()));
    found->second->readers.insert(&session);
    session.images.insert(id);
    co_return Result<void>();
  }
}

Result<Leases::Use> Leases::use(const Session& session, const ImageId& id, For what) {
  const auto found = images_.find(id);
  Image* image = found == images_.end() ? nullptr : found->second.get();
  const bool owns = image && image->owner == &session;
  const bool reads = image && image->readers.contains(&session);
  if (!image || image->state != Image::State::open || (!owns && !reads))
    return fail(Errc::invalid, fmt::format("image {} is not open on this server", id.text()));
  const bool named = image->names > 0 || !owns;
  if ((what == For::writing && named) || (what == For::mending && named && !image->counted))
    return fail(Errc::conflict, fmt::format("image {} has a name: its pixels do not change any more", id.text()));
  return Use(*this, found->second);
}

Result<bool> Leases::Use::take_room(const TileKey& key) {
  Image& image = *image_;
  if (!image.counted) return false;
  if (image.taken.empty()) image.taken.resize(image.grid.tiles());
  const auto at = static_cast<std::size_t>(image.grid.index(key));
  if (image.taken[at]) return false;
  const std::uint64_t bytes = image.grid.rect(key).size.area() * image.grid.spec().format.pixel_bytes();
  SMALTI_CHECK(leases_->parts_.quota.take(bytes));
  image.taken[at] = true;
  image.held += bytes;
  return true;
}

void Leases::Use::give_room(const TileKey& key) {
  Image& image = *image_;
  const auto at = static_cast<std::size_t>(image.grid.index(key));
  if (image.taken.empty() || !image.taken[at]) return;
  const std::uint64_t bytes = image.grid.rect(key).size.area() * image.grid.spec().format.pixel_bytes();
  image.taken[at] = false;
  image.held -= bytes;
  leases_->parts_.quota.give(bytes);
}

net::Task<void> Leases::drop(Session& session, Call call, ImageId id) {
  while (true) {
    const auto found = images_.find(id);
    if (found == images_.end()) co_return Result<void>();
    const std::shared_ptr<Image> image = found->second;
    const bool going = image->state == Image::State::going;
    if (!going && image->owner != &session && !image->readers.contains(&session)) {
      // It was this session's, and is another's to read.
      if (image->names > 0) co_return Result<void>();
      co_return fail(Errc::conflict, fmt::format("image {} belongs to another client", id.text()));
    }
    if (image->state == Image::State::open) {
      image->readers.erase(&session);
      if (image->owner == &session) image->owner = nullptr;
      session.images.erase(id);
      if (image->kept()) co_return Result<void>();
      auto removing = remove(call, id, image);
      auto removed = co_await std::move(removing);
      co_return removed;
    }
    if (auto alive = call.alive(); !alive) co_return pass(std::move(alive.error()));
    co_await changed_.wait(call.deadline);
  }
}

// Once begun it is carried through, whatever becomes of the client: an image half gone is of use to nobody.
net::Task<void> Leases::remove(Call call, ImageId id, std::shared_ptr<Image> image) {
  image->state = Image::State::going;
  while (image->busy > 0) co_await changed_.wait();
  Call free_of_client;
  free_of_client.trace = call.trace;
  auto work = [store = parts_.store, free_of_client, id] { return store->drop(free_of_client, id); };
  auto dropped = co_await net::offload(parts_.waiters, std::move(work));
  parts_.quota.give(std::exchange(image->held, 0));
  images_.erase(id);
  changed_.notify();
  co_return dropped;
}

Result<void> Leases::name(const ImageId& id) {
  const auto found = images_.find(id);
  const Image* image = found == images_.end() ? nullptr : found->second.get();
  if (!image || (!image->owner && image->names == 0) || image->state != Image::State::open)
    return fail(Errc::unavailable, fmt::format("image {} is not kept here any more: its client was away for too long",
                                               id.text()));
  ++found->second->names;
  return {};
}

void Leases::unname(const ImageId& id) {
  const auto found = images_.find(id);
  if (found == images_.end()) return;
  Image& image = *found->second;
  --image.names;
  if (image.kept() || image.state != Image::State::open) return;
  image.state = Image::State::going;  // from now on nobody finds it
  parts_.tasks.spawn(clear(this, id, found->second));
}

asio::awaitable<void> Leases::clear(Leases* self, ImageId id, std::shared_ptr<Image> image) {
  const Call call;
  auto removing = self->remove(call, id, std::move(image));
  auto removed = co_await std::move(removing);
  if (!removed)
    self->parts_.log.line(Level::warning, fmt::format("image {}: not dropped: {}", id.text(), removed.error().what));
}

void Leases::keep(const ImageId& id, const ImageSpec& spec, std::uint64_t bytes) {
  const auto image = std::make_shared<Image>(spec);
  image->state = Image::State::open;
  image->names = 1;
  image->counted = true;
  image->held = bytes;
  parts_.quota.charge(bytes);
  image->listed = parts_.ledger.charge(Resource::list_length, 1);
  images_[id] = image;
}

std::uint64_t Leases::held(const ImageId& id) const {
  const auto found = images_.find(id);
  return found == images_.end() ? 0 : found->second->held;
}

Session* Leases::find(const wire::native::Id& id) const {
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second.get();
}

std::size_t Leases::connected() const noexcept {
  return static_cast<std::size_t>(
      std::count_if(sessions_.begin(), sessions_.end(), [](const auto& one) { return one.second->connections > 0; }));
}

void Leases::close() {
  closing_ = true;
  changed_.notify();
}

}  // namespace smalti::server
