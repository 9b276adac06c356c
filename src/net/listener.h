// Listener: a port that peers connect to.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "net/tcp.h"

namespace smalti::net {

class Loop;

struct ListenOptions {
  std::string address;     // an IPv4 or IPv6 address; empty: all, IPv4 and IPv6
  std::uint16_t port = 0;  // 0: any free one
  int backlog = 512;
};

// Opened from any thread; used, closed and destroyed on its loop or when the loop is gone.
class Listener {
 public:
  static Result<std::unique_ptr<Listener>> open(Loop&, const ListenOptions&);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // The next peer. While the process is out of descriptors it waits. Errc::cancelled once closed.
  Task<std::unique_ptr<TcpStream>> accept();
  void close() noexcept;
  std::uint16_t port() const noexcept;  // the real one; thread-safe
  std::string text() const;             // "[::]:6668"; thread-safe

 private:
  struct State;
  explicit Listener(std::unique_ptr<State>);
  std::unique_ptr<State> state_;
};

}  // namespace smalti::net
