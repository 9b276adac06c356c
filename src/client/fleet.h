// Fleet: the servers of a cluster, met and known apart.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "client/cluster.h"
#include "client/link.h"
#include "client/placement.h"

namespace smalti::client {

// One server, however often it was listed.
struct Member {
  Link* link = nullptr;
  std::atomic<Clock::time_point> full_until{};  // it had no room a moment ago: ask others first
};

// A request to one member, and which of the caller's items it speaks for.
struct Errand {
  std::uint32_t server = 0;
  RequestPtr request;
  std::vector<std::size_t> items;
};

// Thread-safe. No connection is made before meet().
class Fleet {
 public:
  Fleet(net::Loop&, TileHeap&, Log&, const ClusterOptions&);

  // Meets every listed server, once; an error names each that cannot be met, and the next call tries again.
  Result<void> meet(const Call&);
  // REQUIRES, all below: meet() has succeeded.
  std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(members_.size()); }
  Member& member(std::uint32_t server) noexcept { return *members_[server]; }
  const Member& member(std::uint32_t server) const noexcept { return *members_[server]; }
  std::string name(std::uint32_t server) const { return members_[server]->link->host().text(); }
  const Rendezvous& rendezvous() const noexcept { return rendezvous_; }
  bool met() const noexcept { return met_; }

  // Sends them all at once and waits for all answers. Where the caller gives up its error is returned, and the requests
  // must not be looked at any more. Else each has its answer, or has failed.
  Result<void> carry_out(const Call&, const std::vector<Errand>&);
  // A request of this call, to be filled.
  static RequestPtr request(const Call&, wire::native::Message);

  const std::vector<std::unique_ptr<Link>>& links() const noexcept { return links_; }

 private:
  net::Loop& loop_;
  std::vector<std::unique_ptr<Link>> links_;  // as listed
  const net::Psk psk_;
  std::mutex meeting_;
  std::atomic<bool> met_ = false;
  std::vector<std::unique_ptr<Member>> members_;  // written within meet(), then constant
  Rendezvous rendezvous_;                         // likewise
};

}  // namespace smalti::client
