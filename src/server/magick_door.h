// MagickDoor: where ImageMagick's clients come in. The handshake is a coroutine on the server's loop, so that strangers
// cost next to nothing; an admitted client gets a thread, for it asks and waits, asks and waits.
#pragma once

#include <memory>
#include <vector>

#include "server/guest.h"
#include "server/magick_session.h"

namespace smalti {

// Thread-safe. Serves all ports of a process. REQUIRES: outlives the servers that hand it guests.
class MagickDoor {
 public:
  // REQUIRES: what the parts refer to outlives the door. `cores`: how many may be spent on looking for requests.
  MagickDoor(CacheParts, Log&, MagickOptions = {}, unsigned cores = net::IdleCores::spare());
  MagickDoor(const MagickDoor&) = delete;
  MagickDoor& operator=(const MagickDoor&) = delete;

  server::GuestHandler handler();

 private:
  asio::awaitable<void> receive(server::Guest);
  net::Task<std::vector<std::byte>> admit(server::Guest&);
  void refuse(const std::string& why) { parts_.log.line(Level::warning, why); }

  net::IdleCores cores_;
  MagickParts parts_;
};

}  // namespace smalti
