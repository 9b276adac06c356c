#include "client/scouts.h"

#include <algorithm>
#include <numeric>

namespace smalti::client {

namespace native = wire::native;

Scouts::Scouts(net::Loop& loop, TileHeap& heap, Log& log, const ClusterOptions& options)
    : loop_(loop),
      heap_(heap),
      log_(log),
      options_(options),
      psk_(options.key ? *options.key : net::Psk(options.secret)),
      session_(ImageId::fresh()) {
  for (const HostPort& host : options.hosts) add(host);
  listed_ = scouts_.size();
}

void Scouts::add(const HostPort& host) {
  if (std::any_of(scouts_.begin(), scouts_.end(), [&](const Scout& scout) { return scout.host == host; })) return;
  LinkOptions options{host, psk_, options_.attributes, session_.raw, options_.encrypt};
  options.connections = 1;
  options.connect = options_.connect;
  options.answer = options_.answer;
  scouts_.push_back({host, host.text(), std::make_unique<Link>(loop_, heap_, log_, std::move(options))});
}

std::optional<std::size_t> Scouts::find(const native::Id& id) const {
  for (std::size_t i = 0; i < scouts_.size(); ++i)
    if (const Identity known = identity(i); known.epoch != 0 && known.server == id) return i;
  return std::nullopt;
}

void Scouts::add(const native::Keeper& keeper) {
  if (find(keeper.server)) return;
  // Only what parses as one address is one: the record may be anybody's.
  if (auto hosts = parse_hosts(keeper.address); hosts && hosts->size() == 1) add(hosts->front());
}

std::vector<std::size_t> Scouts::all() const {
  std::vector<std::size_t> out(scouts_.size());
  std::iota(out.begin(), out.end(), std::size_t{0});
  return out;
}

Result<std::vector<Scouts::Reply>> Scouts::ask(const Call& call, const std::vector<std::size_t>& whom,
                                               const native::Message& message, const Tile& payload,
                                               Clock::duration patience) {
  SMALTI_CHECK(psk_.key());  // here rather than on the loop: it takes a while
  const auto latch = std::make_shared<Latch>(whom.size(), &loop_);
  std::vector<Reply> replies;
  for (const std::size_t n : whom) {
    auto request = std::make_shared<Request>();
    request->message = message;
    if (payload) request->payloads.push_back(payload);
    request->call = call;
    request->latch = latch;
    replies.push_back({{}, request});
    scouts_[n].link->submit({request});
  }
  if (whom.empty()) return replies;
  const auto heard = [&replies] {
    return static_cast<std::size_t>(std::count_if(replies.begin(), replies.end(), [](const Reply& reply) {
      return reply.request->over && !reply.request->failed;
    }));
  };
  while (true) {
    const bool patient = patience == Clock::duration::max();
    auto answered = latch->wait(call, patient ? Clock::time_point::max() : Clock::now() + patience);
    if (answered && !*answered && 2 * heard() < whom.size()) continue;
    if (!answered || !*answered)
      for (const Reply& reply : replies) reply.request->abandoned = true;
    if (!answered) return pass(std::move(answered.error()));
    break;
  }
  for (std::size_t i = 0; i < replies.size(); ++i)
    replies[i].failed = replies[i].request->over
                            ? replies[i].request->failed
                            : Error{Errc::unavailable, address(whom[i]) + ": it does not answer"};
  return replies;
}

}  // namespace smalti::client
