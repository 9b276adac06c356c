#include "client/fleet.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace smalti::client {

namespace {

// How often whoever waits looks whether a server was lost meanwhile.
constexpr std::chrono::milliseconds look_every{20};
// For servers that keep silent when others have answered, at the first meeting: so many times what the first to answer
// took, between these. Who comes later joins then.
constexpr unsigned times_first = 8;
constexpr std::chrono::milliseconds least_patience{400}, most_patience{1000};

}  // namespace

Fleet::Fleet(net::Loop& loop, TileHeap& heap, Log& log, const ClusterOptions& options)
    : loop_(loop),
      heap_(heap),
      log_(log),
      options_(options),
      psk_(options.key ? *options.key : net::Psk(options.secret)),
      session_(ImageId::fresh()),
      careful_(options.replicas > 1) {
  for (const HostPort& host : options.hosts) add_link(host, true);
}

// Hosts that are listed twice are one link.
std::uint32_t Fleet::add_link(const HostPort& host, bool listed) {
  const std::unique_lock lock(mutex_);
  for (std::uint32_t i = 0; i < doors_.size(); ++i)
    if (doors_[i].link->host() == host) return i;
  const auto number = static_cast<std::uint32_t>(doors_.size());
  LinkOptions one{host, psk_, options_.attributes, session_.raw, options_.encrypt, options_.connections, options_.connect,
                  options_.answer};
  one.compress = options_.compress;
  one.share = options_.share;
  one.told = [this, number](const LinkEvent& event) { told(number, event); };
  doors_.push_back({std::make_unique<Link>(loop_, heap_, log_, std::move(one)), {}, listed});
  doors_.back().link->watch(careful_);
  link_count_ = number + 1;
  return number;
}

Link& Fleet::link(std::uint32_t number) const {
  const std::shared_lock lock(mutex_);
  return *doors_[number].link;
}

Member& Fleet::member(std::uint32_t server) const {
  const std::shared_lock lock(mutex_);
  return *members_[server];
}

std::uint32_t Fleet::well_count() const {
  const std::shared_lock lock(mutex_);
  return static_cast<std::uint32_t>(
      std::count_if(members_.begin(), members_.end(), [](const auto& one) { return one->well.load(); }));
}

std::optional<std::uint32_t> Fleet::member_of(std::uint32_t link) const {
  const std::shared_lock lock(mutex_);
  return doors_[link].member;
}

RequestPtr Fleet::request(const Call& call, wire::native::Message message) {
  auto made = std::make_shared<Request>();
  made->message = std::move(message);
  made->call = call;
  return made;
}

void Fleet::send(std::span<Errand> errands, const std::shared_ptr<Latch>& latch) {
  latch->add(errands.size());
  std::map<Link*, std::vector<RequestPtr>> by_link;
  for (Errand& errand : errands) {
    errand.request->latch = latch;
    errand.sent = Clock::now();
    by_link[&link_of(errand.server)].push_back(errand.request);
  }
  for (auto& [link, requests] : by_link) link->submit(std::move(requests));
}

void Fleet::give_up(Errand& errand) {
  errand.state = Errand::State::given_up;
  errand.request->abandoned = true;
  if (std::holds_alternative<wire::native::Get>(errand.request->message)) return;
  Member& lost = member(errand.server);
  const std::lock_guard lock(lost.mutex);
  lost.unsettled.push_back(errand.request);
}

Result<void> Fleet::carry_out(const Call& call, std::vector<Errand>& errands) {
  if (errands.empty()) return {};
  const auto waiting_for = latch();
  send(errands, waiting_for);
  while (true) {
    auto all = waiting_for->wait(call, careful() ? Clock::now() + look_every : Clock::time_point::max());
    if (!all) {
      for (Errand& errand : errands) errand.request->abandoned = true;
      return pass(std::move(all.error()));
    }
    bool waiting = false;
    for (Errand& errand : errands) {
      if (errand.state != Errand::State::pending) continue;
      if (errand.request->over)
        errand.state = Errand::State::over;
      else if (careful() && !well(errand.server))
        give_up(errand);
      else
        waiting = true;
    }
    if (!waiting) return {};
  }
}

std::optional<Error> Fleet::failure(const Errand& errand) const {
  if (errand.state == Errand::State::over) return errand.request->failed;
  return Error{Errc::unavailable, fmt::format("{}: the server does not answer", name(errand.server))};
}

std::vector<RequestPtr> Fleet::ping(const Call& call, const std::vector<Link*>& links,
                                    const std::shared_ptr<Latch>& latch) {
  latch->add(links.size());
  std::vector<RequestPtr> pings;
  for (Link* link : links) {
    pings.push_back(request(call, wire::native::Ping{}));
    pings.back()->latch = latch;
    link->submit({pings.back()});
  }
  return pings;
}

