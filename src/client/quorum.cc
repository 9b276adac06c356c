#include "client/quorum.h"

#include <algorithm>
#include <tuple>

namespace smalti::client {

using wire::native::Keeper;
using wire::native::Number;
using wire::native::Register;

bool later(const Register& a, const Register& b) noexcept {
  return std::tie(a.number, a.record.image) > std::tie(b.number, b.record.image);
}

std::optional<std::size_t> latest(const std::vector<Answer>& answers) noexcept {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (!answers[i].state || answers[i].state->number == 0) continue;
    if (!best || later(*answers[i].state, *answers[*best].state)) best = i;
  }
  return best;
}

bool unfinished(const Answer& answer) noexcept {
  return answer.state && answer.state->pinned > answer.state->number;
}

std::vector<std::size_t> witnesses(const std::vector<Answer>& answers, const std::vector<Keeper>& keepers) {
  std::vector<std::size_t> all, sure;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const auto keeper = std::find_if(keepers.begin(), keepers.end(), [&](const Keeper& one) {
      return answers[i].state && one.server == answers[i].server;
    });
    if (keeper == keepers.end()) continue;
    all.push_back(i);
    if (keeper->durable || keeper->incarnation == answers[i].incarnation) sure.push_back(i);
  }
  return all.size() == keepers.size() ? all : sure;
}

Verdict judge(const std::vector<Answer>& answers, std::size_t which) {
  const Register& best = *answers[which].state;
  Verdict verdict;
  std::size_t heard = 0;
  for (const Keeper& keeper : best.record.keepers) {
    const auto found = std::find_if(answers.begin(), answers.end(), [&keeper](const Answer& answer) {
      return answer.state && answer.server == keeper.server;
    });
    if (found == answers.end()) {
      verdict.missing += (verdict.missing.empty() ? "" : ", ") + keeper.address;
      continue;
    }
    const auto at = static_cast<std::size_t>(found - answers.begin());
    const bool has = !later(best, *found->state);
    // What a server that was restarted does not know it may only have forgotten.
    if (has || keeper.durable || keeper.incarnation == found->incarnation)
      ++heard;
    else
      verdict.missing += (verdict.missing.empty() ? "" : ", ") + keeper.address + " (restarted)";
    (has ? verdict.have : verdict.lack).push_back(at);
    verdict.settled = verdict.settled || (has && found->state->settled);
  }
  verdict.enough = heard >= readers_of(best.record.keepers.size());
  return verdict;
}

Number next_number(const std::vector<Answer>& answers) noexcept {
  Number most = 0;
  for (const Answer& answer : answers)
    if (answer.state) most = std::max({most, answer.state->promised, answer.state->pinned, answer.state->number});
  return most + 1;
}

}  // namespace smalti::client
