// Fleet: the servers of a cluster, met and known apart, and how they are.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "client/image_record.h"
#include "client/link.h"
#include "client/placement.h"
#include "client/placing.h"

namespace smalti::client {

// One server, however often it was listed. Its number is its place in the fleet, for good.
struct Member {
  Member(const wire::native::Id& i, Link* l, bool w) : id(i), link(l), well(w) {}

  const wire::native::Id id;
  std::atomic<Link*> link;  // another one only as long as it was never met
  std::atomic<Clock::time_point> full_until{};  // it had no room a moment ago: ask others first
  // False: it was lost, and is asked for nothing that another server could answer until the keeper has met it again.
  std::atomic<bool> well;
  // One of today's hosts, and still the server that was met there. The others only have what they had.
  std::atomic<bool> listed{false};

  std::mutex mutex;
  // Guarded by mutex, all below.
  std::vector<RequestPtr> unsettled;  // given up by their callers; what they carry may still arrive
  std::vector<ImageId> to_drop;       // of which it could not be told
};

// A request to one member, and which of the caller's items it speaks for.
struct Errand {
  std::uint32_t server = 0;
  RequestPtr request;
  std::vector<std::size_t> items;
  Clock::time_point sent{};
  enum class State : std::uint8_t { pending, over, given_up } state = State::pending;
  bool hedged = false;  // other servers were asked, too
};

// Something that the keeper looks after.
struct Incident {
  std::uint32_t link = 0;
  LinkEvent event;
};

// Thread-safe. No connection is made before meet().
class Fleet {
 public:
  Fleet(net::Loop&, TileHeap&, Log&, const ClusterOptions&);

  // Meets the listed servers, once. Where images have one copy, an error names each that cannot be met, and the next call
  // tries again; else one is enough, those that keep silent for long are not waited for, and join when they come.
  Result<void> meet(const Call&);
  // REQUIRES, all below: meet() has succeeded.
  std::uint32_t size() const noexcept { return size_; }
  Member& member(std::uint32_t server) const;
  Link& link_of(std::uint32_t server) const { return *member(server).link; }
  std::uint64_t epoch(std::uint32_t server) const { return link_of(server).identity().epoch; }
  std::string name(std::uint32_t server) const { return link_of(server).host().text(); }
  bool well(std::uint32_t server) const { return member(server).well; }
  std::uint32_t well_count() const;
  bool met() const noexcept { return met_; }
  // For a new image, over all members. `turn`: whole, on the server whose turn it is.
  Rule rule(const ImageId&, const ImageSpec&, std::optional<std::uint32_t> turn, std::uint32_t replicas) const;
  // For an image that was put earlier: its servers are members from now on, met or not.
  Result<Rule> rule(const ImageId&, const ImageSpec&, const Placing&, std::vector<std::uint32_t>& servers);
  Placing describe(const ImageRecord&) const;
  // Meets those of the members that never were. Who does not answer stays unmet: the keeper goes on trying.
  void reach(const Call&, const std::vector<std::uint32_t>& servers);

  // For requests to be sent: whoever waits at it helps the loop.
  std::shared_ptr<Latch> latch() const { return std::make_shared<Latch>(0, &loop_); }
  // Sends them all at once. The latch is told of each.
  void send(std::span<Errand>, const std::shared_ptr<Latch>&);
  // Nobody waits for it any more. What it carries may still arrive: until it is over the member is not well.
  void give_up(Errand&);
  // It is not well, though it may still answer.
  void lose(std::uint32_t server, std::string_view why);
  Clock::duration longest_answer() const noexcept { return options_.answer; }
  // Sends them and waits for all answers. Where the caller gives up its error is returned, and the requests must not be
  // looked at any more. Else each has its answer, or has failed, or its server was lost meanwhile (State::given_up).
  Result<void> carry_out(const Call&, std::vector<Errand>&);
  // A request of this call, to be filled.
  static RequestPtr request(const Call&, wire::native::Message);
  // Why an errand failed; none: it did not.
  std::optional<Error> failure(const Errand&) const;

  // The keeper's. Members that are not well, and listed servers that were never met, are met by it.
  std::vector<Incident> await_incidents(std::stop_token, Clock::duration at_most);
  void nudge();  // ends its waiting
  std::optional<std::uint32_t> member_of(std::uint32_t link) const;
  // A link that has met its server: the member it is, a new one if need be; the one it was till now, if another server
  // answers there, is lost for good.
  std::uint32_t join(std::uint32_t link);
  std::uint32_t links() const noexcept { return link_count_; }
  Link& link(std::uint32_t number) const;

 private:
  struct Door {
    std::unique_ptr<Link> link;
    std::optional<std::uint32_t> member;
    bool listed = false;
  };
  std::uint32_t add_link(const HostPort&, bool listed);
  std::vector<RequestPtr> ping(const Call&, const std::vector<Link*>&, const std::shared_ptr<Latch>&);
  Result<void> hear(const Call&, const std::vector<RequestPtr>& pings, Latch&) const;
  void told(std::uint32_t link, const LinkEvent&);
  bool careful() const noexcept { return careful_; }
  std::optional<std::uint32_t> find(const wire::native::Id&) const;

  net::Loop& loop_;
  TileHeap& heap_;
  Log& log_;
  const ClusterOptions options_;
  const net::Psk psk_;
  const ImageId session_;
  std::mutex meeting_;
  std::atomic<bool> met_ = false;

  mutable std::shared_mutex mutex_;
  std::vector<std::unique_ptr<Member>> members_;  // guarded by mutex_; only grows
  std::atomic<std::uint32_t> size_ = 0;
  std::atomic<std::uint32_t> link_count_ = 0;

  std::mutex incidents_mutex_;
  std::condition_variable_any incident_;
  std::vector<Incident> incidents_;  // guarded by incidents_mutex_
  bool nudged_ = false;              // likewise

  std::atomic<bool> careful_;  // some image has replicas: servers are watched

  std::vector<Door> doors_;  // as listed; guarded by mutex_; only grows. Dies first: links tell of incidents
};

}  // namespace smalti::client
