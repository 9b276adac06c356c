#include "client/survey.h"

#include <fmt/format.h>

#include <algorithm>

#include "wire/native_blob.h"

namespace smalti::client {

namespace native = wire::native;

namespace {

constexpr int most_rounds = 8;  // versions that each name other servers

Answer answer_of(const Scouts& scouts, std::size_t n, const Scouts::Reply& reply, const std::vector<Answer>& before) {
  Answer answer;
  const Identity identity = scouts.identity(n);
  answer.server = identity.server;
  answer.incarnation = identity.incarnation;
  if (reply.failed) {
    answer.state = pass(*reply.failed);
    return answer;
  }
  const auto* told = reply.request->answer ? std::get_if<native::Register>(&*reply.request->answer) : nullptr;
  if (!told)
    answer.state = fail(Errc::corrupt, fmt::format("{}: no answer to the question", scouts.address(n)));
  else
    answer.state = *told;
  for (std::size_t i = 0; i < before.size(); ++i)
    if (before[i].state && before[i].server == answer.server)
      answer.state = fail(Errc::invalid, fmt::format("{}: the same server as {}", scouts.address(n), scouts.address(i)));
  return answer;
}

}  // namespace

Result<Survey> take_survey(const Call& call, Scouts& scouts, const std::string& name, Clock::duration patience) {
  Survey survey;
  for (int round = 0; round < most_rounds && survey.answers_.size() < scouts.size(); ++round) {
    std::vector<std::size_t> whom;
    for (std::size_t n = survey.answers_.size(); n < scouts.size(); ++n) whom.push_back(n);
    SMALTI_TRY(auto replies, scouts.ask(call, whom, native::Look{name}, {}, patience));
    for (std::size_t i = 0; i < whom.size(); ++i) {
      survey.answers_.push_back(answer_of(scouts, whom[i], replies[i], survey.answers_));
      survey.bodies_.push_back(std::move(replies[i].request->body));
    }
    if (const auto best = latest(survey.answers_))
      for (const native::Keeper& keeper : survey.answers_[*best].state->record.keepers) scouts.add(keeper);
    // A version that is only pinned here may be entered there.
    for (const Answer& answer : survey.answers_)
      if (unfinished(answer))
        for (const native::Keeper& keeper : answer.state->pinned_keepers) scouts.add(keeper);
  }
  return survey;
}

std::string Survey::unreached(const Scouts& scouts) const {
  std::string out;
  for (std::size_t i = 0; i < answers_.size(); ++i) {
    if (answers_[i].state) continue;
    const std::string& what = answers_[i].state.error().what;
    const bool named = what.rfind(scouts.address(i), 0) == 0;
    out += fmt::format("{}{}{}", out.empty() ? "" : "; ", named ? "" : scouts.address(i) + ": ", what);
  }
  return out;
}

bool Survey::left_over() const noexcept {
  return std::any_of(answers_.begin(), answers_.end(), [](const Answer& answer) {
    return unfinished(answer) && answer.state->orphaned;
  });
}

Result<void> Survey::certain(const std::string& name) const {
  const auto best = latest(answers_);
  if (!best) return {};
  const Verdict verdict = judge(answers_, *best);
  if (verdict.enough) return {};
  const std::size_t keepers = answers_[*best].state->record.keepers.size();
  return fail(Errc::unavailable,
              fmt::format("`dpc:{}' is registered on {} servers, of which {} must be reached to be sure of its latest "
                          "version; not reached: {}",
                          name, keepers, readers_of(keepers), verdict.missing));
}

// That a server which forgets when it restarts knows nothing says nothing, once one that may know more cannot be asked.
bool Survey::surely_absent(const Scouts& scouts) const {
  std::size_t heard = 0, sure = 0;
  for (std::size_t i = 0; i < scouts.listed(); ++i) {
    const bool twice = !answers_[i].state && answers_[i].state.error().code == Errc::invalid;
    if (!answers_[i].state && !twice) continue;
    ++heard;
    if (twice || scouts.identity(i).durable) ++sure;
  }
  return heard == scouts.listed() || sure >= readers_of(scouts.listed());
}

Error Survey::no_image(const Scouts& scouts, const std::string& name) const {
  const std::string missing = unreached(scouts);
  return {Errc::unavailable, fmt::format("no image is named `dpc:{}' on {}{}", name, addresses(scouts, false),
                                         missing.empty() ? "; -list cache shows what there is"
                                                         : fmt::format(" (not asked: {})", missing))};
}

std::string Survey::addresses(const Scouts& scouts, bool heard_only) const {
  std::string out;
  for (std::size_t i = 0; i < scouts.listed(); ++i)
    if (!heard_only || answers_[i].state) out += (out.empty() ? "" : ", ") + scouts.address(i);
  return out;
}

Error Survey::none(const Scouts& scouts, const std::string& name) const {
  const std::string heard = addresses(scouts, true);
  if (heard.empty() && !answers_.empty())
    return {answers_[0].state.error().code, fmt::format("`dpc:{}': {}", name, unreached(scouts))};
  if (latest(answers_) || surely_absent(scouts)) return no_image(scouts, name);
  return {Errc::unavailable,
          fmt::format("`dpc:{}' was not found on {}; but not all servers could be asked, and those without cache:persist "
                      "forget names when they are restarted, so it may be on the others: {}",
                      name, heard, unreached(scouts))};
}

Result<native::Register> Survey::decide(const Call& call, Scouts& scouts, const std::string& name) {
  const auto best = latest(answers_);
  if (!best) return pass(none(scouts, name));
  const native::Register version = *answers_[*best].state;
  SMALTI_CHECK(certain(name));
  details_ = std::move(bodies_[*best]);
  if (!details_.empty()) {
    const Tile blob = native::blob_tile(std::make_shared<const std::vector<std::byte>>(details_));
    if (blob.computed_checksum() != version.checksum)
      return fail(Errc::corrupt, fmt::format("{}: the record of `dpc:{}' arrived damaged", scouts.address(*best), name));
  }
  const Verdict verdict = judge(answers_, *best);
  all_heard_ = verdict.missing.empty();
  SMALTI_CHECK(complete(call, scouts, name, verdict));
  if (version.deleted) return pass(no_image(scouts, name));
  return version;
}

// A version that some servers have not heard of is told to them, before it is believed: else a reader after us might
// find an older one. Where one is known to be settled nothing depends on it, and it only frees old pixels.
Result<void> Survey::complete(const Call& call, Scouts& scouts, const std::string& name, const Verdict& verdict) {
  if (verdict.settled && verdict.lack.empty()) return {};
  const native::Register& version = *answers_[verdict.have.front()].state;
  std::vector<std::size_t> have = verdict.have;
  if (!verdict.lack.empty()) {
    native::Enter enter{name, version.number, version.deleted, true, version.record, version.checksum, 0};
    enter.detail_bytes = static_cast<std::uint32_t>(details_.size());
    const Tile blob = native::blob_tile(std::make_shared<const std::vector<std::byte>>(details_));
    SMALTI_TRY(const auto replies, scouts.ask(call, verdict.lack, enter, blob));
    for (std::size_t i = 0; i < replies.size(); ++i)
      if (!replies[i].failed) have.push_back(verdict.lack[i]);
  }
  const std::size_t keepers = version.record.keepers.size();
  if (!verdict.settled && have.size() < writers_of(keepers))
    return fail(Errc::unavailable,
                fmt::format("the last write of `dpc:{}' was not finished, and {} of its {} servers must be reached to "
                            "finish it; not reached: {}",
                            name, writers_of(keepers), keepers, verdict.missing));
  SMALTI_CHECK(scouts.ask(call, have, native::Settle{name, version.number, false}));
  return {};
}

}  // namespace smalti::client
