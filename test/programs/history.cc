// smalti_history: many threads of several clients read and write on real servers, whatever happens to these, and
// every answer is judged afterwards.
//
//   smalti_history --hosts 127.0.0.1:7001,127.0.0.1:7002 --secret passphrase [--replicas 2] [--clients 4]
//                  [--threads 4] [--seconds 10] [--seed 1] [--plain 1] [--least 1]
//                  [--names 3 [--pause 40]]
//
// It goes on for so many seconds, and until so many writes (--least) have succeeded, but not for 90 s more.
// Without --names: tiles of an image a client. With it: so many images with names, which all clients write, read,
// keep open, give up and delete; --pause is the mean pause of a thread between two works, in ms.
//
// Prints one line: writes, reads, failures, and what was wrong. Exit 1 when anything was; 2 when nothing
// could be written.
#include "test/programs/history.h"

#include <algorithm>
#include <cstdio>

namespace smalti::test {
namespace {

std::vector<HostPort> hosts_of(const std::string& text) {
  std::vector<HostPort> hosts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t comma = std::min(text.find(',', at), text.size());
    const std::string one = text.substr(at, comma - at);
    const std::size_t colon = one.rfind(':');
    hosts.push_back({one.substr(0, colon), static_cast<std::uint16_t>(std::stoi(one.substr(colon + 1)))});
    at = comma + 1;
  }
  return hosts;
}

int run(const HistoryOptions& options) {
  const net::Psk key{Secret(options.given.at("--secret"))};
  Chronicle chronicle;
  const bool names = options.number("--names") > 0;
  if (!(names ? names_history : tiles_history)(options, key, chronicle)) return 2;
  const std::vector<Event>& all = chronicle.events();
  const auto reads =
      std::count_if(all.begin(), all.end(), [](const Event& e) { return e.kind == Event::Kind::read; });
  const auto writes = static_cast<long>(all.size()) - static_cast<long>(reads);
  std::vector<std::string> wrong = History::judge(all);
  for (const std::string& each : chronicle.wrongs()) wrong.push_back(each);
  if (names)
    for (const std::string& each : History::judge_order(all)) wrong.push_back(each);
  const std::string& example = chronicle.example();
  std::printf("history: seed %s, %ld writes, %ld reads, %lu failed, %zu wrong%s%s\n",
              options.given.at("--seed").c_str(), writes, static_cast<long>(reads),
              static_cast<unsigned long>(chronicle.failures()), wrong.size(),
              example.empty() ? "" : "; one failure: ", example.c_str());
  if (names)
    std::printf("refused, since somebody else was writing: %lu\n", static_cast<unsigned long>(chronicle.refusals()));
  for (const std::string& each : wrong) std::printf("wrong: %s\n", each.c_str());
  return wrong.empty() ? writes > 0 ? 0 : 2 : 1;
}

}  // namespace

ClusterOptions HistoryOptions::cluster(const net::Psk& key) const {
  ClusterOptions cluster;
  cluster.hosts = hosts_of(given.at("--hosts"));
  cluster.secret = Secret(given.at("--secret"));
  cluster.key = key;
  cluster.encrypt = number("--plain") == 0;
  cluster.placement = Placement::sharded;
  cluster.replicas = static_cast<std::uint32_t>(number("--replicas"));
  return cluster;
}

}  // namespace smalti::test

int main(int argc, char** argv) {
  smalti::test::HistoryOptions options;
  for (int i = 1; i + 1 < argc; i += 2) options.given[argv[i]] = argv[i + 1];
  if (!options.given.contains("--hosts")) {
    std::fprintf(
        stderr,
        "smalti_history --hosts HOST:PORT,... [--secret S] [--replicas N] [--clients N] [--threads N] "
        "[--seconds N] [--least N] [--seed N] [--plain 1] [--names N [--pause MS]]\n");
    return 2;
  }
  return smalti::test::run(options);
}
