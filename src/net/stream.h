// Stream: a connected peer. TCP, TLS over TCP, or a simulated pipe in tests.
#pragma once

#include <asio/awaitable.hpp>
#include <cstddef>
#include <span>
#include <string>

#include "smalti/base/call.h"
#include "smalti/base/result.h"

namespace smalti::net {

template <class T>
using Task = asio::awaitable<Result<T>>;

using Bytes = std::span<const std::byte>;

// Used from its loop only. One reader and one writer at a time. House rule: name a temporary, then co_await it
// (g++ 12.2 destroys aggregates and capturing lambdas built inside a co_await expression twice).
class Stream {
 public:
  virtual ~Stream() = default;

  // At least one byte, at most into.size(); 0 means that the peer has ended its side. Errc::timeout at the deadline.
  // `sure`: so many bytes are certain to come, so that it need not wake up for each few of them.
  virtual Task<std::size_t> read_some(std::span<std::byte> into, Clock::time_point deadline, std::size_t sure = 1) = 0;
  // All of it, gathered without a copy where the transport allows. The spans must stay valid until it returns.
  virtual Task<void> write(std::span<const Bytes> parts, Clock::time_point deadline) = 0;
  // Both directions, at once; pending operations end with Errc::cancelled.
  virtual void close() noexcept = 0;
  virtual std::string peer() const = 0;  // "192.168.100.50:6668"
};

}  // namespace smalti::net
