#include "wire/native_decode.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "wire/native_head.h"
#include "wire/native_named_codec.h"

namespace smalti::wire::native {

namespace {

constexpr std::size_t ahead_bytes = 4096;      // read ahead beyond what is known to come
constexpr std::size_t kept_bytes = 64u << 10;  // of a buffer between frames

struct Header {
  std::uint8_t kind = 0;
  std::uint32_t head = 0, body = 0;
  Meta meta;
  std::uint32_t check = 0;
};

Result<Header> parse_header(std::span<const std::byte> bytes) {
  Reader r(bytes);
  Header h;
  if (r.u16() != frame_mark) return corrupt("a frame does not begin with its mark");
  if (const auto version = r.u8(); version != frame_version)
    return fail(Errc::incompatible,
                fmt::format("native protocol: frame version {} here, {} there", frame_version, version));
  h.kind = r.u8();
  h.head = r.u32();
  h.meta.request = r.u64();
  h.meta.trace = r.u64();
  h.body = r.u32();
  const std::uint32_t flags = r.u32();
  h.meta.millis = r.u32();
  h.check = r.u32();
  if (h.head > most_head_bytes)
    return corrupt(fmt::format("a head of {} bytes exceeds {}", h.head, most_head_bytes));
  if (h.body > most_body_bytes)
    return corrupt(fmt::format("a body of {} bytes exceeds {}", h.body, most_body_bytes));
  if (flags != 0) return corrupt(fmt::format("reserved frame flags {:#x}", flags));
  return h;
}

Attributes take_attributes(Head& h) {
  Attributes a;
  a.interface = h.r.u32();
  a.quantum_depth = h.r.u32();
  a.hdri = h.r.u8() != 0;
  a.word_bytes = h.r.u8();
  a.little_endian = h.r.u8() == 1;
  h.r.u8();
  return a;
}

// A word of flags of which only the lowest has a meaning yet.
bool take_flag(Head& h, std::string_view whose) {
  const std::uint32_t flags = h.r.u32();
  if (flags > 1) h.no(fmt::format("reserved {} flags {:#x}", whose, flags));
  return flags == 1;
}

TileKey take_key(Head& h) {
  TileKey key;
  key.image = take_image(h);
  key.level = h.r.u32();
  key.col = h.r.u32();
  key.row = h.r.u32();
  return key;
}

// A later interface may say more in its hello; what stands here stays where it is, so that it can be
// compared.
Message take_hello(Head& h) {
  Hello m;
  m.attributes = take_attributes(h);
  m.session = h.r.array<16>();
  if (m.attributes.interface != Attributes{}.interface) {
    h.r.raw(h.r.left());
    return m;
  }
  const std::uint32_t flags = h.r.u32();
  if (flags > 3) h.no(fmt::format("reserved hello flags {:#x}", flags));
  m.plain = (flags & 1u) != 0;
  m.alone = (flags & 2u) != 0;
  m.name = h.r.text(most_name);
  return m;
}

Message take_welcome(Head& h) {
  Welcome m;
  m.attributes = take_attributes(h);
  m.server = h.r.array<16>();
  m.incarnation = h.r.u64();
  const std::uint32_t flags = h.r.u32();
  if (flags > 3) h.no(fmt::format("reserved welcome flags {:#x}", flags));
  m.plain = (flags & 1) != 0;
  m.durable = (flags & 2) != 0;
  m.grace_millis = h.r.u32();
  m.in_flight_bytes = h.r.u32();
  m.name = h.r.text(most_name);
  return m;
}

Message take_refused(Head& h) {
  Refused m;
  m.attributes = take_attributes(h);
  m.code = code_of(static_cast<std::uint8_t>(std::min<std::uint32_t>(h.r.u32(), 255)));
  m.text = h.r.text(most_text);
  return m;
}

Message take_open(Head& h) {
  Open m;
  m.image = take_image(h);
  m.spec.size.w = h.r.u32();
  m.spec.size.h = h.r.u32();
  m.spec.tile.w = h.r.u32();
  m.spec.tile.h = h.r.u32();
  m.spec.format.sample = static_cast<Sample>(h.r.u8());
  m.spec.format.channels = h.r.u8();
  m.spec.format.meta_bytes = h.r.u16();
  const std::uint32_t flags = h.r.u32();
  if (flags > 2) h.no(fmt::format("reserved image flags {:#x}", flags));
  m.existing = flags == 1;
  m.for_name = flags == 2;
  return m;
}

Message take_put(Head& h) {
  Put m;
  m.items.resize(h.items(56, most_items));
  for (PutItem& item : m.items) {
    item.key = take_key(h);
    const bool conditional = take_flag(h, "put");
    const std::uint64_t only_if = h.r.u64();
    if (conditional) item.only_if = static_cast<Generation>(only_if);
    item.checksum = h.r.u64();
    const std::uint32_t payload = h.r.u32();
    item.bytes = h.r.u32();
    item.coded = h.payload(payload, item.bytes, 0);
  }
  return m;
}

Message take_get(Head& h) {
  Get m;
  m.keys.resize(h.items(32, most_items));
  for (TileKey& key : m.keys) {
    key = take_key(h);
    const std::uint32_t coder = h.r.u32();
    if (coder > static_cast<std::uint32_t>(Coder::zstd)) h.no("reserved get flags");
    if (&key != m.keys.data() && coder != static_cast<std::uint32_t>(m.coder)) h.no("a get in two codings");
    m.coder = static_cast<Coder>(coder);
  }
  return m;
}

std::optional<ImageId> take_which(Head& h, std::string_view whose) {
  const bool one = take_flag(h, whose);
  const ImageId image = take_image(h);
  return one ? std::optional(image) : std::nullopt;
}

Message take_goodbye(Head& h) {
  Goodbye m;
  m.session_ends = take_flag(h, "goodbye");
  m.text = h.r.text(most_text);
  return m;
}

Message take_failed(Head& h) {
  Failed m;
  m.error.code = code_of(static_cast<std::uint8_t>(std::min<std::uint32_t>(h.r.u32(), 255)));
  m.error.what = h.r.text(most_text);
  return m;
}

// The fixed part of an answer, which a put's and a get's have in common.
struct Answer {
  std::uint32_t index = 0;
  std::uint8_t state = 0, code = 0;
  std::uint16_t text = 0;
};

Answer take_answer(Head& h) {
  Answer a;
  a.index = h.r.u32();
  a.state = h.r.u8();
  a.code = h.r.u8();
  a.text = h.r.u16();
  if (a.index >= most_items) h.no("an answer to no item");
  if (a.state > 2) h.no(fmt::format("an answer in state {}", a.state));
  if (a.text > most_item_text || (a.state != 2 && a.text != 0)) h.no("an answer's text is too long");
  return a;
}

Message take_put_done(Head& h) {
  PutDone m;
  std::vector<Answer> fixed(h.items(16, most_items));
  m.answers.resize(fixed.size());
  for (std::size_t i = 0; i < fixed.size(); ++i) {
    fixed[i] = take_answer(h);
    if (fixed[i].state == 1) h.no("a put cannot be absent");
    m.answers[i].index = fixed[i].index;
    m.answers[i].put = static_cast<Generation>(h.r.u64());
  }
  for (std::size_t i = 0; i < fixed.size() && !h.refuse; ++i)
    if (fixed[i].state == 2) m.answers[i].put = fail(code_of(fixed[i].code), h.r.chars(fixed[i].text));
  return m;
}

Message take_tiles(Head& h) {
  Tiles m;
  std::vector<Answer> fixed(h.items(32, most_items));
  m.answers.resize(fixed.size());
  for (std::size_t i = 0; i < fixed.size(); ++i) {
    fixed[i] = take_answer(h);
    TileAnswer& answer = m.answers[i];
    answer.index = fixed[i].index;
    answer.state = static_cast<TileAnswer::State>(std::min<std::uint8_t>(fixed[i].state, 2));
    answer.generation = static_cast<Generation>(h.r.u64());
    answer.checksum = h.r.u64();
    const std::uint32_t payload = h.r.u32();
    answer.bytes = h.r.u32();
    if (answer.state == TileAnswer::State::present)
      answer.coded = h.payload(payload, answer.bytes, 1);
    else if (payload != 0 || answer.bytes != 0)
      h.no("a payload without a tile");
  }
  for (std::size_t i = 0; i < fixed.size() && !h.refuse; ++i)
    if (fixed[i].state == 2) m.answers[i].error = {code_of(fixed[i].code), h.r.chars(fixed[i].text), 0};
  return m;
}

// What lies in shared memory is no part of the body.
void take_places(Head& h, std::vector<std::uint32_t>& at, std::size_t items, bool coded) {
  h.body = 0;
  if (coded) h.no("a coding within shared memory");
  if (h.r.broken() || h.r.left() != 4 * items) return h.no("places for other items than there are");
  at.resize(items);
  for (std::uint32_t& one : at) one = h.r.u32();
}

Message take_shared_get(Head& h) {
  SharedGet m;
  m.get = std::get<Get>(take_get(h));
  take_places(h, m.at, m.get.keys.size(), m.get.coder != Coder::none);
  return m;
}

Message take_shared_put(Head& h) {
  SharedPut m;
  m.put = std::get<Put>(take_put(h));
  const auto coded = [](const PutItem& item) { return item.coded != 0; };
  take_places(h, m.at, m.put.items.size(), std::any_of(m.put.items.begin(), m.put.items.end(), coded));
  return m;
}

Message take_shared_tiles(Head& h) {
  SharedTiles m;
  m.tiles = std::get<Tiles>(take_tiles(h));
  for (const TileAnswer& answer : m.tiles.answers)
    if (answer.coded != 0) h.no("a coding within shared memory");
  h.body = 0;
  return m;
}

Message take_share(Head& h) {
  Share m;
  m.door = h.r.array<16>();
  m.token = h.r.array<16>();
  m.bytes = h.r.u32();
  m.client_port = h.r.u16();
  m.server_port = h.r.u16();
  if (m.bytes == 0 || m.bytes > most_shared_bytes) h.no(fmt::format("{} bytes to share", m.bytes));
  return m;
}

Message take_use_report(Head& h) {
  UseReport m;
  const std::uint32_t tiers = h.r.u32(), counts = h.r.u32(), rooms = h.r.u32();
  if (tiers > most_report || counts > most_report || rooms > most_report) {
    h.no("a report is too long");
    return m;
  }
  for (std::uint32_t i = 0; i < tiers && !h.r.broken(); ++i) {
    TierReport& tier = m.tiers.emplace_back();
    tier.tier = h.r.text(most_name);
    tier.place = h.r.text(most_name);
    tier.tiles = h.r.u64();
    tier.bytes = h.r.u64();
  }
  for (std::uint32_t i = 0; i < counts && !h.r.broken(); ++i) {
    CountReport& count = m.counts.emplace_back();
    count.name = h.r.text(most_name);
    count.value = h.r.u64();
  }
  for (std::uint32_t i = 0; i < rooms && !h.r.broken(); ++i) {
    const std::uint32_t resource = h.r.u32();
    RoomReport room{static_cast<Resource>(std::min<std::uint32_t>(resource, 255)), h.r.u64(), h.r.u64()};
    if (resource < resource_count) m.rooms.push_back(room);
  }
  return m;
}

// nullopt: no such message from that side.
std::optional<Message> take_message(Head& h, std::uint8_t kind, Decoder::From from) {
  const bool client = from == Decoder::From::client;
  if (static_cast<Kind>(kind) == Kind::goodbye) return take_goodbye(h);
  if (client != (kind < 0x80)) return std::nullopt;
  switch (static_cast<Kind>(kind)) {
    case Kind::hello:
      return take_hello(h);
    case Kind::open:
      return take_open(h);
    case Kind::put:
      return take_put(h);
    case Kind::get:
      return take_get(h);
    case Kind::drop:
      return Drop{take_image(h)};
    case Kind::sync:
      return Sync{take_which(h, "sync")};
    case Kind::ping:
      return Ping{};
    case Kind::use:
      return Use{take_which(h, "use")};
    case Kind::share:
      return take_share(h);
    case Kind::shared_get:
      return take_shared_get(h);
    case Kind::shared_put:
      return take_shared_put(h);
    case Kind::shared_tiles:
      return take_shared_tiles(h);
    case Kind::welcome:
      return take_welcome(h);
    case Kind::refused:
      return take_refused(h);
    case Kind::done:
      return Done{};
    case Kind::failed:
      return take_failed(h);
    case Kind::put_done:
      return take_put_done(h);
    case Kind::tiles:
      return take_tiles(h);
    case Kind::use_report:
      return take_use_report(h);
    default:
      return take_named(h, static_cast<Kind>(kind));
  }
}

Result<Frame> parse_frame(const Header& header, std::span<const std::byte> header_and_head,
                          Decoder::From from) {
  if (head_check(header_and_head) != header.check) return corrupt("a frame's check does not match its head");
  Head h{Reader(header_and_head.subspan(header_bytes)), 0, {}};
  auto message = take_message(h, header.kind, from);
  if (!message) return corrupt(fmt::format("no message of kind {:#04x} comes from this side", header.kind));
  if (h.refuse) return pass(std::move(*h.refuse));
  if (h.r.broken() || h.r.left() != 0)
    return corrupt(fmt::format("a {} of {} bytes", name_of(*message), header.head));
  if (h.body != header.body)
    return corrupt(fmt::format("a body of {} bytes for payloads of {}", header.body, h.body));
  return Frame{header.meta, std::move(*message), header.body};
}

}  // namespace

std::span<std::byte> Decoder::space() {
  if (begin_ == end_) {
    begin_ = end_ = 0;
    if (buffer_.size() > kept_bytes) std::vector<std::byte>().swap(buffer_);  // a long head is rare
  }
  if (begin_ > 0 && begin_ + wanted_ > buffer_.size()) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  // Grows as bytes arrive, never on the word of a header alone.
  if (end_ == buffer_.size())
    buffer_.resize(std::max(buffer_.size() + ahead_bytes, std::min(begin_ + wanted_, 2 * buffer_.size())));
  return std::span(buffer_).subspan(end_);
}

Result<std::optional<Frame>> Decoder::next() {
  if (broken_) return pass(*broken_);
  auto parsed = parse();
  if (!parsed) broken_ = parsed.error();
  return parsed;
}

Result<std::optional<Frame>> Decoder::parse() {
  if (body_left_ != 0) return fail(Errc::internal, "native protocol: the body of a frame was not taken");
  const auto have = std::span<const std::byte>(buffer_).subspan(begin_, end_ - begin_);
  wanted_ = header_bytes;
  if (have.size() < header_bytes) return std::optional<Frame>();
  SMALTI_TRY(const Header header, parse_header(have.first(header_bytes)));
  wanted_ = header_bytes + header.head;
  if (have.size() < wanted_) return std::optional<Frame>();
  SMALTI_TRY(Frame frame, parse_frame(header, have.first(wanted_), from_));
  begin_ += wanted_;
  wanted_ = header_bytes;
  body_left_ = frame.body_bytes;
  return std::optional<Frame>(std::move(frame));
}

std::span<std::byte> Decoder::claim(std::span<std::byte> into) noexcept {
  const std::size_t ready = std::min(into.size(), end_ - begin_);
  if (ready > 0) std::memcpy(into.data(), buffer_.data() + begin_, ready);
  begin_ += ready;
  body_left_ -= static_cast<std::uint32_t>(into.size());
  return into.subspan(ready);
}

}  // namespace smalti::wire::native
