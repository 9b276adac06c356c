// Plays every recorded client to our side of the conversation, over a plain block of memory, and compares what we say
// with what ImageMagick's own server said, byte for byte.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "test/wire/magick_capture.h"
#include "wire/magick_dialect.h"
#include "wire/magick_talk.h"

namespace smalti::wire::magick {
namespace {

using test::load_capture;
using test::Recorded;

struct Session {
  const char* name;
  const char* dialect;
};

const Session sessions[] = {
    {"im6-orig-6.9.11-60-negate", "l:im6"},
    {"im7-7.1.0-40-negate", "l"},
    {"q16-deb13u12-negate", "s"},
    {"q16hdri-deb13u12-negate", "s:hdri"},
    {"im7-7.1.2-22-negate", "s"},
    {"im6-deb12u11-negate", "n8"},
    {"im6-deb12u15-negate", "n8"},
    {"q16-deb13u14-negate", "n16"},
    {"head-q16hdri-negate", "n16"},
    {"im6-cmyk", "n8"},
    {"im6-gif", "n8"},
    {"im6-resize", "n8"},
    {"im6u15-idle5s", "n8"},
    {"head-idle5s", "n16"},
    {"q16u14-idle5s", "n16"},
    {"q16-alpha", "s"},
    {"q16-blur", "s"},
    {"q16-clone", "s"},
    {"q16-cmyk", "s"},
    {"q16-crop", "s"},
    {"q16-deb13u12-metachannels", "s"},
    {"q16-deb13u14-metachannels", "n16"},
    {"q16-distort", "s"},
    {"q16-flip", "s"},
    {"q16-gray", "s"},
    {"q16-mask", "s"},
    {"q16-read-info", "s"},
    {"q16-resize", "s"},
    {"q16-rotate", "s"},
};

// An image in one block of memory, that knows which of its bytes were ever written.
class Block {
 public:
  // REQUIRES: inside the image, and whole, as recorded clients ask. `move` gets a row's bytes and their written-marks.
  template <class Move>
  void rows(const Shape& shape, const Access& access, Move move) {
    auto& [bytes, written] = planes_[access.plane == Plane::meta];
    const std::size_t pixel = shape.pixel_bytes(access.plane);
    bytes.resize(shape.size().area() * pixel);
    written.resize(bytes.size());
    for (std::uint32_t row = 0; row < access.rect.size.h; ++row) {
      const auto at = ((access.rect.y + row) * shape.size().w + access.rect.x) * pixel;
      const std::size_t length = access.rect.size.w * pixel;
      move(std::span(bytes).subspan(at, length), std::span(written).subspan(at, length));
    }
  }

 private:
  struct Stored {
    std::vector<std::byte> bytes;
    std::vector<char> written;
  };
  Stored planes_[2];
};

// Our server, as far as it goes without a socket.
class Served {
 public:
  Served(const Dialect& dialect, Bytes nonce) {
    auto greeter = Greeter::with(dialect, Secret("passphrase"), nonce);
    EXPECT_TRUE(greeter);
    if (greeter) greeter_.emplace(std::move(*greeter));
    say(greeter_->greeting());
  }

  // Everything that can be done with what has arrived so far.
  void hear(Bytes more) {
    in_.insert(in_.end(), more.begin(), more.end());
    while (!closed_ && step()) {
    }
  }

  const std::vector<std::byte>& said() const { return out_; }
  // Of the bytes said: 0 where a client read what nobody had written. ImageMagick's server sends what its heap held.
  const std::vector<char>& known() const { return known_; }
  bool closed() const { return closed_; }
  std::string why;

 private:
  void say(Bytes bytes) {
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    known_.resize(out_.size(), 1);
  }
  void drop(std::size_t bytes) { in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(bytes)); }

  bool step() {
    if (talk_) return request();
    const Arrival arrival = greeter_->judge(in_);
    if (arrival.kind == Arrival::Kind::more) return false;
    EXPECT_EQ(arrival.kind, Arrival::Kind::admitted) << arrival.why;
    closed_ = arrival.kind != Arrival::Kind::admitted;
    drop(arrival.used);
    talk_.emplace(greeter_->dialect().family(), greeter_->key());
    return true;
  }

  bool request() {
    const Step step = talk_->next(in_);
    if (step.kind == Step::Kind::more) return false;
    const bool payload = step.kind == Step::Kind::transfer && step.access.write;
    if (payload && in_.size() < step.used + step.access.length) return false;
    drop(step.used);
    if (step.kind == Step::Kind::open) say(talk_->opened(true));
    if (step.kind == Step::Kind::transfer) transfer(step.access);
    say(step.reply);
    closed_ = step.kind == Step::Kind::destroy || step.kind == Step::Kind::refuse;
    why = step.why;
    return true;
  }

  void transfer(const Access& access) {
    EXPECT_EQ(access.length, access.whole);
    std::size_t at = 0;
    block_.rows(talk_->shape(), access, [&](std::span<std::byte> row, std::span<char> written) {
      if (!access.write) {
        known_.insert(known_.end(), written.begin(), written.end());
        return say(row);
      }
      std::memcpy(row.data(), in_.data() + at, row.size());
      std::ranges::fill(written, 1);
      at += row.size();
    });
    drop(at);
  }

