// A server of a few lines that keeps tiles in a map and misbehaves on demand.
#pragma once

#include <atomic>
#include <map>
#include <set>

#include "net/listener.h"
#include "net/loop.h"
#include "net/tls.h"
#include "wire/native_decode.h"

namespace smalti::test {

struct Misbehaviour {
  std::atomic<bool> damage_tiles = false;    // flips a bit of each tile sent
  std::atomic<bool> forget_tiles = false;    // absent, whatever was put
  std::atomic<bool> wrong_size = false;      // of tiles sent
  std::atomic<bool> silent = false;          // reads, and never answers
  std::atomic<bool> mute_to_puts = false;    // answers everything else
  std::atomic<bool> asleep = false;          // as if stopped: neither reads nor answers until it wakes
  std::atomic<bool> foreign_numbers = false; // answers to requests that nobody made
  std::atomic<int> hang_up_after = -1;       // closes after so many more requests
  std::atomic<std::int64_t> room = std::int64_t{1} << 60;  // bytes
};

class FakeServer {
 public:
  // It is found by whoever looks for one at the port as soon as it is made: so it has its id and its life from the start.
  FakeServer(net::Loop& loop, net::Psk psk, std::uint16_t port = 0, wire::native::Id id = ImageId::fresh().raw,
             std::uint64_t life = 1)
      : incarnation(life), id_(id), loop_(loop), psk_(std::move(psk)), tasks_(loop) {
    auto opened = net::Listener::open(loop, {.address = "127.0.0.1", .port = port});
    if (!opened) return;
    listener_ = std::move(*opened);
    tasks_.spawn(serve());
  }
  ~FakeServer() { stop(); }

  std::uint16_t port() const { return listener_ ? listener_->port() : 0; }
  void stop() {
    auto close = [](FakeServer* self) -> net::Task<void> {
      self->listening_ = false;
      if (self->listener_) self->listener_->close();
      for (net::Stream* stream : self->streams_) stream->close();
      co_return Result<void>();
    };
    (void)loop_.run(close(this));
    tasks_.wait();
  }

  // What it holds, by checksum.
  std::map<TileKey, std::uint64_t> holds() {
    auto look = [](FakeServer* self) -> net::Task<std::map<TileKey, std::uint64_t>> {
      std::map<TileKey, std::uint64_t> held;
      for (const auto& [key, tile] : self->tiles_) held[key] = tile.first;
      co_return held;
    };
    return loop_.run(look(this)).value();
  }

  Misbehaviour bad;
  wire::Attributes attributes;
  std::atomic<std::uint64_t> incarnation;
  const wire::native::Id id_;
  std::atomic<int> sessions = 0, opens = 0, puts = 0, gets = 0, drops = 0, takes = 0, frames = 0;
  std::atomic<std::size_t> tiles = 0;

 private:
  using Bytes = net::Bytes;

  asio::awaitable<void> serve() {
    while (true) {
      auto peer = co_await listener_->accept();
      if (!peer) co_return;
      tasks_.spawn(session(std::move(*peer)));
    }
  }

  asio::awaitable<void> session(std::unique_ptr<net::TcpStream> tcp) {
    const auto deadline = Clock::now() + std::chrono::seconds(60);
    auto secure = co_await net::secure_server(std::move(tcp), psk_, deadline);
    if (!secure) co_return;
    net::SecureStream* encrypted = secure->get();
    std::unique_ptr<net::Stream> stream = std::move(*secure);
    ++sessions;
    net::Stream* now = stream.get();
    streams_.insert(now);
    wire::native::Decoder decoder(wire::native::Decoder::From::client);
    while (true) {
      auto frame = decoder.next();
      if (!frame) break;
      if (!*frame) {
        const auto space = decoder.space();
        auto got = co_await now->read_some(space, deadline);
        if (!got || *got == 0) break;
        decoder.filled(*got);
        continue;
      }
      auto handled = co_await handle(now, &decoder, &**frame, deadline);
      if (!handled) break;
      if (*handled) {  // in clear from here
        auto plain = co_await encrypted->plain(deadline);
        if (!plain) break;
        streams_.erase(now);
        stream = std::move(*plain);
        now = stream.get();
        streams_.insert(now);
      }
    }
    streams_.erase(now);
    stream->close();
  }

