// MagickDoor: where ImageMagick's clients come in. The handshake is a coroutine on the server's loop, so that strangers
// cost next to nothing; an admitted client gets a thread, for it asks and waits, asks and waits.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "net/stream.h"
#include "net/tcp.h"
#include "server/magick_session.h"

namespace smalti {

// An admitted client, not yet served.
struct MagickClient {
  std::unique_ptr<net::DirectSocket> socket;
  wire::magick::Greeter greeter;
  std::vector<std::byte> first;  // what it sent beyond its answer
};

// Thread-safe. The destructor ends every session.
class MagickDoor {
 public:
  // REQUIRES: what parts refer to outlives the door. `cores`: how many cores may be spent on looking for requests.
  MagickDoor(CacheParts, Log&, MagickOptions = {}, unsigned cores = net::IdleCores::spare());
  ~MagickDoor();
  MagickDoor(const MagickDoor&) = delete;
  MagickDoor& operator=(const MagickDoor&) = delete;

  // On the stream's loop, after the greeting was sent and the peer's first byte was seen not to be TLS's: hears the
  // rest. Errc::unauthorized with all that can be known of why; Errc::timeout for a peer that says too little.
  static net::Task<MagickClient> admit(std::unique_ptr<net::TcpStream>, wire::magick::Greeter, Clock::time_point deadline);

  // Serves it until it ends; `until_end` is let go of then. Fails where the system has no thread left.
  Result<void> serve(MagickClient, std::shared_ptr<void> until_end);

  // Lets no request be started, answers those that are under way, and after `grace` cuts off what is left. Waits.
  void stop(std::chrono::milliseconds grace);

 private:
  struct Served;
  void end(Served&);
  void reap();

  CacheParts cache_;
  net::IdleCores cores_;
  MagickParts parts_;
  std::mutex mutex_;
  std::list<std::unique_ptr<Served>> served_;  // guarded by mutex_
  bool stopping_ = false;                      // guarded by mutex_
};

}  // namespace smalti
