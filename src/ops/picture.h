// Picture: an image with what travels beside its pixels. Operators are lazy; pixels live in the pixel cache.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "smalti/base/log.h"
#include "smalti/cache/pixel_cache.h"

namespace smalti::client {
class Names;
}

namespace smalti::ops {

// Depth of arithmetic, a property of the process.
struct Quantum {
  std::uint32_t depth = 16;  // 8 or 16
  bool hdri = false;
};

// Work done of work to do, for a progress bar. May be called from any thread, at most a few times a second.
using Progress = std::function<void(std::string_view what, std::uint64_t done, std::uint64_t of)>;

// Something happened to a pixel cache that holds an image's pixels. opened: they are whole and synced (the
// store knows where they lie); closing: it is about to go.
enum class CacheEvent : std::uint8_t { opened, closing };

// Told of every pixel cache that ops makes, for -debug cache and -verbose. `name` and `scene` are the
// picture's file and number. Any thread; must not wait.
using CacheWatch =
    std::function<void(CacheEvent, const std::string& name, std::uint32_t scene, const PixelCache&)>;

// One pass over a picture's pixels, for -verbose: what its operators computed, and what their reading took.
struct Pass {
  struct Computed {
    std::string what;    // "-sharpen 5x2"
    double seconds = 0;  // of all threads, without waiting
  };
  std::string file;
  std::uint32_t scene = 0;
  std::string into;                 // "out.png"; empty: a cached image
  double seconds = 0;               // by the clock
  std::uint32_t threads = 1;        // that computed
  // Seconds that this machine's cores had nothing to do meanwhile, summed. A reader that waits while no core is idle
  // waits for a core, not for the store. Absent: not known.
  std::optional<double> cores_idle;
  std::vector<Computed> operators;  // in their order
  bool cached = false;              // it read the pixel cache
  CacheCounts reading;              // then: what the pass added to its counts
  bool streamed = false;            // straight from the decoder, without a cache
  // Not 0: a cache was not needed; without one it would have taken about so many bytes of memory.
  std::uint64_t could_stream_in = 0;
};
using PassWatch = std::function<void(const Pass&)>;

// What the operators need of the house. REQUIRES: outlives every Picture made with it.
struct Workshop {
  CacheParts cache;
  Quantum quantum;
  Log& log;
  std::uint32_t threads = 1;       // workers that compute
  std::uint64_t memory_limit = 0;  // bytes: what a decoder that holds the whole image may need at most
  Progress progress;               // may be empty
  bool salvage = false;            // input:salvage: read what a truncated file has
  CacheWatch watch;                // may be empty
  PassWatch passed;     // may be empty; told at the end of each pass, on the thread that asked for it
  bool stream = false;  // cache:stream=auto: a picture that can do without a cache gets none
  client::Names* names = nullptr;  // where "dpc:NAME" is; null: no servers are set
};

// Settings in force at an operator's place in the command line, by their option's name without the dash:
// {"virtual-pixel": "mirror", "background": "white", "quality": "90", ...}.
using Settings = std::map<std::string, std::string, std::less<>>;

// One operator of the command line: {"sharpen", "5x2", settings}.
struct Operation {
  std::string name;
  std::string argument;  // empty where the operator takes none
  Settings settings;
};

struct PictureState;

// An immutable value: copying shares the pixels.
class Picture {
 public:
  Picture() = default;
  explicit Picture(std::shared_ptr<const PictureState> state) : state_(std::move(state)) {}
  const PictureState& state() const noexcept { return *state_; }
  explicit operator bool() const noexcept { return state_ != nullptr; }

 private:
  std::shared_ptr<const PictureState> state_;
};

// What info: and -verbose print of a picture.
struct Facts {
  std::string file;    // as named
  std::string format;  // "JPEG"
  std::uint32_t scene = 0;
  Extent size;
  Rect page;  // canvas, and the image's offset on it
  std::uint32_t depth = 8;
  std::string colorspace;  // "sRGB", "Gray", "CMYK"
  std::uint32_t channels = 3;
  bool alpha = false;
  std::uint64_t file_bytes = 0;
};
Facts facts_of(const Picture&);

// Decodes every image of a file ("photo.jpg", "in.tif[2]", "png:name") into the pixel cache. An image that is
// only looked at (info:) is read with `pixels` false, which opens no cache.
Result<std::vector<Picture>> read_pictures(const Workshop&, const Call&, const std::string& name,
                                           const Settings&, bool pixels = true);

// Applies an operator of the table (ops/operators.h); lazy where it can be.
Result<Picture> apply(const Workshop&, const Call&, const Picture&, const Operation&);

// The same for an operator that may make several pictures of one: -crop without an offset cuts it into tiles.
// All others make one.
Result<std::vector<Picture>> apply_each(const Workshop&, const Call&, const Picture&, const Operation&);

// One picture of all of them, by an operator that joins ("append", "+append"). REQUIRES: at least one.
bool joins(const std::string& name);
Result<Picture> join(const Workshop&, const Call&, std::span<const Picture>, const Operation&);

// Encodes under a temporary name beside the target and renames when whole: on any error nothing is left.
// `name` may be "out.png", "jpeg:out", "out-%d.png" (scene), "info:" (stdout), "null:".
Result<void> write_picture(const Workshop&, const Call&, const Picture&, const std::string& name,
                           const Settings&);

// Several pictures under one name: pages of one file where the format has pages (TIFF), the pictures are of
// one size and kind, and the setting adjoin is not "false"; else "out-0.png", "out-1.png", ..., or as the
// name's %d says, by scene (counted from the first's where the scenes do not rise). One picture is written as
// write_picture does. All go to info: and null:.
Result<void> write_pictures(const Workshop&, const Call&, std::span<const Picture>, const std::string& name,
                            const Settings&);

// The same picture with its pixels computed into a cache of their own, at the process's quantum depth: for a
// result that is used twice, or read out of order. The picture itself where nothing would be won: its pixels
// are cached, or as a canvas' next to nothing to compute, in any order.
Result<Picture> cached(const Workshop&, const Call&, const Picture&);

// The names of all operators and the settings they obey, for the command line's table and its "did you mean".
struct OperatorInfo {
  std::string_view name;
  std::string_view argument;  // "RADIUSxSIGMA", or empty
  std::string_view help;
  bool plus = false;  // there is a + form, which takes no argument ("+repage")
  bool joins = false;  // one picture is made of all there are: join() it
};
std::vector<OperatorInfo> operators();

// A picture format, for -list: "JPEG", and the suffixes and prefixes that name it.
struct FormatInfo {
  std::string_view name;
  std::vector<std::string_view> words;
  bool reads = false, writes = false;
};
std::vector<FormatInfo> formats();

// "libvips 8.14.1", for -version.
std::string library_version();

}  // namespace smalti::ops
