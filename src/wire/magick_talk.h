// The server's side of a conversation with one of ImageMagick's clients, after the handshake: what each request
// means, whether it may, and what is answered. Sans-IO. A connection carries one image.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "smalti/geom/pixels.h"
#include "wire/magick_frame.h"

namespace smalti::wire::magick {

// What is kept of an image: its pixels; and metacontent (7) or an index a pixel (6).
enum class Plane : std::uint8_t { pixels, meta };

// A bounded request to move bytes. `rect` is no larger than the image, but may lie outside where it is read; its
// origin is moved to the nearest place with the same pixels by the edge rule, so that no arithmetic overflows.
struct Access {
  bool write = false;
  Plane plane = Plane::pixels;
  Rect rect;
  std::uint64_t length = 0;  // bytes that travel: the first of the rectangle's, row by row
  std::uint64_t whole = 0;   // bytes of the rectangle; length <= whole
};

// What `o` announced, bounded. The sample size is not announced: it is read off the first request that moves pixels.
class Shape {
 public:
  // Errc::invalid names what is out of bounds. Limits of the server's own are for the caller to apply.
  static Result<Shape> of(const Open&);
  // Errc::invalid; Errc::incompatible where the sample size is not one, or not the one seen first.
  Result<Access> admit(const Region&);

  const Open& open() const noexcept { return open_; }
  Extent size() const noexcept { return size_; }
  std::uint32_t channels() const noexcept { return channels_; }
  std::uint32_t sample_bytes() const noexcept { return sample_bytes_; }  // 0: not known yet
  // 0: not known yet, or the image has no such plane. At most 512, and 65,536 for metacontent.
  std::uint32_t pixel_bytes(Plane) const noexcept;
  // REQUIRES: pixel_bytes(plane) != 0. Metacontent is one u8 channel and the rest meta bytes.
  PixelFormat format(Plane) const noexcept;

 private:
  Result<void> learn(const Region&, std::uint64_t area, Plane);
  std::uint64_t samples_a_pixel(Plane) const noexcept;  // 0: not counted in samples

  Open open_;
  Extent size_;
  std::uint32_t channels_ = 0;
  std::uint32_t sample_bytes_ = 0;
};

struct Step {
  enum class Kind : std::uint8_t {
    more,      // the next request is not whole yet
    open,      // make a store for shape(), then say opened()
    transfer,  // move access.length bytes, from the client right after `used`, or to it
    destroy,   // send reply, then close
    refuse,    // send reply, then close; why goes to the log
  };
  Kind kind = Kind::more;
  std::size_t used = 0;  // bytes of the request's header
  Access access;
  std::vector<std::byte> reply;
  std::string why;
};

class Talk {
 public:
  Talk(Family family, const Key& key) : family_(family), key_(key) {}

  Step next(Bytes);
  // After Step::open. Returns the answer; after a refusal the connection ends with it.
  std::vector<std::byte> opened(bool ok);
  // The bytes that announce that a transfer failed on our side; then close. Empty where the client would take them
  // for the pixels it asked for.
  static std::vector<std::byte> failed(const Access&);

  // REQUIRES: an `o` has been seen.
  const Shape& shape() const noexcept { return *shape_; }
  bool has_image() const noexcept { return shape_.has_value() && open_; }

 private:
  Step take(const Open&);
  Step take(const Region&);
  Step take(const Destroy&);
  Step refuse(std::string why, bool status) const;

  Family family_;
  Key key_;
  std::optional<Shape> shape_;
  bool open_ = false;    // the store for shape_ is there
  bool status_ = false;  // of the last command: what a wrong key is answered with
};

}  // namespace smalti::wire::magick
