// PeerCore: runs a thread where its peer on the same machine runs. The two take turns, one asking and one
// answering, so they lose nothing by sharing a core, and neither has to wake a sleeping core for each
// message, which costs more than the message itself (in a virtual machine ten times more).
#pragma once

#include <sched.h>

#include <cstdint>

namespace smalti::net {

// Used by the one thread that it moves. Only cores that the thread might use when it was first moved are ever
// chosen. The system may take a peer away to a core that idles each time it is woken: then following is given
// up for some thousand messages.
class PeerCore {
 public:
  PeerCore() = default;  // follows nobody
  // `local`: whether the peer is on this machine. Without it nothing ever happens.
  explicit PeerCore(bool local) noexcept : local_(local) {}

  // To be asked for each message that came; true now and then, when the two below are to be called.
  bool due() noexcept { return local_ && ++heard_ % look_every == 0; }
  // The core that the last bytes over the TCP socket `fd` came from; -1 where that cannot be known.
  int of_peer(int fd) noexcept;
  // Goes to that core. REQUIRES: core is what of_peer() has said.
  void follow(int core) noexcept;
  // The thread may run anywhere again.
  void release() noexcept;

  // The thread is on the core where the peer last was: nothing comes while it runs, so it need not look out.
  bool shared() const noexcept { return core_ >= 0; }

 private:
  static constexpr std::uint32_t look_every = 8;
  static constexpr std::uint32_t patience = 3;  // looks in a row that find the peer gone
  static constexpr std::uint32_t pause = 500;   // looks until it is tried again

  bool local_ = false;
  std::uint32_t heard_ = 0;
  std::uint32_t fled_ = 0;
  std::uint32_t paused_ = 0;
  int core_ = -1;      // where the thread is held
  cpu_set_t allowed_;  // set where knows_
  bool knows_ = false;
};

}  // namespace smalti::net
