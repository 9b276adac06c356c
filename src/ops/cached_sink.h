// A lazy libvips image, computed into a new PixelCache.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "ops/flow.h"
#include "ops/picture.h"
#include "ops/vips.h"

namespace smalti::ops {

// One run of a lazy image from its first row to its last.
struct Run {
  std::string what;  // for errors and the progress bar: "reading photo.jpg"
  FlowPtr flow;      // of the image's sources; null: it has none of ours
  Errc code =
      Errc::internal;  // of errors that only libvips explains: corrupt for a decoder, io for an encoder
  // An error of `code` ends the run early, but well: what was computed stands, and the log says so.
  bool lenient = false;
  // For what can only be had row after row (a decoder): one thread, and few rows in memory. Else every worker
  // computes.
  bool serial = false;
  // Takes one strip, whole rows, top to bottom without gaps; one at a time, though from a thread of libvips'.
  std::function<Result<void>(Rect, Pixels)> strip;
  bool sparse = false;  // sink(): tiles of the first colour that fills one are not stored
};

// Computes every strip of `image`. Ends early, with the first error of strip, flow, call or libvips.
Result<void> run_strips(const Workshop&, const Call&, const VipsPtr& image, const Run&);

// Watches an evaluation that libvips drives (a save): progress goes to the workshop, and the call's stop or
// deadline ends it. Lives on the stack of the one who evaluates.
class Watch {
 public:
  Watch(const Workshop&, const Call&, VipsImage*, std::string what);
  ~Watch();
  // It went well: tells so where the last progress was less than all.
  void finished() const;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// What a failed evaluation is to be reported as: the caller's own end (cancelled, timeout), else the flow's
// first error, else libvips' text under `code`.
tl::unexpected<Error> why(const Call&, const FlowPtr&, Errc code, std::string_view what);

// The image's samples must be uchar, ushort or float. Returns when every tile has arrived where it belongs;
// `file` and `scene` are what the workshop's watch hears of the cache. Run::strip is ours.
Result<std::shared_ptr<const PixelCache>> sink(const Workshop&, const Call&, const VipsPtr& image, const Run&,
                                               std::string file, std::uint32_t scene);

// The same for a cache that somebody else filled: the workshop's watch hears of it.
std::shared_ptr<const PixelCache> watched(const Workshop&, PixelCache, std::string file, std::uint32_t scene);

// Memory for what runs beside tiles at rest: a decoder's rows, and an encoder's and the workers' strips of an
// image that is made from this one. Charged before the first tile comes to rest, so that tiles get what is
// left.
std::uint64_t decoding_bytes(std::uint64_t row_bytes);
std::uint64_t pipeline_bytes(const Workshop&, const VipsImage*);
Hold charge_decoding(const Workshop&, const VipsImage*);
Hold charge_pipeline(const Workshop&, const VipsImage*);

// "sink" without the pixels: fails as PixelCache::create would for an image of this size.
Result<void> check_size(const Workshop&, std::uint64_t width, std::uint64_t height, std::string_view name);

}  // namespace smalti::ops
