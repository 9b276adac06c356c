// Coding: whether the tiles of a link are worth compressing, as measured: the time to code and send them against the time
// to send them alone.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>

#include "client/cluster.h"
#include "smalti/base/call.h"
#include "smalti/tile/tile.h"
#include "smalti/tile/tile_heap.h"
#include "wire/native.h"

namespace smalti::client {

// One a link. Thread-safe.
//
// Under `automatic` tiles go as they are, until the link's rate is known. Where it is slow enough that a coder, as tried
// on a tile of the image at hand, could make it faster, tiles are coded for a while; and on only if pixels then really
// move faster. Both rates are taken again from time to time, ever more rarely.
class Coding {
 public:
  using Coder = wire::native::Coder;

  Coding(Compress wish, TileHeap& heap) : wish_(wish), heap_(heap) {}

  // The other end shares our cores: what coding takes it takes from whatever makes the tiles and uses them, and there is
  // no wire to spare. Under `automatic` tiles go as they are from now on.
  void within_one_host();
  // For a request that begins now. `tile`: one that is at hand, to try coders on; may be absent.
  Coder begin(const ImageId&, Clock::time_point now);
  // ... is over: so many bytes of pixels were moved.
  void end(Coder, std::uint64_t bytes, Clock::time_point now);
  // Whether a tile of this image should be tried.
  bool curious(const ImageId&) const;
  // Tries the coders on a tile: takes about a millisecond.
  void try_on(const ImageId&, const Tile&);

 private:
  // How a coder did on a tile: nanoseconds a byte of pixels to code and to decode, and the share of bytes that is left.
  struct Trial {
    double code = 0, decode = 0, share = 1;
  };
  using Trials = std::array<Trial, 2>;  // LZ4, zstd
  // Nanoseconds a byte of pixels, as it went lately; 0: not known.
  struct Pace {
    double raw = 0, coded = 0;
  };

  Coder promising(const ImageId&) const;
  void close_window(double nanoseconds, Clock::time_point now);

  const Compress wish_;
  TileHeap& heap_;
  mutable std::mutex mutex_;
  // All below is guarded by mutex_.
  std::map<ImageId, Trials> images_;
  Pace pace_;
  std::uint32_t active_ = 0;           // requests
  Clock::time_point busy_since_{};     // while active_ > 0
  Clock::duration busy_{};             // of this window, up to busy_since_
  std::uint64_t bytes_ = 0, coded_bytes_ = 0;  // of this window
  std::uint64_t to_other_ = 0;         // bytes until the other way is tried again
  std::uint64_t patience_ = 0;         // ... and what that count begins with
  bool one_host_ = false;
  bool trying_ = false;                // the other way, for a window
  bool coding_ = false;                // the way that is known to be better
};

}  // namespace smalti::client
