// A history of reads and writes by many threads, of tiles or of images with names, and what is wrong with it.
//
// Each write of a key writes a version of its own. A read may return what was written last, or what is being
// written while it runs. It must not return what nobody wrote, a mixture, or something that was over and
// replaced before it began: neither another's, nor its own client's, nor older than what somebody had read
// before it began. A write that failed may have happened at any time since it began. A read that failed says
// nothing. An erasure is a write of "absent".
//
// For names more is promised: their writes happen one after the other, the same for all. That is what
// judge_order() looks at; tiles, which are written by one client, promise it only to those who wait.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace smalti::test {

using Moment = std::uint64_t;  // any clock that all threads share, and that never gives the same moment twice
inline constexpr Moment never = std::numeric_limits<Moment>::max();

struct Event {
  enum class Kind : std::uint8_t { write, read, erase } kind = Kind::read;
  std::uint32_t client = 0;
  std::uint64_t key = 0;
  // 0: absent. nullopt: something that nobody wrote whole.
  std::optional<std::uint64_t> version = 0;
  Moment begun = 0;
  Moment ended = 0;  // never: a write whose outcome is not known
};

class History {
 public:
  // What is wrong, a line each; the first `most`.
  static std::vector<std::string> judge(const std::vector<Event>& events, std::size_t most = 20) {
    std::map<std::uint64_t, Key> keys;
    for (const Event& each : events) {
      Key& key = keys[each.key];
      if (each.kind == Event::Kind::write)
        key.writes[*each.version] = &each;
      else if (each.kind == Event::Kind::erase)
        key.erasures.push_back(&each);
      else
        key.reads.push_back(&each);
    }
    std::vector<std::string> wrong;
    for (auto& [number, key] : keys) key.judge(wrong, most);
    return wrong;
  }

  // Whether all that was read of a key can be put into one order. Each version has a time at which it must have been
  // there: from the end of the first of its write and its reads to the begin of the last of them. No two versions can
  // have been there at once, and one that came and went within a moment cannot have done so while another was there.
  // (That this is enough for an order to exist is a theorem of Gibbons and Korach.)
  static std::vector<std::string> judge_order(const std::vector<Event>& events, std::size_t most = 20) {
    std::map<std::uint64_t, std::map<std::uint64_t, Stay>> keys;
    std::map<std::uint64_t, bool> erased;
    for (const Event& each : events) erased[each.key] |= each.kind == Event::Kind::erase;
    for (const Event& each : events) {
      if (!each.version || each.kind == Event::Kind::erase) continue;
      // What was absent from the beginning is a version, unless it may have been absent more than once.
      if (*each.version == 0 && erased[each.key]) continue;
      Stay& stay = keys[each.key][*each.version];
      if (*each.version == 0) stay.first_end = 0;
      stay.first_end = std::min(stay.first_end, each.ended);
      stay.last_begin = std::max(stay.last_begin, each.begun);
    }
    std::vector<std::string> wrong;
    for (const auto& [key, stays] : keys)
      for (auto one = stays.begin(); one != stays.end(); ++one)
        for (auto two = std::next(one); two != stays.end() && wrong.size() < most; ++two)
          if (one->second.excludes(two->second))
            wrong.push_back("key " + std::to_string(key) + ": " + one->second.text(one->first) + ", and " +
                            two->second.text(two->first));
    return wrong;
  }

 private:
  // Of a version: it was there from first_end to last_begin; where these are the other way round, at some moment between.
  struct Stay {
    Moment first_end = never, last_begin = 0;
    bool excludes(const Stay& other) const {
      const bool certain = first_end < last_begin || other.first_end < other.last_begin;
      return certain && first_end < other.last_begin && other.first_end < last_begin;
    }
    std::string text(std::uint64_t version) const {
      const bool certain = first_end < last_begin;
      return "version " + std::to_string(version) + (certain ? " was there from " : " came and went from ") +
             std::to_string(std::min(first_end, last_begin)) + " to " + std::to_string(std::max(first_end, last_begin));
    }
  };