void Fleet::reach(const Call& call, const std::vector<std::uint32_t>& servers) {
  std::vector<Link*> links;
  std::vector<std::uint32_t> doors;
  for (const std::uint32_t server : servers) {
    if (epoch(server) != 0) continue;
    const std::shared_lock lock(mutex_);
    for (std::uint32_t i = 0; i < doors_.size(); ++i) {
      if (doors_[i].member != server) continue;
      links.push_back(doors_[i].link.get());
      doors.push_back(i);
    }
  }
  if (links.empty()) return;
  const auto answers = latch();
  const std::vector<RequestPtr> pings = ping(call, links, answers);
  const auto heard = hear(call, pings, *answers);
  for (std::size_t i = 0; i < pings.size(); ++i) {
    if (heard && pings[i]->over && !pings[i]->failed)
      member(join(doors[i])).well = true;
    else
      pings[i]->abandoned = true;
  }
}

// Until all have answered; where images have replicas, some while after the first has.
Result<void> Fleet::hear(const Call& call, const std::vector<RequestPtr>& pings, Latch& latch) const {
  const auto start = Clock::now();
  std::optional<Clock::time_point> until;
  while (true) {
    const auto next = careful() ? Clock::now() + look_every : Clock::time_point::max();
    auto all = latch.wait(call, next);
    if (!all || *all) return all ? Result<void>() : pass(std::move(all.error()));
    const bool some = std::any_of(pings.begin(), pings.end(), [](const auto& p) { return p->over && !p->failed; });
    if (some && !until)
      until = start + std::clamp<Clock::duration>((Clock::now() - start) * times_first, least_patience, most_patience);
    if (until && Clock::now() >= *until) return {};
  }
}

Result<void> Fleet::meet(const Call& call) {
  if (met_) return {};
  const std::lock_guard lock(meeting_);
  if (met_) return {};
  if (links() == 0) return fail(Errc::invalid, "no servers are set; set registry:cache:hosts");
  if (links() > most_servers) return fail(Errc::invalid, "too many servers are listed");
  SMALTI_CHECK(psk_.key());  // here rather than on the loop: it takes a while
  const auto answers = latch();
  std::vector<Link*> all;
  for (std::uint32_t i = 0; i < links(); ++i) all.push_back(&link(i));
  const std::vector<RequestPtr> pings = ping(call, all, answers);
  auto heard = hear(call, pings, *answers);
  if (!heard) {
    for (const RequestPtr& ping : pings) ping->abandoned = true;
    return heard;
  }

  std::optional<Error> absent, wrong;
  std::vector<std::uint32_t> present;
  for (std::uint32_t i = 0; i < pings.size(); ++i) {
    std::optional<Error> failed;
    if (!pings[i]->over)
      failed = Error{Errc::unavailable, fmt::format("{}: no answer", link(i).host().text())};
    else
      failed = pings[i]->failed;
    if (!failed) {
      present.push_back(i);
      continue;
    }
    if (failed->code != Errc::unavailable) wrong = failed;
    if (absent)
      absent->what += "; " + failed->what;
    else
      absent = std::move(failed);
  }
  if (absent && (present.empty() || wrong || !careful())) return pass(std::move(*absent));
  if (absent) log_.line(Level::warning, absent->what + "; going on without it");
  for (const std::uint32_t i : present) join(i);
  met_ = true;
  return {};
}

std::optional<std::uint32_t> Fleet::find(const wire::native::Id& id) const {
  for (std::uint32_t i = 0; i < members_.size(); ++i)
    if (members_[i]->id == id) return i;
  return std::nullopt;
}

std::uint32_t Fleet::join(std::uint32_t number) {
  const std::unique_lock lock(mutex_);
  Door& door = doors_[number];
  const Identity identity = door.link->identity();
  if (door.member && members_[*door.member]->id != identity.server) {
    members_[*door.member]->listed = false;
    members_[*door.member]->well = false;
    door.member.reset();
  }
  if (!door.member) door.member = find(identity.server);
  if (!door.member) {
    members_.push_back(std::make_unique<Member>(identity.server, door.link.get(), true));
    door.member = static_cast<std::uint32_t>(members_.size() - 1);
    size_ = static_cast<std::uint32_t>(members_.size());
  }
  Member& member = *members_[*door.member];
  if (member.link.load()->identity().server != member.id) member.link = door.link.get();
  member.listed = member.listed || door.listed;
  return *door.member;
}

