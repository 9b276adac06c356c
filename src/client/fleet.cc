#include "client/fleet.h"

#include <algorithm>
#include <map>

namespace smalti::client {

Fleet::Fleet(net::Loop& loop, TileHeap& heap, Log& log, const ClusterOptions& options)
    : loop_(loop), psk_(options.key ? *options.key : net::Psk(options.secret)) {
  const ImageId session = ImageId::fresh();
  std::vector<HostPort> seen;
  for (const HostPort& host : options.hosts) {
    if (std::find(seen.begin(), seen.end(), host) != seen.end()) continue;
    seen.push_back(host);
    links_.push_back(std::make_unique<Link>(
        loop, heap, log,
        LinkOptions{host, psk_, options.attributes, session.raw, options.encrypt, options.connections, options.connect,
                    options.answer}));
  }
}

RequestPtr Fleet::request(const Call& call, wire::native::Message message) {
  auto made = std::make_shared<Request>();
  made->message = std::move(message);
  made->call = call;
  return made;
}

namespace {

Result<void> send_and_wait(net::Loop& loop, const Call& call, const std::vector<std::pair<Link*, RequestPtr>>& all) {
  if (all.empty()) return {};
  const auto latch = std::make_shared<Latch>(all.size(), &loop);
  std::map<Link*, std::vector<RequestPtr>> by_link;
  for (const auto& [link, request] : all) {
    request->latch = latch;
    by_link[link].push_back(request);
  }
  for (auto& [link, requests] : by_link) link->submit(std::move(requests));
  auto answered = latch->wait(call);
  if (!answered)
    for (const auto& [link, request] : all) request->abandoned = true;
  return answered;
}

}  // namespace

Result<void> Fleet::carry_out(const Call& call, const std::vector<Errand>& errands) {
  std::vector<std::pair<Link*, RequestPtr>> all;
  all.reserve(errands.size());
  for (const Errand& errand : errands) all.emplace_back(members_[errand.server]->link, errand.request);
  return send_and_wait(loop_, call, all);
}

Result<void> Fleet::meet(const Call& call) {
  if (met_) return {};
  const std::lock_guard lock(meeting_);
  if (met_) return {};
  if (links_.empty()) return fail(Errc::invalid, "no servers are set; set registry:cache:hosts");
  if (links_.size() > most_servers) return fail(Errc::invalid, "too many servers are listed");
  SMALTI_CHECK(psk_.key());  // here rather than on the loop: it takes a while
  std::vector<std::pair<Link*, RequestPtr>> pings;
  for (const auto& link : links_) pings.emplace_back(link.get(), request(call, wire::native::Ping{}));
  SMALTI_CHECK(send_and_wait(loop_, call, pings));

  std::optional<Error> absent;
  for (const auto& [link, ping] : pings) {
    if (!ping->failed) continue;
    if (absent)
      absent->what += "; " + ping->failed->what;
    else
      absent = ping->failed;
  }
  if (absent) return pass(std::move(*absent));

  std::vector<wire::native::Id> ids;
  for (const auto& link : links_) {
    const wire::native::Id id = link->identity().server;
    if (std::find(ids.begin(), ids.end(), id) != ids.end()) continue;
    ids.push_back(id);
    members_.push_back(std::make_unique<Member>());
    members_.back()->link = link.get();
  }
  rendezvous_ = Rendezvous(ids);
  met_ = true;
  return {};
}

}  // namespace smalti::client
