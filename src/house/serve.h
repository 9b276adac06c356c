// A pixel server's house: own tiers, and a port or several in front of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "house/caretaker.h"
#include "house/house.h"
#include "server/magick_door.h"
#include "server/server.h"

namespace smalti::house {

// Members die bottom-up. REQUIRES: as House.
struct ServerHouse {
  std::unique_ptr<House> house;
  std::unique_ptr<Pool> waiters;     // wait for the store on behalf of the loop
  std::shared_ptr<server::Quota> quota;  // of named images, for all ports
  std::unique_ptr<MagickDoor> door;  // serves ImageMagick's own clients, on all ports
  std::vector<std::unique_ptr<Server>> servers;
  std::unique_ptr<Caretaker> caretaker;

  // No new connections; clients get `grace` to go, then the rest is hung up on.
  void drain(Clock::duration grace);
};

// Fails with unauthorized where no shared secret is set, and says how to set one; with io where a port is
// taken.
Result<std::unique_ptr<ServerHouse>> open_ports(Config, const std::vector<HostPort>& where, Log&);

// "smalti: serving pixels on 127.0.0.1:6668 (memory 1GiB, map 0B, disk 4GiB), id 0123456789abcdef"
std::string ready_line(const ServerHouse&, const Server&);

}  // namespace smalti::house
