// MagickDoor: where ImageMagick's clients come in. The handshake is a coroutine on the server's loop, so that
// strangers cost next to nothing; an admitted client gets a thread, for it asks and waits, asks and waits.
#pragma once

#include <memory>
#include <vector>

#include "server/complaints.h"
#include "server/guest.h"
#include "server/magick_session.h"

namespace smalti {

// Serves all ports of a process, which share one loop. REQUIRES: outlives the servers that hand it guests.
class MagickDoor {
 public:
  // REQUIRES: what the parts refer to outlives the door. `cores`: how many may be spent on looking for
  // requests.
  MagickDoor(CacheParts, Log&, MagickOptions = {}, unsigned cores = net::IdleCores::spare());
  MagickDoor(const MagickDoor&) = delete;
  MagickDoor& operator=(const MagickDoor&) = delete;

  server::GuestHandler handler();

 private:
  asio::awaitable<void> receive(server::Guest);
  net::Task<std::vector<std::byte>> admit(server::Guest&);
  void refuse(const std::string& why) { complaints_.say(why); }

  net::IdleCores cores_;
  MagickParts parts_;
  server::Complaints complaints_;  // about who was not let in
};

}  // namespace smalti
