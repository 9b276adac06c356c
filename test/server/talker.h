// Talker: a client by hand, for tests: it says what it is told to, and hears what comes.
#pragma once

#include <gtest/gtest.h>

#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "net/connector.h"
#include "net/loop.h"
#include "net/tls.h"
#include "server/server.h"
#include "smalti/store/stores.h"
#include "wire/native_decode.h"

// g++ 12 takes asio's frames, of coroutines that hold a Frame, for the heap's.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace smalti::test {

namespace native = wire::native;
using namespace std::chrono_literals;

inline Clock::time_point patience() { return Clock::now() + 60s; }

inline Limits no_limits() {
  Limits limits;
  limits.most.fill(unlimited);
  return limits;
}

// A log that tests can read.
class Lines {
 public:
  Log log{[this](Level, std::string_view text) {
            const std::lock_guard lock(mutex_);
            lines_.emplace_back(text);
          },
          Level::debug};
  bool has(std::string_view part) const {
    const std::lock_guard lock(mutex_);
    for (const std::string& line : lines_)
      if (line.find(part) != std::string::npos) return true;
    return false;
  }
  std::string all() const {
    const std::lock_guard lock(mutex_);
    std::string out;
    for (const std::string& line : lines_) out += line + "\n";
    return out;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

// Polls a condition for a minute.
template <class Condition>
bool eventually(Condition condition) {
  const auto until = patience();
  while (!condition()) {
    if (Clock::now() > until) return false;
    std::this_thread::sleep_for(2ms);
  }
  return true;
}

// Deadlines that an honest client meets on the slowest machine, where a test does not set its own.
inline ServerOptions patient(ServerOptions options) {
  const ServerOptions usual;
  if (options.silence == usual.silence) options.silence = 10s;
  if (options.handshake == usual.handshake) options.handshake = 20s;
  return options;
}

inline const Secret& test_secret() {
  static const Secret secret("open sesame");
  return secret;
}

// One derivation for all clients of a test program: scrypt is slow on purpose.
inline const net::Psk& test_key() {
  static const net::Psk key(test_secret());
  return key;
}

// A server on a free loopback port, over a memory store or one that is given.
struct Served {
  explicit Served(ServerOptions options = {}, StorePtr over = nullptr, Limits limits = no_limits(),
                  server::NamesParts names = {})
      : ledger(limits), store(over ? std::move(over) : memory_store(ledger)) {
    options.address = options.address.empty() ? "127.0.0.1" : options.address;
    options.port = 0;
    options.secret = test_secret();
    auto listening =
        Server::listen({loop, store, ledger, heap, pool, lines.log, {}, std::move(names)}, patient(options));
    EXPECT_TRUE(listening) << listening.error().what;
    if (listening) server = std::move(*listening);
  }

  Lines lines;
  Ledger ledger;
  TileHeap heap;
  std::shared_ptr<TileStore> store;
  Pool pool{4};
  net::Loop loop;
  std::unique_ptr<Server> server;
};

inline net::Task<void> write_bytes(net::Stream* stream, std::vector<std::vector<std::byte>> parts) {
  std::vector<net::Bytes> spans(parts.begin(), parts.end());
  const std::span<const net::Bytes> gathered(spans);
  const auto deadline = patience();
  co_return co_await stream->write(gathered, deadline);
}

struct Heard {
  native::Frame frame;
  std::vector<std::byte> body;
};

class Talker {
 public:
  explicit Talker(net::Loop& loop) : loop_(loop) {}
  Talker(Talker&&) = default;
  ~Talker() {
    if (stream_) (void)loop_.run(gone(std::move(stream_)));
  }

  // Up to TLS; then without it, for rude peers.
  Result<void> connect(std::uint16_t port) {
    SMALTI_TRY(auto tcp, loop_.run(net::connect({"127.0.0.1", port}, patience())));
    raw_ = tcp.get();
    stream_ = std::move(tcp);
    return {};
  }
  Result<void> secure(std::uint16_t port, const net::Psk& key = test_key()) {
    SMALTI_TRY(auto tcp, loop_.run(net::connect({"127.0.0.1", port}, patience())));
    raw_ = tcp.get();
    SMALTI_TRY(auto secured, loop_.run(net::secure_client(std::move(tcp), key, patience())));
    secure_ = secured.get();
    stream_ = std::move(secured);
    return {};
  }

  Result<void> say_bytes(std::vector<std::byte> bytes) {
    std::vector<std::vector<std::byte>> parts;
    parts.push_back(std::move(bytes));
    return loop_.run(write_bytes(stream_.get(), std::move(parts)));
  }
  Result<void> say(const native::Message& message, std::vector<std::byte> body = {},
                   std::uint64_t request = 0) {
    std::vector<std::vector<std::byte>> parts;
    parts.push_back(native::encode({request != 0 ? request : ++last_, 7, 0}, message));
    parts.push_back(std::move(body));
    return loop_.run(write_bytes(stream_.get(), std::move(parts)));
  }
  Result<Heard> hear() { return loop_.run(next(this)); }
  Result<Heard> ask(const native::Message& message, std::vector<std::byte> body = {}) {
    SMALTI_CHECK(say(message, std::move(body)));
    return hear();
  }
  // A hello that fits the default server.
  static native::Hello hello(std::uint8_t session = 1) {
    native::Hello m;
    m.session.fill(std::byte{session});
    m.name = "talker";
    return m;
  }
  Result<native::Welcome> enter(std::uint16_t port, std::uint8_t session = 1, bool alone = false) {
    SMALTI_CHECK(secure(port));
    native::Hello said = hello(session);
    said.alone = alone;
    SMALTI_TRY(Heard heard, ask(said));
    if (const auto* welcome = std::get_if<native::Welcome>(&heard.frame.message)) return *welcome;
    const auto* refused = std::get_if<native::Refused>(&heard.frame.message);
    return fail(refused ? refused->code : Errc::internal,
                refused ? refused->text : "neither welcome nor refused");
  }

  // Until the server hangs up: the error of the last read.
  Error wait_for_end() {
    for (int frames = 0; frames < 10000; ++frames)
      if (auto heard = hear(); !heard) return heard.error();
    return {Errc::internal, "it does not end", 0};
  }
  void leave_tls() {
    auto plain = loop_.run(secure_->plain(patience()));
    ASSERT_TRUE(plain) << plain.error().what;
    stream_ = std::move(*plain);
    secure_ = nullptr;
  }
  net::Stream& stream() { return *stream_; }
  net::TcpStream& raw() { return *raw_; }

 private:
  static net::Task<void> gone(std::unique_ptr<net::Stream> stream) {
    stream->close();
    co_return Result<void>();
  }
  static net::Task<Heard> next(Talker* self) {
    const auto deadline = patience();
    while (true) {
      auto frame = self->decoder_.next();
      if (!frame) co_return pass(std::move(frame.error()));
      if (!*frame) {
        auto got = co_await self->stream_->read_some(self->decoder_.space(), deadline);
        if (!got) co_return pass(std::move(got.error()));
        if (*got == 0) co_return fail(Errc::unavailable, "the server has ended");
        self->decoder_.filled(*got);
        continue;
      }
      Heard heard{std::move(**frame), {}};
      heard.body.resize(heard.frame.body_bytes);
      for (auto rest = self->decoder_.claim(heard.body); !rest.empty();) {
        auto got = co_await self->stream_->read_some(rest, deadline);
        if (!got) co_return pass(std::move(got.error()));
        if (*got == 0) co_return fail(Errc::unavailable, "the server has ended within a payload");
        rest = rest.subspan(*got);
      }
      co_return std::move(heard);
    }
  }

  net::Loop& loop_;
  std::unique_ptr<net::Stream> stream_;
  net::SecureStream* secure_ = nullptr;
  net::TcpStream* raw_ = nullptr;
  native::Decoder decoder_{native::Decoder::From::server};
  std::uint64_t last_ = 0;
};

// An image of 2x2 tiles of 16 KiB, the right ones narrower.
inline const ImageSpec small_image{{100, 128}, {Sample::u8, 4, 0}, {64, 64}};

inline std::vector<std::byte> payload_of(const TileKey& key, std::uint8_t seed,
                                         const ImageSpec& spec = small_image) {
  const std::uint64_t bytes = Grid(spec).rect(key).size.area() * spec.format.pixel_bytes();
  std::vector<std::byte> out(bytes);
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = static_cast<std::byte>(seed + i * 7 + key.col + 3 * key.row);
  return out;
}

std::uint64_t checksum_of(const std::vector<std::byte>& payload);

inline native::PutItem item_for(const TileKey& key, const std::vector<std::byte>& payload) {
  return {key, {}, checksum_of(payload), static_cast<std::uint32_t>(payload.size())};
}

// The answers to a request of n items, gathered from as many replies as it takes, in the order of the items.
inline std::vector<native::PutAnswer> put_answers(Talker& talker, std::size_t n) {
  std::vector<native::PutAnswer> out(n);
  for (std::size_t had = 0; had < n;) {
    auto heard = talker.hear();
    EXPECT_TRUE(heard) << heard.error().what;
    const auto* done = heard ? std::get_if<native::PutDone>(&heard->frame.message) : nullptr;
    EXPECT_NE(done, nullptr);
    if (!done) break;
    for (const auto& answer : done->answers) out.at(answer.index) = answer;
    had += done->answers.size();
  }
  return out;
}

struct GotTile {
  native::TileAnswer answer;
  std::vector<std::byte> pixels;
};

inline std::vector<GotTile> tile_answers(Talker& talker, std::size_t n) {
  std::vector<GotTile> out(n);
  for (std::size_t had = 0; had < n;) {
    auto heard = talker.hear();
    EXPECT_TRUE(heard) << heard.error().what;
    const auto* tiles = heard ? std::get_if<native::Tiles>(&heard->frame.message) : nullptr;
    EXPECT_NE(tiles, nullptr);
    if (!tiles) break;
    std::size_t at = 0;
    for (const auto& answer : tiles->answers) {
      GotTile& got = out.at(answer.index);
      got.answer = answer;
      got.pixels.assign(heard->body.begin() + static_cast<std::ptrdiff_t>(at),
                        heard->body.begin() + static_cast<std::ptrdiff_t>(at + answer.bytes));
      at += answer.bytes;
    }
    had += tiles->answers.size();
  }
  return out;
}

inline ImageId open_image(Talker& talker, const ImageSpec& spec = small_image) {
  const ImageId image = ImageId::fresh();
  auto opened = talker.ask(native::Open{image, spec});
  EXPECT_TRUE(opened) << opened.error().what;
  if (opened) {
    EXPECT_TRUE(std::holds_alternative<native::Done>(opened->frame.message));
  }
  return image;
}

// Puts one tile, gets it back, compares. What an honest client does.
inline void expect_served(Talker& talker, const TileKey& key, std::uint8_t seed) {
  const auto pixels = payload_of(key, seed);
  ASSERT_TRUE(talker.say(native::Put{{item_for(key, pixels)}}, pixels));
  const auto put = put_answers(talker, 1);
  ASSERT_TRUE(put[0].put) << put[0].put.error().what;
  ASSERT_TRUE(talker.say(native::Get{{key}}));
  const auto got = tile_answers(talker, 1);
  ASSERT_EQ(got[0].answer.state, native::TileAnswer::State::present) << got[0].answer.error.what;
  EXPECT_TRUE(got[0].pixels == pixels);
  EXPECT_EQ(got[0].answer.checksum, checksum_of(pixels));
}

inline Error failure_of(const Heard& heard) {
  const auto* failed = std::get_if<native::Failed>(&heard.frame.message);
  return failed ? failed->error
                : Error{Errc::internal,
                        std::string("not failed: ") + std::string(name_of(heard.frame.message)), 0};
}

}  // namespace smalti::test
