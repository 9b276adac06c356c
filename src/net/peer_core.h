// PeerCore: runs a thread where its peer on the same machine runs. The two take turns, one asking and one
// answering, so they lose nothing by sharing a core, and neither has to wake a sleeping core for each message,
// which costs more than the message itself (in a virtual machine ten times more).
#pragma once

#include <sched.h>

#include <cstdint>

namespace smalti::net {

// Used by the one thread that it moves, which keeps to the core until it ends. Only cores that the thread might
// use when this was made are ever chosen.
class PeerCore {
 public:
  PeerCore() = default;  // follows nobody
  // `local`: whether the peer is on this machine. Without it nothing ever happens.
  explicit PeerCore(bool local) noexcept : follows_(local) {}

  // After bytes of the peer's have come over the TCP socket `fd`.
  void heard(int fd) noexcept {
    if (follows_ && ++heard_ % look_every == 0) look(fd);
  }
  // The thread is on the core where the peer last was: nothing comes while it runs, so it need not look out.
  bool shared() const noexcept { return core_ >= 0; }

 private:
  static constexpr std::uint32_t look_every = 8;

  void look(int fd) noexcept;

  bool follows_ = false;
  std::uint32_t heard_ = 0;
  int core_ = -1;  // where the thread is held
  cpu_set_t allowed_;  // set by the first look
  bool knows_ = false;
};

}  // namespace smalti::net
