#include "server/magick_session.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace smalti {

using wire::magick::Access;
using wire::magick::Step;
using wire::magick::Talk;

namespace {

// A row of 16,384 pixels of four 16-bit samples. Larger pixels than this do not exist: see
// Shape::pixel_bytes.
constexpr std::size_t buffer_bytes = 128u << 10;
constexpr std::chrono::milliseconds parting{1000};

}  // namespace

MagickSession::MagickSession(const MagickParts& parts, net::DirectSocket& socket,
                             const wire::magick::Greeter& greeter, std::vector<std::byte> first)
    : parts_(parts),
      socket_(socket),
      talk_(greeter.dialect().family(), greeter.key()),
      in_(std::max(buffer_bytes, first.size())),
      end_(first.size()),
      out_(buffer_bytes),
      buffers_(parts.cache.ledger.charge(Resource::memory, in_.size() + out_.size())) {
  std::ranges::copy(first, in_.begin());
}

Clock::time_point MagickSession::patience(std::uint64_t bytes) const noexcept {
  // Bounded, so that the sum stays a time: nothing larger than 2^40 bytes is waited for in full.
  const auto more = std::chrono::milliseconds(std::min<std::uint64_t>(bytes, std::uint64_t{1} << 40) / 64);
  return Clock::now() + parts_.options.stall + more;
}

// Until the message must be over, or its next part must have moved, whichever comes first.
Clock::time_point MagickSession::patience_until(Clock::time_point end) const noexcept {
  return end == Clock::time_point::max() ? end : std::min(end, Clock::now() + parts_.options.stall);
}

void MagickSession::run() {
  socket_.stay_close();
  serve();
  if (parts_.log.wants(Level::debug))
    parts_.log.line(Level::debug, fmt::format("ImageMagick client {} has ended: {} requests, {} bytes written, {} read",
                                              socket_.peer(), requests_, bytes_in_, bytes_out_));
}

void MagickSession::serve() {
  while (true) {
    const Step step = talk_.next(waiting());
    if (step.kind == Step::Kind::more) {
      const auto more = receive(end_ != begin_);
      if (!more) return say_no(more.error().what, {});
      if (!*more) return;
      continue;
    }
    begin_ += step.used;
    ++requests_;
    message_deadline_ = Clock::time_point::max();
    if (perform(step) == Next::end) return;
  }
}

// False at the end of the client's side.
Result<bool> MagickSession::receive(bool mid_message) {
  if (begin_ == end_) begin_ = end_ = 0;
  if (end_ == in_.size()) {
    std::memmove(in_.data(), in_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (mid_message && message_deadline_ == Clock::time_point::max()) message_deadline_ = patience(0);
  net::IdleCores* const spin = parts_.options.spin ? &parts_.cores : nullptr;
  const auto room = std::span(in_).subspan(end_);
  SMALTI_TRY(const std::size_t got, socket_.receive(room, patience_until(message_deadline_), spin));
  end_ += got;
  return got != 0;
}

MagickSession::Next MagickSession::perform(const Step& step) {
  switch (step.kind) {
    case Step::Kind::open:
      return open(step);
    case Step::Kind::transfer:
      return transfer(step.access);
    case Step::Kind::destroy:
      image_.reset();
      say(step.reply);
      break;  // their server closes now, and their client waits for it
    default:
      say_no(step.why, step.reply);
      return Next::end;
  }
  socket_.part(parting);
  return Next::end;
}

MagickSession::Next MagickSession::open(const Step&) {
  image_.reset();  // a second image takes the place of the first
  const auto fits = MagickImage::fits(parts_.cache.ledger, talk_.shape(), 2, parts_.options.local);
  if (!fits) {
    say_no(fits.error().what, talk_.opened(false));
    return Next::end;
  }
  image_ = std::make_unique<MagickImage>(parts_.cache);
  return say(talk_.opened(true));
}

MagickSession::Next MagickSession::transfer(const Access& access) {
  if (access.length == 0) return Next::request;
  const auto moved = access.write ? take(access) : give(access);
  message_deadline_ = Clock::time_point::max();
  if (moved) return Next::request;
  say_no(moved.error().what, Talk::failed(access));
  return Next::end;
}

// From the client to the image, piece by piece, so that a row may be larger than any buffer.
Result<void> MagickSession::take(const Access& access) {
  Pieces pieces(access.rect, talk_.shape().pixel_bytes(access.plane), access.length, in_.size());
  message_deadline_ = patience(access.length);
  while (!pieces.done()) {
    const Piece piece = pieces.next();
    while (end_ - begin_ < piece.bytes) {
      if (in_.size() - begin_ < piece.bytes) {
        std::memmove(in_.data(), in_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
      }
      SMALTI_TRY(const bool more, receive(true));
      if (!more) return fail(Errc::unavailable, "the client hung up in the middle of a write");
    }
    SMALTI_CHECK(image_->write({}, talk_.shape(), access.plane, piece.rect, waiting().first(piece.bytes)));
    begin_ += piece.bytes;
    bytes_in_ += piece.bytes;
  }
  return {};
}

Result<void> MagickSession::give(const Access& access) {
  Pieces pieces(access.rect, talk_.shape().pixel_bytes(access.plane), access.length, out_.size());
  const auto deadline = patience(access.length);
  while (!pieces.done()) {
    const Piece piece = pieces.next();
    const auto bytes = std::span(out_).first(piece.bytes);
    SMALTI_CHECK(image_->read({}, talk_.shape(), access.plane, piece.rect, bytes));
    SMALTI_CHECK(socket_.send(bytes, patience_until(deadline)));
    bytes_out_ += piece.bytes;
  }
  return {};
}

MagickSession::Next MagickSession::say(std::span<const std::byte> bytes) {
  const auto said = socket_.send(bytes, patience(bytes.size()));
  return said ? Next::request : Next::end;
}

void MagickSession::say_no(std::string_view why, std::span<const std::byte> reply) {
  parts_.log.line(Level::warning, fmt::format("ImageMagick client {} is closed: {}", socket_.peer(), why));
  say(reply);
  socket_.part(parting);
}

}  // namespace smalti
