// Connected pairs on loopback, for the tests of what runs over them.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string_view>
#include <vector>

#include "net/connector.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/tls.h"

namespace smalti::net {

inline Clock::time_point soon(std::chrono::milliseconds span = std::chrono::seconds(60)) { return Clock::now() + span; }

inline Bytes bytes_of(std::string_view text) { return std::as_bytes(std::span(text.data(), text.size())); }

// Bytes that a mix-up of places would change.
inline std::vector<std::byte> pattern(std::size_t size, std::uint32_t seed = 1) {
  std::vector<std::byte> out(size);
  std::uint32_t state = seed * 2654435761u + 1;
  for (std::byte& b : out) {
    state = state * 1664525u + 1013904223u;
    b = static_cast<std::byte>(state >> 24);
  }
  return out;
}

struct TcpPair {
  std::unique_ptr<TcpStream> client;
  std::unique_ptr<TcpStream> server;
};

inline TcpPair tcp_pair(Loop& loop, const std::string& address = "127.0.0.1") {
  TcpPair pair;
  auto listener = Listener::open(loop, {.address = address});
  EXPECT_TRUE(listener) << listener.error().what;
  if (!listener) return pair;
  auto client = loop.run(connect({address, (*listener)->port()}, soon()));
  EXPECT_TRUE(client) << client.error().what;
  if (!client) return pair;
  auto server = loop.run((*listener)->accept());
  EXPECT_TRUE(server) << server.error().what;
  if (!server) return pair;
  pair.client = std::move(*client);
  pair.server = std::move(*server);
  return pair;
}

inline Task<void> write_all(Stream* stream, Bytes bytes, Clock::time_point deadline = soon()) {
  const std::array<Bytes, 1> one{bytes};
  const std::span<const Bytes> parts(one);
  co_return co_await stream->write(parts, deadline);
}

// Until `size` bytes are there, or the peer ends (then fewer).
inline Task<std::vector<std::byte>> read_exactly(Stream* stream, std::size_t size, Clock::time_point deadline = soon()) {
  std::vector<std::byte> out(size);
  std::size_t at = 0;
  while (at < size) {
    const auto rest = std::span(out).subspan(at);
    auto got = co_await stream->read_some(rest, deadline);
    if (!got) co_return pass(std::move(got.error()));
    if (*got == 0) break;
    at += *got;
  }
  out.resize(at);
  co_return out;
}

// Two tasks on the loop at once; each one's result.
template <class A, class B>
std::pair<Result<A>, Result<B>> both(Loop& loop, Task<A> a, Task<B> b) {
  auto other = std::async(std::launch::async, [&] { return loop.run(std::move(b)); });
  auto first = loop.run(std::move(a));
  return {std::move(first), other.get()};
}

// Streams are closed and destroyed where they live.
inline Task<void> close_on_loop(std::unique_ptr<Stream> stream) {
  stream->close();
  co_return Result<void>();
}

}  // namespace smalti::net
