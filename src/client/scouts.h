// Scouts: the servers that are asked about names: those that are listed, and those that records speak of.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/cluster.h"
#include "client/link.h"
#include "client/quorum.h"

namespace smalti::client {

// Not thread-safe; what it returns is only good until the next call that adds a server. Locks belong to it: they end with it.
class Scouts {
 public:
  Scouts(net::Loop&, TileHeap&, Log&, const ClusterOptions&);

  std::size_t size() const noexcept { return scouts_.size(); }
  std::size_t listed() const noexcept { return listed_; }  // so many, from the front, are the listed ones
  const std::string& address(std::size_t n) const noexcept { return scouts_[n].address; }
  const HostPort& host(std::size_t n) const noexcept { return scouts_[n].host; }
  // Who answered there last; all zero: nobody has yet.
  Identity identity(std::size_t n) const { return scouts_[n].link->identity(); }
  // The server with this id, if it has answered under some address.
  std::optional<std::size_t> find(const wire::native::Id&) const;
  // A server that a record speaks of. Nothing is added where its id has answered, or its address is known already.
  void add(const wire::native::Keeper&);

  struct Reply {
    std::optional<Error> failed;
    RequestPtr request;  // the answer; REQUIRES: not failed
  };
  // Asks all of `whom` at once, the same. One reply each, in their order; fails only when the caller gives up. Those that
  // have not answered after `patience` are not waited for where at least half have.
  Result<std::vector<Reply>> ask(const Call&, const std::vector<std::size_t>& whom, const wire::native::Message&,
                                 const Tile& payload = {}, Clock::duration patience = Clock::duration::max());
  std::vector<std::size_t> all() const;

 private:
  struct Scout {
    HostPort host;
    std::string address;
    std::unique_ptr<Link> link;
  };
  void add(const HostPort&);

  net::Loop& loop_;
  TileHeap& heap_;
  Log& log_;
  const ClusterOptions options_;
  const net::Psk psk_;
  const ImageId session_;
  std::vector<Scout> scouts_;
  std::size_t listed_ = 0;
};

}  // namespace smalti::client
