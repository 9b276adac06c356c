// A history of reads and writes of tiles by many threads, and what is wrong with it.
//
// Each write of a key writes a version of its own. A read may return what was written last, or what is being
// written while it runs. It must not return what nobody wrote, a mixture, or something that was over and
// replaced before it began: neither another's, nor its own client's, nor older than what somebody had read
// before it began. A write that failed may have happened at any time since it began. A read that failed says
// nothing.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace smalti::test {

using Moment = std::uint64_t;  // any clock that all threads share, and that never gives the same moment twice
inline constexpr Moment never = std::numeric_limits<Moment>::max();

struct Event {
  enum class Kind : std::uint8_t { write, read } kind = Kind::read;
  std::uint32_t client = 0;
  std::uint64_t key = 0;
  // 0: absent. nullopt: a tile that nobody wrote whole.
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
      else
        key.reads.push_back(&each);
    }
    std::vector<std::string> wrong;
    for (auto& [number, key] : keys) key.judge(wrong, most);
    return wrong;
  }

 private:
  struct Key {
    std::map<std::uint64_t, const Event*> writes;
    std::vector<const Event*> reads;

    void judge(std::vector<std::string>& wrong, std::size_t most) {
      std::sort(reads.begin(), reads.end(),
                [](const Event* a, const Event* b) { return a->begun < b->begun; });
      // Of the writes that had ended by a moment, the one that began last; and the same for what reads that
      // had ended saw.
      std::vector<const Event*> by_end;
      for (const auto& [version, write] : writes)
        if (write->ended != never) by_end.push_back(write);
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
      if (*read.version == 0) {
        if (latest) say("absent, though version " + std::to_string(*latest->version) + " was written");
        return;
      }
      if (found == writes.end())
        return say("version " + std::to_string(*read.version) + " was never written");
      const Event& write = *found->second;
      if (write.begun > read.ended)
        return say("version " + std::to_string(*read.version) + " was not written yet");
      if (latest && write.ended < latest->begun)
        say("version " + std::to_string(*read.version) + " is older than " +
            std::to_string(*latest->version) +
            (latest->client == read.client ? ", which the same client had written"
                                           : ", which had been written"));
      else if (latest_seen && write.ended < latest_seen->begun)
        say("version " + std::to_string(*read.version) + " is older than " +
            std::to_string(*latest_seen->version) + ", which had been read");
    }
  };
};

}  // namespace smalti::test
