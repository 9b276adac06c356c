// What the keeper does for images that have a name. Their tiles do not change, so any client may put a copy anew; and when
// it has, the name's record is to say where the copies are.
#include <fmt/format.h>

#include "client/keeper.h"
#include "client/put_rounds.h"

namespace smalti::client {

namespace {

// A server that is restarted at once has its images again, if it keeps them; and who reads for a moment copies nothing.
constexpr std::chrono::seconds named_pause{1};
constexpr std::chrono::seconds remember_pause{3};  // between attempts: somebody may be writing the name
constexpr unsigned most_tries = 5;
constexpr std::chrono::seconds longest_mending{3};
constexpr std::chrono::milliseconds look_every{50};

}  // namespace

void Keeper::tend(const ImageId& image, Remember remember) {
  const std::lock_guard lock(mutex_);
  cares_[image].remember = std::move(remember);
}

void Keeper::forget(const ImageId& image) {
  const std::lock_guard lock(mutex_);
  cares_.erase(image);
}

// Something was lost, or is back.
void Keeper::missed() {
  for (const auto& [id, record] : images_.all()) record->may_be_short = true;
  const std::lock_guard lock(mutex_);
  for (auto& [id, care] : cares_) {
    care.due = true;
    care.tries = 0;
  }
}

void Keeper::finish_mending() {
  std::unique_lock lock(mutex_);
  if (!thread_.joinable()) return;
  told_.wait_for(lock, longest_mending, [this] { return damages_.empty() && !mending_; });
}

Result<std::uint64_t> Keeper::restore(const Call& call, ImageRecord& record) {
  std::unique_lock lock(mutex_);
  Care& care = cares_[record.id];
  care.not_before = Clock::now();
  care.asked = care.due = true;
  care.looked = false;
  care.answer.reset();
  record.may_be_short = true;
  fleet_.nudge();
  while (true) {
    const auto found = cares_.find(record.id);
    if (found == cares_.end()) return fail(Errc::cancelled, "the image was closed meanwhile");
    if (found->second.answer) return *std::exchange(found->second.answer, {});
    if (auto alive = call.alive(); !alive) {
      found->second.asked = false;
      return pass(std::move(alive.error()));
    }
    told_.wait_for(lock, look_every);
  }
}

// True: to be looked at again, later.
bool Keeper::too_early(ImageRecord& record) {
  const std::lock_guard lock(mutex_);
  const auto found = cares_.find(record.id);
  if (found == cares_.end()) return false;
  Care& care = found->second;
  if (care.not_before == Clock::time_point{}) care.not_before = Clock::now() + named_pause;
  if (Clock::now() < care.not_before) {
    record.may_be_short = true;
    return waiting_ = true;
  }
  care.copied_before = care.copied;
  care.looked = false;
  return false;
}

// Where a server was restarted: it may have kept the image.
void Keeper::open_again(ImageRecord& record) {
  std::vector<std::uint32_t> servers;
  for (std::uint32_t server = 0; server < fleet_.size(); ++server)
    if (fleet_.well(server) && record.part(server).tiles > 0) servers.push_back(server);
  for (const Opening& one : open_on(fleet_, call_, record, servers))
    if (one.error && one.error->code == Errc::unavailable && fleet_.well(one.server)) record.gone_from(one.server);
}

void Keeper::looked_through(ImageRecord& record) {
  const std::lock_guard lock(mutex_);
  const auto found = cares_.find(record.id);
  if (found == cares_.end()) return;
  Care& care = found->second;
  const bool progress = care.copied > care.copied_before;
  care.due = care.due || care.copied > 0;
  // Where some could not be copied there is another look; what was copied until nothing more could be is remembered.
  care.looked = care.due && (!record.may_be_short || !progress);
}

std::vector<std::string> Keeper::holders(const ImageRecord& record) const {
  std::vector<std::string> out;
  for (std::uint32_t server = 0; server < fleet_.size(); ++server)
    if (record.part(server).tiles > 0) out.push_back(fleet_.name(server));
  return out;
}

Result<std::uint64_t> Keeper::outcome(const ImageRecord& record, std::uint64_t copied) const {
  const auto tally = record.tally(well());
  if (tally.fewer + tally.none == 0) return copied;
  std::string text;
  if (tally.none > 0) text = fmt::format("{} of its tiles have no copy left", tally.none);
  if (tally.fewer > 0)
    text += fmt::format("{}{} of its tiles have fewer than {} copies, and no other server that can be reached has room "
                        "for them; add one to registry:cache:hosts",
                        text.empty() ? "" : "; ", tally.fewer, record.replicas());
  if (copied > 0) text += fmt::format(" ({} were copied)", copied);
  return fail(Errc::unavailable, text);
}

// True while there is something to be remembered.
bool Keeper::remember(ImageRecord& record) {
  Remember remember;
  std::uint64_t copied = 0;
  {
    const std::lock_guard lock(mutex_);
    const auto found = cares_.find(record.id);
    if (found == cares_.end() || !found->second.looked) return false;
    if (Clock::now() < found->second.not_before) {
      waiting_ = true;
      return false;
    }
    remember = found->second.remember;
    copied = found->second.copied;
  }
  auto done = remember ? remember(call_, fleet_.describe(record), holders(record), copied > 0) : Result<void>();
  const std::lock_guard lock(mutex_);
  const auto found = cares_.find(record.id);
  if (found == cares_.end()) return false;
  Care& care = found->second;
  if (care.asked) {
    care.answer = outcome(record, copied);
    if (!done && *care.answer) care.answer = pass(Error(done.error()));
    care.asked = false;
    told_.notify_all();
  }
  care.not_before = Clock::now() + remember_pause;
  care.looked = !done && ++care.tries < most_tries;
  if (done) {
    care.due = false;
    care.copied -= copied;
  } else {
    log_.line(Level::debug, done.error().what);
  }
  return false;
}

}  // namespace smalti::client
