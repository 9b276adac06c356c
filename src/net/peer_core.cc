#include "net/peer_core.h"

#include <sys/socket.h>

namespace smalti::net {

// Over loopback a packet is taken in on the core that sent it, and the socket remembers which that was.
void PeerCore::look(int fd) noexcept {
  if (!knows_) {
    CPU_ZERO(&allowed_);
    knows_ = ::sched_getaffinity(0, sizeof allowed_, &allowed_) == 0;
  }
  int core = -1;
  socklen_t size = sizeof core;
  if (!knows_ || ::getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &core, &size) != 0) {
    follows_ = false;
    return;
  }
  if (core == core_ || core < 0 || core >= CPU_SETSIZE || !CPU_ISSET(core, &allowed_)) return;
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(core, &there);
  follows_ = ::sched_setaffinity(0, sizeof there, &there) == 0;
  if (follows_) core_ = core;
}

}  // namespace smalti::net
