#include "net/peer_core.h"

#include <sys/socket.h>

namespace smalti::net {

// Over loopback a packet is taken in on the core that sent it, and the socket remembers which that was.
int PeerCore::of_peer(int fd) noexcept {
  if (!knows_) {
    CPU_ZERO(&allowed_);
    knows_ = ::sched_getaffinity(0, sizeof allowed_, &allowed_) == 0;
  }
  int core = -1;
  socklen_t size = sizeof core;
  if (!knows_ || ::getsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &core, &size) != 0) local_ = false;
  return local_ && core >= 0 && core < CPU_SETSIZE && CPU_ISSET(core, &allowed_) ? core : -1;
}

void PeerCore::follow(int core) noexcept {
  if (paused_ > 0) {
    --paused_;
    return;
  }
  if (core == core_) {
    fled_ = 0;
    return;
  }
  if (core_ >= 0 && ++fled_ == patience) {
    release();
    paused_ = pause;
    return;
  }
  cpu_set_t there;
  CPU_ZERO(&there);
  CPU_SET(core, &there);
  if (::sched_setaffinity(0, sizeof there, &there) == 0) core_ = core;
}

void PeerCore::release() noexcept {
  if (core_ < 0) return;
  ::sched_setaffinity(0, sizeof allowed_, &allowed_);
  core_ = -1;
  fled_ = 0;
}

}  // namespace smalti::net
