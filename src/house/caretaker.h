// Caretaker: looks after what writers of named images left on a server when they died.
#pragma once

#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include "house/house.h"
#include "server/server.h"

namespace smalti::house {

// Now and then asks the other servers of such an image what became of it, as any reader would, which frees what nobody will
// finish. A thread of its own. REQUIRES: house and servers outlive it.
class Caretaker {
 public:
  Caretaker(House&, const std::vector<std::unique_ptr<Server>>& servers);
  ~Caretaker();
  Caretaker(const Caretaker&) = delete;
  Caretaker& operator=(const Caretaker&) = delete;

 private:
  void work(const std::stop_token&);
  bool look(const server::LeftOver&, const Call&);

  House& house_;
  const std::vector<std::unique_ptr<Server>>& servers_;
  std::jthread thread_;
};

}  // namespace smalti::house