  net::Task<bool> handle(net::Stream* stream, wire::native::Decoder* decoder, wire::native::Frame* frame,
                         Clock::time_point deadline) {
    namespace native = wire::native;
    if (std::holds_alternative<native::Share>(frame->message) && !bad.asleep && !bad.silent) {
      const auto no = encode({frame->meta.request, 0, 0}, native::Failed{{Errc::unsupported, "no shared memory"}});
      const std::array<Bytes, 1> refusal{Bytes(no)};
      const std::span<const Bytes> parts(refusal);
      auto refused = co_await stream->write(parts, deadline);
      if (!refused) co_return pass(std::move(refused.error()));
      co_return false;
    }
    ++frames;
    while (bad.asleep && listening_) {
      const auto soon = Clock::now() + std::chrono::milliseconds(2);
      co_await net::pause_until(soon);
    }
    if (bad.hang_up_after >= 0 && bad.hang_up_after-- == 0) co_return fail(Errc::io, "hung up");
    native::Message reply = native::Done{};
    std::vector<std::vector<std::byte>> bodies;
    bool go_plain = false;
    if (const auto* hello = std::get_if<native::Hello>(&frame->message)) {
      const std::string differ = differences(attributes, hello->attributes);
      go_plain = hello->plain && differ.empty();
      if (differ.empty())
        reply = native::Welcome{attributes, id_, incarnation, hello->plain, false, 30000, 8u << 20, "fake"};
      else
        reply = native::Refused{Errc::incompatible, attributes, differ};
    } else if (const auto* put = std::get_if<native::Put>(&frame->message)) {
      auto taken = co_await take_put(stream, decoder, put, deadline);
      if (!taken) co_return pass(std::move(taken.error()));
      reply = std::move(*taken);
    } else if (const auto* get = std::get_if<native::Get>(&frame->message)) {
      reply = answer(*get, bodies);
    } else if (const auto* open = std::get_if<native::Open>(&frame->message)) {
      ++opens;
      known_.insert(open->image);
    } else if (const auto* drop = std::get_if<native::Drop>(&frame->message)) {
      ++drops;
      const ImageId image = drop->image;
      known_.erase(image);
      std::erase_if(tiles_, [&](const auto& one) { return one.first.image == image; });
      tiles = tiles_.size();
    } else if (std::holds_alternative<native::Goodbye>(frame->message)) {
      co_return fail(Errc::cancelled, "goodbye");
    }
    if (bad.silent) co_return false;
    if (bad.mute_to_puts && std::holds_alternative<native::Put>(frame->message)) co_return false;
    const std::uint64_t number = frame->meta.request + (bad.foreign_numbers && !go_plain ? 1000 : 0);
    const std::vector<std::byte> head = encode({number, frame->meta.trace, 0}, reply);
    std::vector<Bytes> parts{Bytes(head)};
    for (const auto& body : bodies) parts.emplace_back(body);
    auto wrote = co_await stream->write(parts, deadline);
    if (!wrote) co_return pass(std::move(wrote.error()));
    co_return go_plain;
  }

  net::Task<wire::native::PutDone> take_put(net::Stream* stream, wire::native::Decoder* decoder,
                                            const wire::native::Put* put, Clock::time_point deadline) {
    wire::native::PutDone done;
    for (std::uint32_t i = 0; i < put->items.size(); ++i) {
      const auto& item = put->items[i];
      std::vector<std::byte> pixels(item.bytes);
      auto rest = decoder->claim(pixels);
      while (!rest.empty()) {
        auto got = co_await stream->read_some(rest, deadline);
        if (!got) co_return pass(std::move(got.error()));
        if (*got == 0) co_return fail(Errc::unavailable, "cut");
        rest = rest.subspan(*got);
      }
      done.answers.push_back({i, keep(item, std::move(pixels))});
    }
    co_return done;
  }

  Result<Generation> keep(const wire::native::PutItem& item, std::vector<std::byte> pixels) {
    if (!known_.contains(item.key.image)) return fail(Errc::invalid, "the image is not open");
    ++puts;
    if (pixels.empty()) {
      ++takes;
      tiles_.erase(item.key);
      tiles = tiles_.size();
      return Generation::none;
    }
    std::int64_t used = 0;
    for (const auto& [key, one] : tiles_)
      if (key != item.key) used += static_cast<std::int64_t>(one.second.size());
    if (used + static_cast<std::int64_t>(pixels.size()) > bad.room)
      return fail(Errc::limit, "cache resources exhausted: memory limit of the fake");
    tiles_[item.key] = {item.checksum, std::move(pixels)};
    tiles = tiles_.size();
    return static_cast<Generation>(++generation_);
  }

  wire::native::Tiles answer(const wire::native::Get& get, std::vector<std::vector<std::byte>>& bodies) {
    using State = wire::native::TileAnswer::State;
    wire::native::Tiles reply;
    for (std::uint32_t i = 0; i < get.keys.size(); ++i) {
      ++gets;
      const auto found = tiles_.find(get.keys[i]);
      if (found == tiles_.end() || bad.forget_tiles) {
        reply.answers.push_back({i, State::absent, {}, 0, 0, {}});
        continue;
      }
      auto pixels = found->second.second;
      if (bad.damage_tiles) pixels[pixels.size() / 2] ^= std::byte{1};
      if (bad.wrong_size) pixels.pop_back();
      const auto bytes = static_cast<std::uint32_t>(pixels.size());
      reply.answers.push_back({i, State::present, Generation{1}, found->second.first, bytes, {}});
      bodies.push_back(std::move(pixels));
    }
    return reply;
  }

  net::Loop& loop_;
  bool listening_ = true;
  const net::Psk psk_;
  std::unique_ptr<net::Listener> listener_;
  std::set<net::Stream*> streams_;
  std::set<ImageId> known_;
  std::map<TileKey, std::pair<std::uint64_t, std::vector<std::byte>>> tiles_;
  std::uint64_t generation_ = 0;
  net::Tasks tasks_;
};

}  // namespace smalti::test