  std::optional<Greeter> greeter_;
  std::optional<Talk> talk_;
  Block block_;
  std::vector<std::byte> in_, out_;
  std::vector<char> known_;  // beside out_
  bool closed_ = false;
};

// Where ImageMagick's server was wrong, or hung up on a client that was slow, ours differs and should.
enum class Expected { same, hung_up, refused, spoiled };

Expected expected_of(const std::string& capture, int connection) {
  if (capture == "head-idle5s" && connection == 0) return Expected::hung_up;
  if (capture == "q16u14-idle5s" && connection == 0) return Expected::hung_up;
  if (capture.ends_with("metachannels") && connection == 1) return Expected::refused;
  if (capture == "q16-mask" && connection >= 2) return Expected::spoiled;
  return Expected::same;
}

void compare(const Recorded& one, const Served& served, Expected expected) {
  const auto& ours = served.said();
  const auto& theirs = one.from_server;
  switch (expected) {
    case Expected::same:
      ASSERT_EQ(ours.size(), theirs.size());
      for (std::size_t i = 0; i < ours.size(); ++i)
        ASSERT_TRUE(ours[i] == theirs[i] || !served.known()[i]) << "differs at byte " << i;
      break;
    case Expected::hung_up:  // theirs ends with a status that nobody asked for
      ASSERT_GE(ours.size(), theirs.size() - status_bytes);
      EXPECT_TRUE(std::equal(theirs.begin(), theirs.end() - status_bytes, ours.begin()));
      EXPECT_TRUE(served.why.empty()) << served.why;
      break;
    case Expected::refused:  // five channels were announced, and are taken
      EXPECT_FALSE(served.closed()) << served.why;
      break;
    case Expected::spoiled:  // as long, but their masks had spoilt the pixels
      EXPECT_EQ(ours.size(), theirs.size());
      break;
  }
}

class MagickReplay : public testing::TestWithParam<Session> {};

TEST_P(MagickReplay, server_says_what_imagemagicks_said) {
  const auto dialect = parse_dialect(GetParam().dialect);
  ASSERT_TRUE(dialect);
  const auto capture = load_capture(GetParam().name);
  ASSERT_FALSE(capture.empty());
  for (const auto& [connection, one] : capture) {
    SCOPED_TRACE(connection);
    ASSERT_GE(one.from_server.size(), dialect->greeting_bytes());
    Served served(*dialect, one.from_server);
    std::size_t at = 0;
    for (const std::size_t length : one.segments) {
      served.hear(Bytes(one.from_client).subspan(at, length));
      at += length;
    }
    compare(one, served, expected_of(GetParam().name, connection));
  }
}

TEST_P(MagickReplay, server_does_not_mind_how_the_bytes_are_cut) {
  const auto dialect = parse_dialect(GetParam().dialect);
  ASSERT_TRUE(dialect);
  const auto capture = load_capture(GetParam().name);
  const Recorded& one = capture.rbegin()->second;
  Served at_once(*dialect, one.from_server);
  at_once.hear(one.from_client);
  Served in_sevens(*dialect, one.from_server);
  for (std::size_t at = 0; at < one.from_client.size(); at += 7)
    in_sevens.hear(Bytes(one.from_client).subspan(at, std::min<std::size_t>(7, one.from_client.size() - at)));
  EXPECT_TRUE(at_once.said() == in_sevens.said());
}

// Our client's half writes the very bytes that theirs wrote.
TEST_P(MagickReplay, client_writes_what_imagemagicks_wrote) {
  const auto dialect = parse_dialect(GetParam().dialect);
  ASSERT_TRUE(dialect);
  for (const auto& [connection, one] : load_capture(GetParam().name)) {
    SCOPED_TRACE(connection);
    const auto reply =
        answer_greeting(*dialect, Secret("passphrase"), Bytes(one.from_server).first(dialect->greeting_bytes()));
    ASSERT_TRUE(reply) << reply.error().what;
    std::vector<std::byte> written = reply->bytes;
    Bytes rest(one.from_client);
    rest = rest.subspan(written.size());
    while (!rest.empty()) {
      const auto frame = parse_frame(dialect->family(), rest);
      ASSERT_TRUE(frame && *frame);
      const auto header = encode((*frame)->request, reply->key);
      std::size_t used = header.size();
      if (const auto* region = std::get_if<Region>(&(*frame)->request))
        if (region->command == Command::write || region->command == Command::write_meta)
          used = std::min<std::size_t>(rest.size(), used + region->length);
      ASSERT_LE(used, rest.size());
      written.insert(written.end(), header.begin(), header.end());
      written.insert(written.end(), rest.begin() + static_cast<std::ptrdiff_t>(header.size()),
                     rest.begin() + static_cast<std::ptrdiff_t>(used));
      rest = rest.subspan(used);
    }
    EXPECT_TRUE(written == one.from_client);
  }
}

std::string test_name(const testing::TestParamInfo<Session>& info) {
  std::string name = info.param.name;
  std::ranges::replace_if(name, [](char c) { return c == '-' || c == '.'; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(captures, MagickReplay, testing::ValuesIn(sessions), test_name);

}  // namespace
}  // namespace smalti::wire::magick
