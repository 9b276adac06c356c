// Request: what a caller wants of one server, shared between the caller's thread and the loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "smalti/base/call.h"
#include "smalti/tile/tile.h"
#include "wire/native.h"

namespace smalti::net {
class Loop;
}

namespace smalti::client {

// What a blocked caller waits for: the requests it has sent.
class Latch {
 public:
  // With a loop, the one that carries the requests out, the caller helps it while it waits.
  explicit Latch(std::size_t requests, net::Loop* loop = nullptr) : loop_(loop), left_(requests) {}
  void add(std::size_t requests);
  void done();
  // Until all are done (true), or the time has come (false), or the caller gives up (then cancelled or timeout).
  Result<bool> wait(const Call&, Clock::time_point until = Clock::time_point::max());

 private:
  net::Loop* const loop_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t left_;  // guarded by mutex_
};

// A tile as it came; the caller verifies it on its own thread, where that is not done yet.
struct Arrived {
  Result<std::optional<Tile>> got = std::optional<Tile>();
  bool answered = false;
  bool verified = false;
  std::vector<std::byte> coded;  // instead of a tile, until it is decoded
  std::uint64_t checksum = 0;    // of that tile
};

// Written by the caller until it is submitted, then by the loop until it is over, then read by the caller. A
// caller that gives up leaves it to the loop, which keeps the tiles alive for as long as they may be being sent.
struct Request {
  wire::native::Message message;
  std::vector<Tile> payloads;    // of a put's items, in their order
  std::vector<Extent> expected;  // of a get's tiles, in pixels
  PixelFormat format;            // of a get's tiles
  std::uint64_t weight = 0;      // payload bytes, either way
  std::uint64_t epoch = 0;       // of the server's life in which the image was opened there; 0: any
  Call call;
  std::shared_ptr<Latch> latch;  // none: nobody waits
  bool repeatable = true;        // may be sent again where the connection was lost before the answer
  std::atomic<bool> abandoned = false;
  std::atomic<bool> over = false;  // the loop has done with it: the answer may be read, and nothing is under way any more

  // The answer. `failed` speaks for the whole request.
  std::optional<Error> failed;
  std::uint64_t answered_epoch = 0;
  std::vector<Result<Generation>> puts;
  std::vector<Arrived> gets;
  wire::native::UseReport report;
  std::optional<wire::native::Message> answer;  // about names
  std::vector<std::byte> body;                  // the answer's

  // The loop's own.
  wire::native::Coder coder = wire::native::Coder::none;  // of its tiles, either way
  bool counted = false;                                   // by the link's Coding
  unsigned attempts = 0;
  std::size_t unanswered = 0;  // items
  std::vector<bool> answered;  // items of a put

  // Forgets what an earlier attempt brought.
  void prepare();
};

using RequestPtr = std::shared_ptr<Request>;

}  // namespace smalti::client
