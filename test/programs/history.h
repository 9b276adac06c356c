// What the two kinds of work of smalti_history share: options, the clock, and what came of it.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "smalti/base/call.h"
#include "test/history/history.h"

namespace smalti::test {

struct HistoryOptions {
  std::map<std::string, std::string> given{
      {"--clients", "4"},  {"--threads", "4"},         {"--seconds", "10"}, {"--seed", "1"}, {"--names", "0"},
      {"--replicas", "1"}, {"--secret", "passphrase"}, {"--plain", "0"},    {"--pause", "0"},
      {"--least", "1"}};
  std::uint64_t number(const std::string& name) const { return std::strtoull(given.at(name).c_str(), nullptr, 10); }
  ClusterOptions cluster(const net::Psk& key) const;
};

// What happened; many threads tell it.
class Chronicle {
 public:
  Moment now() { return clock_.fetch_add(1); }
  std::uint64_t new_version() { return versions_.fetch_add(1) + 1; }
  void add(const std::vector<Event>& events) {
    const std::lock_guard lock(mutex_);
    events_.insert(events_.end(), events.begin(), events.end());
  }
  // Somebody was told an error, which is nothing wrong. One example is kept.
  void failed(const std::string& why) {
    const std::lock_guard lock(mutex_);
    ++failures_;
    if (example_.empty()) example_ = why;
  }
  // Something is wrong that a history of events does not show.
  void wrong(const std::string& what) {
    const std::lock_guard lock(mutex_);
    wrong_.push_back(what);
  }
  void refused() { ++refused_; }  // since somebody else was writing
  void written() { ++written_; }  // and so said

  // When the time is over and enough was written for the history to say something; or, whatever was, after a time in
  // which nothing can be hoped for any more.
  bool over(const HistoryOptions& options) const {
    const auto now = Clock::now();
    return now > begun_ + std::chrono::seconds(options.number("--seconds")) &&
           (written_ >= options.number("--least") || now > begun_ + std::chrono::seconds(options.number("--seconds") + 90));
  }

  // When all threads have ended.
  const std::vector<Event>& events() const { return events_; }
  const std::vector<std::string>& wrongs() const { return wrong_; }
  std::uint64_t failures() const { return failures_; }
  std::uint64_t refusals() const { return refused_; }
  const std::string& example() const { return example_; }

 private:
  std::atomic<Moment> clock_{1};
  std::atomic<std::uint64_t> versions_{0};
  std::atomic<std::uint64_t> refused_{0}, written_{0};
  const Clock::time_point begun_ = Clock::now();
  std::mutex mutex_;
  std::vector<Event> events_;       // guarded by mutex_
  std::uint64_t failures_ = 0;      // likewise
  std::string example_;             // likewise
  std::vector<std::string> wrong_;  // likewise
};

// Both block until all is over. false: could not even begin, and says why.
bool tiles_history(const HistoryOptions&, const net::Psk&, Chronicle&);
bool names_history(const HistoryOptions&, const net::Psk&, Chronicle&);

}  // namespace smalti::test
