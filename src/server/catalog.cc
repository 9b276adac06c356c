#include "server/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "wire/native_blob.h"
#include "wire/native_decode.h"

namespace smalti::server {

namespace {

namespace native = wire::native;

constexpr std::size_t page_bytes = 400u << 10;  // of records on a page, about
constexpr std::uint8_t pinned_here = 1, entered_here = 2;

std::size_t bytes_of(const native::Register& state) {
  std::size_t bytes = 160;
  for (const auto* keepers : {&state.record.keepers, &state.pinned_keepers})
    for (const native::Keeper& keeper : *keepers) bytes += 28 + keeper.address.size();
  return bytes;
}

}  // namespace

class Catalog::Turn {
 public:
  explicit Turn(Catalog& catalog) : catalog_(catalog) { catalog_.busy_ = true; }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  ~Turn() {
    catalog_.busy_ = false;
    catalog_.idle_.notify();
  }

 private:
  Catalog& catalog_;
};

Catalog::Catalog(Parts parts) : parts_(std::move(parts)), idle_(parts_.loop.executor()) {
  parts_.leases.on_end([this](const Session& session) { session_ended(session); });
}

Catalog::Name* Catalog::find(const std::string& name) {
  const auto found = names_.find(name);
  return found == names_.end() ? nullptr : &found->second;
}

bool Catalog::holds_lock(const Name& name, const Session& session, Number number) const {
  return name.lock && name.lock->session == session.id && name.lock->number == number;
}

Error Catalog::not_the_writer(const std::string& name) const {
  return {Errc::conflict, fmt::format("`{}': its lock is not this client's (any more): it was away for too long, or the "
                                      "server was restarted", name)};
}

void Catalog::tidy(const std::string& name) {
  const Name* known = find(name);
  if (known && !known->lock && !known->pinned && !known->entered && !known->damage) names_.erase(name);
}

// What readers learn.

native::Register Catalog::register_of(const Name& name) const {
  native::Register out;
  out.promised = name.promised;
  if (name.lock) out.holder = name.lock->who;
  if (name.pinned) {
    out.pinned = name.pinned->number;
    out.orphaned = name.pinned->orphaned;
    out.pinned_keepers = name.pinned->keepers;
  }
  if (!name.entered) return out;
  out.number = name.entered->number;
  out.settled = name.entered->settled;
  out.deleted = name.entered->deleted;
  out.record = name.entered->record;
  if (name.entered->here) out.held_bytes = parts_.leases.held(name.entered->record.image);
  return out;
}

Result<Catalog::Told> Catalog::look(const std::string& name) const {
  const auto found = names_.find(name);
  if (found == names_.end()) return Told{};
  if (found->second.damage) return pass(*found->second.damage);
  Told told{register_of(found->second), {}};
  if (!found->second.entered) return told;
  told.details = found->second.entered->details;
  told.state.checksum = found->second.entered->checksum;
  told.state.detail_bytes = static_cast<std::uint32_t>(told.details.charge());
  return told;
}

native::NamesPage Catalog::page(const std::string& after) const {
  native::NamesPage out;
  out.quota = parts_.quota.most();
  out.used = parts_.quota.used();
  std::size_t bytes = 0;
  for (auto at = names_.upper_bound(after); at != names_.end(); ++at) {
    if (!at->second.pinned && !at->second.entered) continue;
    if (out.lines.size() >= native::most_names_on_page || bytes > page_bytes) {
      out.more = true;
      break;
    }
    out.lines.push_back({at->first, register_of(at->second)});
    bytes += at->first.size() + bytes_of(out.lines.back().state);
  }
  return out;
}

std::vector<LeftOver> Catalog::left_over() const {
  std::vector<LeftOver> out;
  for (const auto& [text, name] : names_) {
    if (!name.pinned || !name.pinned->orphaned) continue;
    LeftOver& one = out.emplace_back(LeftOver{text, {}});
    for (const native::Keeper& keeper : name.pinned->keepers) one.servers.push_back(keeper.address);
  }
  return out;
}

// Locks.

// Its writer is gone, or is taken for gone.
void Catalog::free_lock(Name& name) {
  // It may have been entered elsewhere, so it stays until somebody who has asked everywhere says what becomes of it.
  if (name.pinned && name.pinned->number == name.lock->number) name.pinned->orphaned = true;
  name.lock.reset();
}

net::Task<void> Catalog::lock(Session& session, Call call, native::Lock m) {
  Name* name = find(m.name);
  const auto others = [&] { return name && name->lock && name->lock->session != session.id; };
  while (others()) {
    Session* writer = parts_.leases.find(name->lock->session);
    if (writer && writer->connections > 0)
      co_return fail(Errc::conflict,
                     fmt::format("`{}' is being written by {}; try again when it is done", m.name, name->lock->who));
    const auto until = writer ? writer->gone_since + std::min<Clock::duration>(longest_silence, parts_.leases.grace())
                              : Clock::time_point::min();
    // What it asked for last may be under way to the disk.
    if (Clock::now() >= until && !busy_) {
      if (writer && writer->locks > 0) --writer->locks;
      free_lock(*name);
      break;
    }
    if (auto alive = call.alive(); !alive)
      co_return fail(Errc::conflict,
                     fmt::format("`{}' is being written by {}, which has not been heard of; its lock can be had within "
                                 "{} s", m.name, name->lock->who, longest_silence.count()));
    co_await idle_.wait(busy_ ? Clock::now() + longest_silence : until);
    name = find(m.name);
  }
  if (!name) {
    if (names_.size() >= most_names)
      co_return fail(Errc::limit, fmt::format("no more than {} names are kept; delete some with -delete-cache", most_names));
    name = &names_[m.name];
  }
  if (holds_lock(*name, session, m.number)) co_return Result<void>();
  if (m.number <= name->promised) {
    tidy(m.name);
    co_return fail(Errc::conflict, fmt::format("`{}': somebody else was faster; try again", m.name));
  }
  if (!name->lock) ++session.locks;
  name->promised = m.number;
  name->lock = Holder{session.id, session.name, m.number};
  co_return Result<void>();
}

void Catalog::session_ended(const Session& session) {
  std::vector<std::string> idle;
  for (auto& [text, name] : names_) {
    if (!name.lock || name.lock->session != session.id) continue;
    free_lock(name);
    idle.push_back(text);
  }
  for (const std::string& name : idle) tidy(name);
}

net::Task<void> Catalog::unlock(Session& session, native::Unlock m) {
  while (busy_) co_await idle_.wait();
  const Turn turn(*this);
  Name* name = find(m.name);
  if (!name) co_return Result<void>();
  const bool mine = holds_lock(*name, session, m.number);
  const bool left = name->pinned && name->pinned->number == m.number && (mine || name->pinned->orphaned);
  if (mine) {
    name->lock.reset();
    if (session.locks > 0) --session.locks;
  }
  if (left) {
    Name next = *name;
    next.pinned.reset();
    auto changing = change(m.name, std::move(next));
    auto changed = co_await std::move(changing);
    if (!changed) co_return changed;
  }
  tidy(m.name);
  co_return Result<void>();
}

// The three steps of a version.

// unavailable: the image is not here.
net::Task<void> Catalog::keep(Call call, ImageId image) {
  auto kept = parts_.leases.name(image);
  if (!kept) co_return kept;
  auto work = [store = parts_.store, call, image] { return store->sync(call, image); };
  auto synced = co_await net::offload(parts_.waiters, std::move(work));
  if (!synced) parts_.leases.unname(image);
  co_return synced;
}

Catalog::Name Catalog::with_pinned(Name name, native::Pin m, bool here) {
  name.pinned = Pinned{m.number, m.image, here, false, std::move(m.keepers)};
  return name;
}

net::Task<void> Catalog::pin(Session& session, Call call, native::Pin m) {
  const auto pinned_already = [&m](const Name* name) {
    return name && name->pinned && name->pinned->number == m.number && name->pinned->image == m.image;
  };
  Name* name = find(m.name);
  if (!name || !holds_lock(*name, session, m.number)) co_return pass(not_the_writer(m.name));
  if (pinned_already(name)) co_return Result<void>();
  auto keeping = keep(std::move(call), m.image);
  auto kept = co_await std::move(keeping);
  if (!kept && (m.holds || kept.error().code != Errc::unavailable)) co_return kept;
  while (busy_) co_await idle_.wait();
  const Turn turn(*this);
  name = find(m.name);
  const bool mine = name && holds_lock(*name, session, m.number);
  if (!mine || pinned_already(name)) {
    if (kept) parts_.leases.unname(m.image);
    if (!mine) co_return pass(not_the_writer(m.name));
    co_return Result<void>();
  }
  const std::string text = m.name;
  Name next = with_pinned(*name, std::move(m), kept.has_value());
  auto changing = change(text, std::move(next));
  auto changed = co_await std::move(changing);
  if (!changed && kept) parts_.leases.unname(m.image);
  co_return changed;
}

// The name with the version entered; nullopt: it is already, or a repair comes too late. Takes the details' room.
Result<std::optional<Catalog::Name>> Catalog::with_entered(const Session& session, native::Enter m, Tile details) {
  const Name* name = find(m.name);
  if (!m.repair && (!name || !holds_lock(*name, session, m.number))) return pass(not_the_writer(m.name));
  if (!name && names_.size() >= most_names) return fail(Errc::limit, "no more names are kept");
  Name next = name ? *name : Name{};
  if (next.entered) {
    const auto known = std::tie(next.entered->number, next.entered->record.image);
    const auto told = std::tie(m.number, m.record.image);
    if (known == told || (m.repair && known > told)) return std::optional<Name>();
    if (known > told)
      return fail(Errc::conflict, fmt::format("`{}' has been written by somebody else meanwhile", m.name));
  }
  SMALTI_CHECK(parts_.quota.take(details.charge()));
  Entered entered{m.number, false, m.deleted, false, std::move(m.record), std::move(details), m.checksum};
  if (next.pinned && next.pinned->number == m.number && next.pinned->image == entered.record.image && !m.deleted) {
    entered.here = next.pinned->here;
    next.pinned.reset();
  } else if (next.pinned && next.pinned->number <= m.number) {
    next.pinned.reset();
  }
  next.promised = std::max(next.promised, m.number);
  next.entered = std::move(entered);
  next.damage.reset();
  return std::optional<Name>(std::move(next));
}

net::Task<void> Catalog::enter(Session& session, native::Enter m, Tile details) {
  while (busy_) co_await idle_.wait();
  const Turn turn(*this);
  const std::string text = m.name;
  auto next = with_entered(session, std::move(m), details);
  if (!next) co_return pass(std::move(next.error()));
  if (!*next) co_return Result<void>();
  auto changing = change(text, std::move(**next));
  auto changed = co_await std::move(changing);
  if (!changed) parts_.quota.give(details.charge());
  co_return changed;
}

net::Task<void> Catalog::settle(Session& session, native::Settle m) {
  while (busy_) co_await idle_.wait();
  const Turn turn(*this);
  Name* name = find(m.name);
  if (!name) co_return Result<void>();
  if (holds_lock(*name, session, m.number)) {
    name->lock.reset();
    if (session.locks > 0) --session.locks;
  }
  if (!name->entered || name->entered->number < m.number)
    co_return fail(Errc::conflict, fmt::format("`{}': version {} was not entered here", m.name, m.number));
  if (name->entered->number > m.number) co_return Result<void>();
  Name next = *name;
  next.entered->settled = true;
  if (m.forget && next.entered->deleted) next.entered.reset();
  auto changing = change(m.name, std::move(next));
  auto changed = co_await std::move(changing);
  if (changed) tidy(m.name);
  co_return changed;
}

// Changes that survive.

// First the disk, then what readers see; what nobody refers to any more goes last.
net::Task<void> Catalog::change(std::string text, Name next) {
  if (parts_.shelf.put) {
    auto work = shelving(text, next);
    auto kept = co_await net::offload(parts_.waiters, std::move(work));
    if (!kept) co_return kept;
  }
  install(text, std::move(next));
  co_return Result<void>();
}

void Catalog::install(const std::string& text, Name next) {
  Name& name = names_[text];
  std::vector<ImageId> before, after;
  const auto images = [](const Name& of, std::vector<ImageId>& into) {
    if (of.pinned && of.pinned->here) into.push_back(of.pinned->image);
    if (of.entered && of.entered->here) into.push_back(of.entered->record.image);
  };
  images(name, before);
  images(next, after);
  const std::uint64_t details_before = name.entered ? name.entered->details.charge() : 0;
  const bool replaced = name.entered && (!next.entered || next.entered->number != name.entered->number);
  // Its lock, and what was promised, may have changed meanwhile.
  const bool orphaned = name.pinned && name.pinned->orphaned;
  if (name.pinned && next.pinned && name.pinned->number == next.pinned->number) next.pinned->orphaned = orphaned;
  name.pinned = next.pinned;
  name.entered = next.entered;
  name.damage = next.damage;
  name.promised = std::max(name.promised, next.promised);
  // A session that ended while the disk was waited for did not find its pin yet.
  if (name.pinned && (!name.lock || name.lock->number != name.pinned->number)) name.pinned->orphaned = true;
  if (replaced) parts_.quota.give(details_before);
  // Two versions may have the same image: each keeps it once.
  for (const ImageId& image : before) {
    const auto still = std::find(after.begin(), after.end(), image);
    if (still == after.end())
      parts_.leases.unname(image);
    else
      after.erase(still);
  }
}

std::function<Result<void>()> Catalog::shelving(const std::string& text, const Name& next) const {
  if (!next.pinned && !next.entered) return [shelf = parts_.shelf, text] { return shelf.remove(text); };
  return [shelf = parts_.shelf, text, record = record_of(next)] { return shelf.put(text, record); };
}

// Pinned image (16 bytes), what is here (1), then a register's frame and its body.
std::vector<std::byte> Catalog::record_of(const Name& name) {
  native::Register state;
  state.promised = name.promised;
  std::uint8_t here = 0;
  ImageId pinned;
  if (name.pinned) {
    state.pinned = name.pinned->number;
    state.orphaned = true;  // when it is read again
    state.pinned_keepers = name.pinned->keepers;
    pinned = name.pinned->image;
    here |= name.pinned->here ? pinned_here : 0;
  }
  Tile details;
  if (name.entered) {
    state.number = name.entered->number;
    state.settled = name.entered->settled;
    state.deleted = name.entered->deleted;
    state.record = name.entered->record;
    state.checksum = name.entered->checksum;
    details = name.entered->details;
    state.detail_bytes = static_cast<std::uint32_t>(details.charge());
    here |= name.entered->here ? entered_here : 0;
  }
  std::vector<std::byte> out(pinned.raw.begin(), pinned.raw.end());
  out.push_back(static_cast<std::byte>(here));
  const auto frame = native::encode({}, state);
  out.insert(out.end(), frame.begin(), frame.end());
  const auto body = details.bytes();
  out.insert(out.end(), body.begin(), body.end());
  return out;
}

namespace {

constexpr std::size_t prefix_bytes = 17;

// A register and its body, of bytes that a disk may have changed.
Result<Catalog::Told> told_of(std::span<const std::byte> bytes) {
  native::Decoder decoder(native::Decoder::From::server);
  std::optional<native::Frame> frame;
  while (!frame) {
    SMALTI_TRY(frame, decoder.next());
    if (frame) break;
    if (bytes.empty()) return fail(Errc::corrupt, "the record ends too early");
    const auto space = decoder.space();
    const std::size_t n = std::min(space.size(), bytes.size());
    std::copy_n(bytes.begin(), n, space.begin());
    decoder.filled(n);
    bytes = bytes.subspan(n);
  }
  auto* state = std::get_if<native::Register>(&frame->message);
  if (!state) return fail(Errc::corrupt, "the record is none of a name");
  Catalog::Told out{std::move(*state), {}};
  if (frame->body_bytes == 0) return out;
  auto body = std::make_shared<std::vector<std::byte>>(frame->body_bytes);
  const auto rest = decoder.claim(*body);
  if (rest.size() > bytes.size()) return fail(Errc::corrupt, "the record ends too early");
  std::copy_n(bytes.begin(), rest.size(), rest.begin());
  out.details = native::blob_tile(std::move(body));
  if (out.details.computed_checksum() != out.state.checksum)
    return fail(Errc::corrupt, "the record's details do not match their checksum");
  return out;
}

}  // namespace

Result<Catalog::Name> Catalog::name_of(std::span<const std::byte> record) {
  if (record.size() < prefix_bytes) return fail(Errc::corrupt, "the record ends too early");
  SMALTI_TRY(Told told, told_of(record.subspan(prefix_bytes)));
  const auto here = std::to_integer<std::uint8_t>(record[prefix_bytes - 1]);
  Name name;
  name.promised = std::max({told.state.promised, told.state.pinned, told.state.number});
  if (told.state.pinned != 0) {
    name.pinned = Pinned{told.state.pinned, {}, (here & pinned_here) != 0, true,
                         std::move(told.state.pinned_keepers)};
    std::copy_n(record.begin(), name.pinned->image.raw.size(), name.pinned->image.raw.begin());
  }
  if (told.state.number != 0)
    name.entered = Entered{told.state.number,
                           told.state.settled,
                           told.state.deleted,
                           (here & entered_here) != 0,
                           std::move(told.state.record),
                           std::move(told.details),
                           told.state.checksum};
  return name;
}

Result<std::vector<ImageId>> Catalog::images_of(std::span<const std::byte> record) {
  SMALTI_TRY(const Name name, name_of(record));
  std::vector<ImageId> images;
  if (name.pinned && name.pinned->here) images.push_back(name.pinned->image);
  if (name.entered && name.entered->here) images.push_back(name.entered->record.image);
  return images;
}

Result<void> Catalog::restore(const std::string& text, std::span<const std::byte> record) {
  SMALTI_TRY(Name name, name_of(record));
  if (name.pinned) name.pinned->here = name.pinned->here && parts_.leases.has(name.pinned->image);
  if (name.entered) {
    name.entered->here = name.entered->here && parts_.leases.has(name.entered->record.image);
    parts_.quota.charge(name.entered->details.charge());
  }
  names_[text] = std::move(name);
  return {};
}

void Catalog::lost(const std::string& text, Error why) {
  names_[text].damage = Error{Errc::corrupt, fmt::format("`{}': {}", text, why.what), why.sys};
}

}  // namespace smalti::server
