// Survey: what the servers know of one name, gathered for a decision.
#pragma once

#include <string>
#include <vector>

#include "client/quorum.h"
#include "client/scouts.h"

namespace smalti::client {

// The answers of all scouts, in their order; a server that answers under two addresses counts once.
class Survey {
 public:
  const std::vector<Answer>& answers() const noexcept { return answers_; }
  // The version that readers get, after it was made sure that later readers get no older one. unavailable: there is no
  // such image, or too few of its servers can be reached.
  Result<wire::native::Register> decide(const Call&, Scouts&, const std::string& name);
  // Whether all servers of that version were, none of them restarted.
  bool all_heard() const noexcept { return all_heard_; }
  // Whether some server keeps what a writer left that died before it was done.
  bool left_over() const noexcept;
  // Of that version.
  std::span<const std::byte> details() const noexcept { return details_; }
  // "10.0.0.1:6668: no answer; ...": of those that could not be asked.
  std::string unreached(const Scouts&) const;
  // Whether there can be no version that nobody here has heard of. REQUIRES: no version was found.
  bool surely_absent(const Scouts&) const;
  // Why there is no image to be had: there is none, or it cannot be known. REQUIRES: none was found, or a deletion.
  Error none(const Scouts&, const std::string& name) const;
  // Fails where the latest version's servers are too few to know it, with the same words as decide().
  Result<void> certain(const std::string& name) const;

 private:
  friend Result<Survey> take_survey(const Call&, Scouts&, const std::string&, Clock::duration);
  Error no_image(const Scouts&, const std::string& name) const;
  std::string addresses(const Scouts&, bool heard_only) const;  // of the listed ones
  Result<void> complete(const Call&, Scouts&, const std::string& name, const Verdict&);

  std::vector<Answer> answers_;
  std::vector<std::vector<std::byte>> bodies_;
  std::vector<std::byte> details_;
  bool all_heard_ = false;
};

// Asks the listed servers, and those that the latest version found is on, or one on its way will be, until no more of
// them turn up.
// One that does not answer within `patience` is done without, where at least half do.
Result<Survey> take_survey(const Call&, Scouts&, const std::string& name, Clock::duration patience);

}  // namespace smalti::client