  struct Key {
    std::map<std::uint64_t, const Event*> writes;
    std::vector<const Event*> erasures;
    std::vector<const Event*> reads;

    void judge(std::vector<std::string>& wrong, std::size_t most) {
      std::sort(reads.begin(), reads.end(),
                [](const Event* a, const Event* b) { return a->begun < b->begun; });
      // Of the writes that had ended by a moment, the one that began last; and the same for what reads that
      // had ended saw.
      std::vector<const Event*> by_end;
      for (const auto& [version, write] : writes)
        if (write->ended != never) by_end.push_back(write);
      for (const Event* erasure : erasures)
        if (erasure->ended != never) by_end.push_back(erasure);
      std::vector<const Event*> seen = reads;
      std::erase_if(seen, [&](const Event* r) { return !r->version || !writes.contains(*r->version); });
      const auto ends = [](const Event* a, const Event* b) { return a->ended < b->ended; };
      std::sort(by_end.begin(), by_end.end(), ends);
      std::sort(seen.begin(), seen.end(), ends);
      std::size_t next_write = 0, next_seen = 0;
      const Event* latest = nullptr;
      const Event* latest_seen = nullptr;
      for (const Event* read : reads) {
        for (; next_write < by_end.size() && by_end[next_write]->ended < read->begun; ++next_write)
          if (!latest || by_end[next_write]->begun > latest->begun) latest = by_end[next_write];
        for (; next_seen < seen.size() && seen[next_seen]->ended < read->begun; ++next_seen) {
          const Event* write = writes[*seen[next_seen]->version];
          if (!latest_seen || write->begun > latest_seen->begun) latest_seen = write;
        }
        if (wrong.size() < most) judge(*read, latest, latest_seen, wrong);
      }
    }

    void judge(const Event& read, const Event* latest, const Event* latest_seen,
               std::vector<std::string>& wrong) const {
      const auto say = [&](const std::string& what) {
        wrong.push_back("client " + std::to_string(read.client) + ", key " + std::to_string(read.key) +
                        ", read at " + std::to_string(read.begun) + ": " + what);
      };
      if (!read.version) return say("a mixture, or foreign pixels");
      const auto found = writes.find(*read.version);
      if (*read.version == 0) return judge_absence(read, latest, latest_seen, say);
      if (found == writes.end())
        return say("version " + std::to_string(*read.version) + " was never written");
      const Event& write = *found->second;
      if (write.begun > read.ended)
        return say("version " + std::to_string(*read.version) + " was not written yet");
      if (latest && write.ended < latest->begun)
        say("version " + std::to_string(*read.version) + " is older than " + text(*latest) +
            (latest->client == read.client ? ", which the same client had written"
                                           : ", which had been written"));
      else if (latest_seen && write.ended < latest_seen->begun)
        say("version " + std::to_string(*read.version) + " is older than " +
            std::to_string(*latest_seen->version) + ", which had been read");
    }

    // It must be from before all was written, or from an erasure that may be the last thing that happened.
    template <class Say>
    void judge_absence(const Event& read, const Event* latest, const Event* latest_seen, const Say& say) const {
      if (!latest && !latest_seen) return;
      for (const Event* erasure : erasures)
        if (erasure->begun < read.ended && (!latest || erasure->ended >= latest->begun) &&
            (!latest_seen || erasure->ended >= latest_seen->begun))
          return;
      if (latest && latest->kind == Event::Kind::write)
        say("absent, though version " + std::to_string(*latest->version) + " was written");
      else if (latest_seen)
        say("absent, though version " + std::to_string(*latest_seen->version) + " had been read");
    }

    static std::string text(const Event& write) {
      return write.kind == Event::Kind::erase ? "its deletion at " + std::to_string(write.begun)
                                              : std::to_string(*write.version);
    }
  };
};

}  // namespace smalti::test
