#include "client/name_lock.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "wire/native_blob.h"

namespace smalti::client {

namespace native = wire::native;

namespace {

constexpr std::chrono::seconds writing_patience{10};  // with a server that says nothing
constexpr int most_tries = 4;
constexpr std::chrono::milliseconds first_pause{40};
constexpr std::chrono::seconds farewell{5};  // for giving a lock back
// A forced deletion begins a new run of numbers. Names that ever had one are never forgotten: a server that was taken for
// gone may come back with an older version.
constexpr native::Number forced_step = native::Number{1} << 32;

native::Number seconds_of_clock() {
  return static_cast<native::Number>(
      std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count());
}

bool contains(const std::vector<std::size_t>& all, std::size_t one) {
  return std::find(all.begin(), all.end(), one) != all.end();
}

void add_words(std::string& text, const std::string& more) { text += (text.empty() ? "" : "; ") + more; }

}  // namespace

Result<std::unique_ptr<NameLock>> NameLock::take(const Call& call, std::unique_ptr<Scouts> scouts, Log& log,
                                                 const std::string& name, For what) {
  std::unique_ptr<NameLock> lock(new NameLock(std::move(scouts), log, name, what));
  // Two that begin at the same moment may hinder each other; each then waits for a while of its own.
  const auto dice = std::to_integer<unsigned>(ImageId::fresh().raw[0]);
  for (int tries = 0;; ++tries) {
    SMALTI_CHECK(lock->survey(call));
    auto locked = lock->try_lock(call);
    // Somebody may have written between the look and the lock. Who only says anew what is there has to know what that is.
    if (locked && (what == For::mending || what == For::cancelling)) {
      const native::Number number = lock->number_;
      SMALTI_CHECK(lock->survey(call));
      lock->number_ = number;
      SMALTI_CHECK(lock->agreed(lock->locked_, "locked", ""));
    }
    if (locked) return lock;
    if (locked.error().code != Errc::conflict || tries + 1 >= most_tries) return pass(std::move(locked.error()));
    std::this_thread::sleep_for(first_pause * (tries + 1) + std::chrono::milliseconds(dice / 4));
    SMALTI_CHECK(call.alive());
  }
}

NameLock::~NameLock() {
  if (!told_) unlock(Call{}.within(farewell), locked_);
}

Result<void> NameLock::survey(const Call& call) {
  SMALTI_TRY(survey_, take_survey(call, *scouts_, name_, writing_patience));
  if (!forced()) SMALTI_CHECK(survey_->certain(name_));
  const auto best = latest(survey_->answers());
  const bool exists = best && !survey_->answers()[*best].state->deleted;
  groups_.clear();
  if (for_ != For::cancelling) groups_.push_back(listed_group());
  add_known_groups(exists);
  SMALTI_CHECK(sensible(exists));
  number_ = next_number(survey_->answers());
  // What a server that is away knows, and all others have forgotten, is older: so it shall have a smaller number. Where
  // the clocks are wrong by more than lies between the two writes, this one may come to be the older one. In seconds: a
  // finer clock would reach the numbers of forced deletions.
  if (!best && !survey_->surely_absent(*scouts_)) number_ = std::max(number_, seconds_of_clock());
  if (forced()) number_ = (number_ / forced_step + 1) * forced_step;
  return agreed(everybody(), "reached", survey_->unreached(*scouts_));
}

NameLock::Group NameLock::listed_group() const {
  const std::vector<Answer>& answers = survey_->answers();
  Group group{{}, 0, "listed"};
  // To mend is to write, too; but nothing new comes into being, so the servers of the old version suffice.
  group.binding = for_ != For::mending;
  for (std::size_t i = 0; i < scouts_->listed(); ++i) {
    const bool twice = !answers[i].state && answers[i].state.error().code == Errc::invalid;
    if (twice) continue;
    ++group.of;
    if (answers[i].state || answers[i].state.error().code == Errc::corrupt) group.members.push_back(i);
  }
  return group;
}

// Those that the latest version is on; and where there is no image, those that one on its way was for.
void NameLock::add_known_groups(bool exists) {
  const std::vector<Answer>& answers = survey_->answers();
  if (const auto best = latest(answers)) {
    const auto& keepers = answers[*best].state->record.keepers;
    Group& group = groups_.emplace_back(Group{{}, keepers.size(), "registered"});
    for (std::size_t i = 0; i < answers.size(); ++i)
      if (answers[i].state && std::any_of(keepers.begin(), keepers.end(), [&](const native::Keeper& keeper) {
            return keeper.server == answers[i].server;
          }))
        group.members.push_back(i);
  }
  for (const Answer& answer : answers) {
    if (exists || !unfinished(answer) || answer.state->pinned_keepers.empty()) continue;
    const auto& keepers = answer.state->pinned_keepers;
    groups_.push_back({witnesses(answers, keepers), keepers.size(), "designated", for_ == For::cancelling});
  }
}

// Whether there is something to do it to.
Result<void> NameLock::sensible(bool exists) const {
  const std::vector<Answer>& answers = survey_->answers();
  const bool begun = std::any_of(answers.begin(), answers.end(), [](const Answer& a) {
    if (!a.state) return a.state.error().code == Errc::corrupt;
    return a.state->pinned != 0 || (a.state->number != 0 && !a.state->deleted);  // or it has missed the deletion
  });
  const bool deleting = for_ == For::deleting || (forced() && survey_->unreached(*scouts_).empty());
  const bool none = (for_ == For::mending && !exists) || (for_ == For::cancelling && groups_.empty()) ||
                    (deleting && !exists && !begun);
  return none ? Result<void>(pass(survey_->none(*scouts_, name_))) : Result<void>();
}

std::vector<std::size_t> NameLock::everybody() const {
  std::vector<std::size_t> all;
  for (const Group& group : groups_)
    for (const std::size_t n : group.members)
      if (!contains(all, n)) all.push_back(n);
  // One order for all clients: so of two that come at the same time one is first everywhere.
  std::sort(all.begin(), all.end(),
            [this](std::size_t a, std::size_t b) { return scouts_->identity(a).server < scouts_->identity(b).server; });
  return all;
}

std::string_view NameLock::verb() const noexcept {
  switch (for_) {
    case For::writing: return "writing";
    case For::mending: return "repairing";
    case For::cancelling: return "freeing what is left of";
    default: return "deleting";
  }
}

Result<void> NameLock::agreed(const std::vector<std::size_t>& who, std::string_view did, const std::string& why_not) const {
  if (forced())
    return who.empty() ? Result<void>(fail(Errc::unavailable, fmt::format("`dpc:{}': no server could be {}{}{}", name_, did,
                                                                          why_not.empty() ? "" : ": ", why_not)))
                       : Result<void>();
  for (const Group& group : groups_) {
    if (group.of == 0 || !group.binding) continue;
    const auto here = static_cast<std::size_t>(
        std::count_if(group.members.begin(), group.members.end(), [&](std::size_t n) { return contains(who, n); }));
    if (here >= writers_of(group.of)) continue;
    return fail(Errc::unavailable,
                fmt::format("{} `dpc:{}' needs {} of the {} {} servers, and {} could be {}{}{}{}", verb(), name_,
                            writers_of(group.of), group.of, group.what, here, did, why_not.empty() ? "" : ": ", why_not,
                            for_ == For::deleting ? "; where the others never come back: -define cache:forced-delete=true"
                                                  : ""));
  }
  return {};
}

// conflict, with the holder's name: not this time.
Result<void> NameLock::try_lock(const Call& call) {
  std::vector<std::size_t> left = everybody();
  std::optional<Error> conflict;
  std::string others;
  std::vector<std::size_t> asked;
  // The first one alone; then the rest.
  std::vector<std::size_t> whom{left.front()};
  left.erase(left.begin());
  while (!whom.empty() && !conflict) {
    SMALTI_TRY(const auto replies, scouts_->ask(call, whom, native::Lock{name_, number_}, {}, writing_patience));
    asked.insert(asked.end(), whom.begin(), whom.end());
    for (std::size_t i = 0; i < whom.size(); ++i) {
      if (!replies[i].failed)
        locked_.push_back(whom[i]);
      else if (replies[i].failed->code == Errc::conflict)
        conflict = replies[i].failed;
      else
        add_words(others, replies[i].failed->what);
    }
    whom = std::exchange(left, {});
  }
  // One that is held elsewhere is no hindrance to a majority.
  auto enough = agreed(locked_, "locked", others);
  if (enough) return {};
  unlock(call, asked);  // one that did not answer may have given it
  locked_.clear();
  if (conflict) return pass(std::move(*conflict));
  return pass(std::move(enough.error()));
}

void NameLock::unlock(const Call& call, const std::vector<std::size_t>& whom) {
  auto told = scouts_->ask(call, whom, native::Unlock{name_, number_}, {}, std::chrono::seconds(2));
  if (!told) log_.line(Level::debug, fmt::format("`dpc:{}': {}", name_, told.error().what));
}

std::vector<native::Keeper> NameLock::keepers(const std::vector<std::size_t>& whom) const {
  std::vector<native::Keeper> out;
  for (const std::size_t n : whom) {
    const Identity identity = scouts_->identity(n);
    out.push_back({identity.server, identity.incarnation, identity.durable, scouts_->address(n)});
  }
  return out;
}

const native::NameRecord* NameLock::latest_version() const {
  const auto best = latest(survey_->answers());
  if (!best || survey_->answers()[*best].state->deleted) return nullptr;
  return &survey_->answers()[*best].state->record;
}

bool NameLock::keepers_differ() const {
  const native::NameRecord* version = latest_version();
  if (!version) return false;
  const auto now = keepers(everybody());
  const auto same = [](const native::Keeper& a, const native::Keeper& b) {
    return a.server == b.server && (a.incarnation == b.incarnation || (a.durable && b.durable));
  };
  return !std::is_permutation(now.begin(), now.end(), version->keepers.begin(), version->keepers.end(), same);
}

// All who hold tiles must keep them; of those who hold copies only, all but so few that every tile is still somewhere.
Result<void> NameLock::pin(const Call& call, const native::NameRecord& record, const Placing& placing,
                           const std::vector<std::string>& holders) {
  std::vector<std::size_t> with, without, pinned;
  for (const std::size_t n : everybody())
    (std::find(holders.begin(), holders.end(), scouts_->address(n)) == holders.end() ? without : with).push_back(n);
  std::string refusals;
  std::vector<std::uint32_t> lost;  // servers of the placing
  for (std::uint32_t i = 0; i < placing.servers.size(); ++i) {
    const std::string address = placing.servers[i].address.text();
    const bool holds = std::find(holders.begin(), holders.end(), address) != holders.end();
    const bool known = std::any_of(with.begin(), with.end(), [&](std::size_t n) { return scouts_->address(n) == address; });
    if (holds && !known) lost.push_back(i);
  }
  for (const bool holds : {true, false}) {
    const auto& whom = holds ? with : without;
    SMALTI_TRY(const auto replies, scouts_->ask(call, whom, native::Pin{name_, number_, record.image, holds, record.keepers}));
    for (std::size_t i = 0; i < whom.size(); ++i) {
      if (!replies[i].failed) {
        pinned.push_back(whom[i]);
        continue;
      }
      add_words(refusals, replies[i].failed->what);
      for (std::uint32_t s = 0; holds && s < placing.servers.size(); ++s)
        if (placing.servers[s].address.text() == scouts_->address(whom[i])) lost.push_back(s);
    }
  }
  const auto gone = [&lost](std::uint32_t server) { return std::find(lost.begin(), lost.end(), server) != lost.end(); };
  const bool scattered = std::any_of(placing.exceptions.begin(), placing.exceptions.end(), [&](const Placing::Run& run) {
    return !run.holders.empty() && std::all_of(run.holders.begin(), run.holders.end(), gone);
  });
  if (lost.size() >= placing.replicas || scattered)
    return fail(Errc::unavailable, fmt::format("`dpc:{}' was not written: {}", name_,
                                               refusals.empty() ? "a server was lost" : refusals));
  return agreed(pinned, "told", refusals);
}

Result<void> NameLock::enter(const Call& call, native::Enter enter, const std::vector<std::byte>& details,
                             bool& everywhere) {
  const Tile blob = native::blob_tile(std::make_shared<const std::vector<std::byte>>(details));
  enter.checksum = blob ? blob.computed_checksum() : 0;
  enter.detail_bytes = static_cast<std::uint32_t>(details.size());
  const std::vector<std::size_t> whom = everybody();
  told_ = true;
  SMALTI_TRY(const auto replies, scouts_->ask(call, whom, enter, blob));
  std::vector<std::size_t> entered;
  std::string refusals;
  std::optional<Error> refusal;
  bool doubtful = false;
  for (std::size_t i = 0; i < whom.size(); ++i) {
    if (!replies[i].failed) {
      entered.push_back(whom[i]);
      continue;
    }
    refusal = replies[i].failed;
    doubtful = doubtful || (refusal->code != Errc::conflict && refusal->code != Errc::limit);
    add_words(refusals, replies[i].failed->what);
  }
  everywhere = number_ < forced_step && entered.size() == whom.size() &&
               std::all_of(groups_.begin(), groups_.end(), [](const Group& g) { return g.members.size() == g.of; });
  told_ = !entered.empty() || doubtful;
  if (!told_ && refusal) return pass(std::move(*refusal));
  if (auto enough = agreed(entered, "told", refusals); !enough)
    return fail(Errc::unavailable, fmt::format("{}; readers get the old version or the new one", enough.error().what));
  SMALTI_CHECK(scouts_->ask(call, entered, native::Settle{name_, number_, enter.deleted && everywhere}));
  return {};
}

Result<void> NameLock::commit(const Call& call, native::NameRecord record, Details details,
                              const std::vector<std::string>& holders) {
  SMALTI_TRY(const std::vector<std::byte> bytes, encode(details));
  record.keepers = keepers(for_ == For::mending ? everybody() : groups_.front().members);  // the listed ones
  SMALTI_CHECK(pin(call, record, details.placing, holders));
  bool everywhere = false;
  return enter(call, {name_, number_, false, false, std::move(record)}, bytes, everywhere);
}

Result<void> NameLock::commit_deletion(const Call& call) {
  native::NameRecord record;
  record.spec = {{1, 1}, {Sample::u8, 1, 0}};
  if (const auto best = latest(survey_->answers())) record = survey_->answers()[*best].state->record;
  record.keepers = keepers(everybody());
  bool everywhere = false;
  return enter(call, {name_, number_, true, false, std::move(record)}, {}, everywhere);
}

}  // namespace smalti::client
