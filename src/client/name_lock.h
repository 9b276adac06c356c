// NameLock: the right to give a name a new version, from enough of its servers that nobody else can have it too.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/details.h"
#include "client/scouts.h"
#include "client/survey.h"

namespace smalti::client {

// The lock needs a majority of the listed servers and, where the name is on others today, a majority of those. It is bound
// to the scouts' session: a client that dies gives it back when its lease ends. Used by one thread at a time.
class NameLock {
 public:
  // deleting, mending: unavailable where there is no such image. mending: the same image gets a new version, which says
  // where its tiles are now, and is registered on the servers of the old one, too.
  // forced_deleting: without a majority, by a number that no write has had, so that it outvotes whatever those that cannot
  // be reached come back with.
  // cancelling: where nothing but a version on its way is there, whose writer has died. It needs a majority of the servers
  // that this version was for, so that none can have been finished unseen.
  enum class For : std::uint8_t { writing, deleting, mending, cancelling, forced_deleting };
  static Result<std::unique_ptr<NameLock>> take(const Call&, std::unique_ptr<Scouts>, Log&, const std::string& name, For);
  ~NameLock();  // gives it back, where nothing was committed
  NameLock(const NameLock&) = delete;
  NameLock& operator=(const NameLock&) = delete;

  // The latest version, as it was when the lock was taken; none: there is none, or it is a deletion.
  const wire::native::NameRecord* latest_version() const;
  // Whether something is there that a dead writer left. As it was when the lock was taken.
  bool left_over() const noexcept { return survey_->left_over(); }
  // Whether mending would register the name on other servers than it is on, or on other lives of them.
  bool keepers_differ() const;

  // The three steps, on all servers. `holders`: addresses of servers that have tiles. The record's keepers are filled in.
  Result<void> commit(const Call&, wire::native::NameRecord, Details, const std::vector<std::string>& holders);
  Result<void> commit_deletion(const Call&);

 private:
  NameLock(std::unique_ptr<Scouts> scouts, Log& log, std::string name, For what)
      : scouts_(std::move(scouts)), log_(log), name_(std::move(name)), for_(what) {}

  // Servers that must agree, as scouts' numbers; `of` counts also those that were not reached.
  struct Group {
    std::vector<std::size_t> members;
    std::size_t of = 0;
    std::string_view what;
    bool binding = true;  // without a majority of it nothing is done
  };
  Result<void> survey(const Call&);
  Group listed_group() const;
  void add_known_groups(bool exists);
  Result<void> sensible(bool exists) const;
  Result<void> try_lock(const Call&);
  bool forced() const noexcept { return for_ == For::forced_deleting; }
  std::string_view verb() const noexcept;
  void unlock(const Call&, const std::vector<std::size_t>& whom);
  Result<void> agreed(const std::vector<std::size_t>& who, std::string_view did, const std::string& why_not) const;
  Result<void> pin(const Call&, const wire::native::NameRecord&, const Placing&, const std::vector<std::string>& holders);
  Result<void> enter(const Call&, wire::native::Enter, const std::vector<std::byte>& details, bool& everywhere);
  std::vector<wire::native::Keeper> keepers(const std::vector<std::size_t>& whom) const;
  std::vector<std::size_t> everybody() const;  // of both groups, each once

  std::unique_ptr<Scouts> scouts_;
  Log& log_;
  const std::string name_;
  const For for_;
  std::optional<Survey> survey_;
  std::vector<Group> groups_;  // the listed servers first, where they count
  wire::native::Number number_ = 0;
  std::vector<std::size_t> locked_;
  // Some server may have been told of the version: from here on nothing is taken back.
  bool told_ = false;
};

}  // namespace smalti::client