Rule Fleet::rule(const ImageId& image, const ImageSpec& spec, std::optional<std::uint32_t> turn,
                 std::uint32_t replicas) const {
  Rule rule;
  rule.replicas = replicas;
  std::vector<wire::native::Id> ids;
  for (std::uint32_t i = 0; i < size(); ++i) {
    if (!member(i).listed) continue;
    rule.servers.push_back(i);
    ids.push_back(member(i).id);
  }
  if (turn)
    rule.first = *turn % static_cast<std::uint32_t>(ids.size());
  else
    rule.rendezvous = Rendezvous(ids).evened(image, Grid(spec));
  return rule;
}

Result<Rule> Fleet::rule(const ImageId& image, const ImageSpec& spec, const Placing& placing,
                         std::vector<std::uint32_t>& servers) {
  const bool sound = placing.ruled > 0 && placing.ruled <= placing.servers.size() &&
                     placing.servers.size() <= most_servers && placing.replicas > 0 &&
                     placing.replicas <= most_replicas && (!placing.first || *placing.first < placing.ruled);
  if (!sound)
    return fail(Errc::corrupt, fmt::format("image {}: the record of its placement makes no sense", image.text()));
  if (placing.replicas > 1 && !careful_.exchange(true))
    for (std::uint32_t i = 0; i < links(); ++i) link(i).watch(true);
  Rule rule;
  rule.first = placing.first;
  rule.replicas = placing.replicas;
  std::vector<wire::native::Id> ids;
  for (const Placing::Server& server : placing.servers) {
    std::optional<std::uint32_t> known;
    {
      const std::shared_lock lock(mutex_);
      known = find(server.id);
    }
    if (!known) {
      const std::uint32_t number = add_link(server.address, false);
      const std::unique_lock lock(mutex_);
      known = static_cast<std::uint32_t>(members_.size());
      members_.push_back(std::make_unique<Member>(server.id, doors_[number].link.get(), false));
      if (!doors_[number].member) doors_[number].member = known;
      size_ = static_cast<std::uint32_t>(members_.size());
    }
    servers.push_back(*known);
    if (servers.size() > placing.ruled) continue;
    rule.servers.push_back(*known);
    ids.push_back(server.id);
  }
  if (!rule.first) rule.rendezvous = Rendezvous(ids).evened(image, Grid(spec));
  nudge();
  return rule;
}

Placing Fleet::describe(const ImageRecord& record) const {
  Placing out;
  std::vector<std::optional<std::uint32_t>> place(size());
  const auto place_of = [&](std::uint32_t server) {
    if (!place[server]) {
      place[server] = static_cast<std::uint32_t>(out.servers.size());
      const Identity met = link_of(server).identity();
      out.servers.push_back({met.epoch != 0 ? met.server : member(server).id, link_of(server).host()});
    }
    return *place[server];
  };
  for (const std::uint32_t server : record.rule().servers) place_of(server);
  out.ruled = static_cast<std::uint32_t>(out.servers.size());
  out.first = record.rule().first;
  out.replicas = record.replicas();
  record.each_exception([&](std::uint64_t first, std::uint64_t tiles, const Copies& copies) {
    Placing::Run run{first, tiles, {}};
    for (const Copies::Copy& copy : copies)
      if (!copy.gone) run.holders.push_back(place_of(copy.server));
    out.exceptions.push_back(std::move(run));
  });
  return out;
}

void Fleet::told(std::uint32_t link, const LinkEvent& event) {
  const auto server = member_of(link);
  if (server && event.kind != LinkEvent::Kind::restarted) member(*server).well = false;
  {
    const std::lock_guard lock(incidents_mutex_);
    incidents_.push_back({link, event});
  }
  incident_.notify_all();
}

void Fleet::lose(std::uint32_t server, std::string_view why) {
  member(server).well = false;
  const std::shared_lock lock(mutex_);
  for (std::uint32_t i = 0; i < doors_.size(); ++i) {
    if (doors_[i].member != server) continue;
    const std::lock_guard noting(incidents_mutex_);
    incidents_.push_back({i, {LinkEvent::Kind::stalled, {Errc::unavailable, std::string(why)}}});
    break;
  }
  incident_.notify_all();
}

void Fleet::nudge() {
  {
    const std::lock_guard lock(incidents_mutex_);
    nudged_ = true;
  }
  incident_.notify_all();
}

std::vector<Incident> Fleet::await_incidents(std::stop_token stop, Clock::duration at_most) {
  std::unique_lock lock(incidents_mutex_);
  incident_.wait_for(lock, stop, at_most, [this] { return nudged_ || !incidents_.empty(); });
  nudged_ = false;
  return std::exchange(incidents_, {});
}

}  // namespace smalti::client
