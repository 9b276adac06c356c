#include <xxhash.h>

#include <type_traits>

#include "wire/native.h"
#include "wire/native_bytes.h"
#include "wire/native_named_codec.h"

namespace smalti::wire::native {

namespace {

constexpr std::size_t body_offset = 24;
constexpr std::size_t head_offset = 4;

void put_attributes(Writer& w, const Attributes& a) {
  w.u32(a.interface);
  w.u32(a.quantum_depth);
  w.u8(a.hdri ? 1 : 0);
  w.u8(static_cast<std::uint8_t>(a.word_bytes));
  w.u8(a.little_endian ? 1 : 2);
  w.u8(0);
}

void put_key(Writer& w, const TileKey& key) {
  w.raw(key.image.raw);
  w.u32(key.level);
  w.u32(key.col);
  w.u32(key.row);
}

std::string_view item_text(const Error& error) {
  return std::string_view(error.what).substr(0, most_item_text);
}

// One overload a message: its kind, and its head. The ones with payloads return the size of the frame's body.

std::uint32_t put(Writer& w, const Hello& m) {
  put_attributes(w, m.attributes);
  w.raw(m.session);
  w.u32((m.plain ? 1u : 0u) | (m.alone ? 2u : 0u));
  w.text(m.name, most_name);
  return 0;
}

std::uint32_t put(Writer& w, const Open& m) {
  w.raw(m.image.raw);
  w.u32(m.spec.size.w);
  w.u32(m.spec.size.h);
  w.u32(m.spec.tile.w);
  w.u32(m.spec.tile.h);
  w.u8(static_cast<std::uint8_t>(m.spec.format.sample));
  w.u8(m.spec.format.channels);
  w.u16(m.spec.format.meta_bytes);
  w.u32((m.existing ? 1u : 0u) | (m.for_name ? 2u : 0u));
  return 0;
}

// Bytes on the wire, and when decoded. Returns the former.
std::uint32_t payload_of(Writer& w, std::uint32_t bytes, std::uint32_t coded) {
  const std::uint32_t payload = coded != 0 ? coded : bytes;
  w.u32(payload);
  w.u32(bytes);
  return payload;
}

std::uint32_t put(Writer& w, const Put& m) {
  std::uint32_t body = 0;
  w.u32(static_cast<std::uint32_t>(m.items.size()));
  for (const PutItem& item : m.items) {
    put_key(w, item.key);
    w.u32(item.only_if ? 1 : 0);
    w.u64(item.only_if ? static_cast<std::uint64_t>(*item.only_if) : 0);
    w.u64(item.checksum);
    body += payload_of(w, item.bytes, item.coded);
  }
  return body;
}

std::uint32_t put(Writer& w, const Get& m) {
  w.u32(static_cast<std::uint32_t>(m.keys.size()));
  for (const TileKey& key : m.keys) {
    put_key(w, key);
    w.u32(static_cast<std::uint32_t>(m.coder));
  }
  return 0;
}

std::uint32_t put(Writer& w, const Drop& m) {
  w.raw(m.image.raw);
  return 0;
}

std::uint32_t put(Writer&, const Ping&) { return 0; }
std::uint32_t put(Writer&, const Done&) { return 0; }

void put_which(Writer& w, const std::optional<ImageId>& image) {
  w.u32(image ? 1 : 0);
  w.raw(image ? image->raw : ImageId{}.raw);
}

std::uint32_t put(Writer& w, const Sync& m) {
  put_which(w, m.image);
  return 0;
}

std::uint32_t put(Writer& w, const Use& m) {
  put_which(w, m.image);
  return 0;
}

std::uint32_t put(Writer& w, const Goodbye& m) {
  w.u32(m.session_ends ? 1 : 0);
  w.text(m.text, most_text);
  return 0;
}

std::uint32_t put(Writer& w, const Welcome& m) {
  put_attributes(w, m.attributes);
  w.raw(m.server);
  w.u64(m.incarnation);
  w.u32((m.plain ? 1u : 0u) | (m.durable ? 2u : 0u));
  w.u32(m.grace_millis);
  w.u32(m.in_flight_bytes);
  w.text(m.name, most_name);
  return 0;
}

std::uint32_t put(Writer& w, const Refused& m) {
  put_attributes(w, m.attributes);
  w.u32(number_of(m.code));
  w.text(m.text, most_text);
  return 0;
}

std::uint32_t put(Writer& w, const Failed& m) {
  w.u32(number_of(m.error.code));
  w.text(m.error.what, most_text);
  return 0;
}

std::uint32_t put(Writer& w, const PutDone& m) {
  w.u32(static_cast<std::uint32_t>(m.answers.size()));
  for (const PutAnswer& answer : m.answers) {
    w.u32(answer.index);
    w.u8(answer.put ? 0 : 2);
    w.u8(answer.put ? 0 : number_of(answer.put.error().code));
    w.u16(static_cast<std::uint16_t>(answer.put ? 0 : item_text(answer.put.error()).size()));
    w.u64(answer.put ? static_cast<std::uint64_t>(*answer.put) : 0);
  }
  for (const PutAnswer& answer : m.answers)
    if (!answer.put) w.chars(item_text(answer.put.error()));
  return 0;
}

std::uint32_t put(Writer& w, const Tiles& m) {
  using State = TileAnswer::State;
  std::uint32_t body = 0;
  w.u32(static_cast<std::uint32_t>(m.answers.size()));
  for (const TileAnswer& answer : m.answers) {
    const bool failed = answer.state == State::failed;
    const bool present = answer.state == State::present;
    w.u32(answer.index);
    w.u8(static_cast<std::uint8_t>(answer.state));
    w.u8(failed ? number_of(answer.error.code) : 0);
    w.u16(static_cast<std::uint16_t>(failed ? item_text(answer.error).size() : 0));
    w.u64(static_cast<std::uint64_t>(answer.generation));
    w.u64(present ? answer.checksum : 0);
    body += payload_of(w, present ? answer.bytes : 0, present ? answer.coded : 0);
  }
  for (const TileAnswer& answer : m.answers)
    if (answer.state == State::failed) w.chars(item_text(answer.error));
  return body;
}

std::uint32_t put(Writer& w, const Share& m) {
  w.raw(m.door);
  w.raw(m.token);
  w.u32(m.bytes);
  w.u16(m.client_port);
  w.u16(m.server_port);
  return 0;
}

// What lies in shared memory is no part of the body.
std::uint32_t put(Writer& w, const SharedTiles& m) {
  put(w, m.tiles);
  return 0;
}

std::uint32_t put(Writer& w, const SharedGet& m) {
  put(w, m.get);
  for (const std::uint32_t at : m.at) w.u32(at);
  return 0;
}

std::uint32_t put(Writer& w, const SharedPut& m) {
  put(w, m.put);
  for (const std::uint32_t at : m.at) w.u32(at);
  return 0;
}

std::uint32_t put(Writer& w, const UseReport& m) {
  const auto capped = [](std::size_t n) {
    return static_cast<std::uint32_t>(std::min<std::size_t>(n, most_report));
  };
  w.u32(capped(m.tiers.size()));
  w.u32(capped(m.counts.size()));
  w.u32(capped(m.rooms.size()));
  for (const TierReport& tier : std::span(m.tiers).first(capped(m.tiers.size()))) {
    w.text(tier.tier, most_name);
    w.text(tier.place, most_name);
    w.u64(tier.tiles);
    w.u64(tier.bytes);
  }
  for (const CountReport& count : std::span(m.counts).first(capped(m.counts.size()))) {
    w.text(count.name, most_name);
    w.u64(count.value);
  }
  for (const RoomReport& room : std::span(m.rooms).first(capped(m.rooms.size()))) {
    w.u32(static_cast<std::uint32_t>(room.resource));
    w.u64(room.limit);
    w.u64(room.used);
  }
  return 0;
}

struct KindName {
  Kind kind;
  std::string_view name;
};

// In the order of Message's alternatives.
constexpr std::array<KindName, std::variant_size_v<Message>> kinds{{
    {Kind::hello, "hello"},
    {Kind::open, "open"},
    {Kind::put, "put"},
    {Kind::get, "get"},
    {Kind::drop, "drop"},
    {Kind::sync, "sync"},
    {Kind::ping, "ping"},
    {Kind::use, "use"},
    {Kind::goodbye, "goodbye"},
    {Kind::welcome, "welcome"},
    {Kind::refused, "refused"},
    {Kind::done, "done"},
    {Kind::failed, "failed"},
    {Kind::put_done, "put-done"},
    {Kind::tiles, "tiles"},
    {Kind::use_report, "use-report"},
    {Kind::look, "look"},
    {Kind::list_names, "list-names"},
    {Kind::lock, "lock"},
    {Kind::unlock, "unlock"},
    {Kind::pin, "pin"},
    {Kind::enter, "enter"},
    {Kind::settle, "settle"},
    {Kind::register_, "register"},
    {Kind::names_page, "names-page"},
    {Kind::share, "share"},
    {Kind::shared_get, "shared-get"},
    {Kind::shared_put, "shared-put"},
    {Kind::shared_tiles, "shared-tiles"},
}};

std::size_t expected_bytes(const Message& message) {
  if (const auto* m = std::get_if<Put>(&message)) return header_bytes + 4 + m->items.size() * 56;
  if (const auto* m = std::get_if<Get>(&message)) return header_bytes + 4 + m->keys.size() * 32;
  if (const auto* m = std::get_if<Tiles>(&message)) return header_bytes + 4 + m->answers.size() * 32;
  return 256;
}

}  // namespace

std::uint32_t head_check(std::span<const std::byte> frame) noexcept {
  const std::uint64_t seed = XXH3_64bits(frame.data(), check_offset);
  return static_cast<std::uint32_t>(
      XXH3_64bits_withSeed(frame.data() + header_bytes, frame.size() - header_bytes, seed));
}

std::string_view name_of(const Message& message) noexcept { return kinds[message.index()].name; }

std::vector<std::byte> encode(const Meta& meta, const Message& message) {
  Writer w(expected_bytes(message));
  w.u16(frame_mark);
  w.u8(frame_version);
  w.u8(static_cast<std::uint8_t>(kinds[message.index()].kind));
  w.u32(0);  // head_bytes: below
  w.u64(meta.request);
  w.u64(meta.trace);
  w.u32(0);  // body_bytes: below
  w.u32(0);  // flags
  w.u32(meta.millis);
  w.u32(0);  // check: below
  const std::uint32_t body = std::visit([&w](const auto& m) { return put(w, m); }, message);
  w.patch(head_offset, static_cast<std::uint32_t>(w.size() - header_bytes));
  w.patch(body_offset, body);
  w.patch(check_offset, head_check(w.bytes()));
  return std::move(w.bytes());
}

}  // namespace smalti::wire::native
