#include "wire/native_named.h"

#include <fmt/format.h>

#include <optional>

#include "wire/native_head.h"
#include "wire/native_named_codec.h"

namespace smalti::wire::native {

namespace {

constexpr std::size_t least_keeper_bytes = 28;  // on the wire
constexpr std::size_t least_line_bytes = 64;

// One character; nullopt where the bytes are no UTF-8 (overlong forms and surrogates are none).
struct Character {
  std::uint32_t code;
  std::size_t bytes;
};
std::optional<Character> character(std::string_view text) noexcept {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = at(0);
  if (first < 0x80) return Character{first, 1};
  const std::size_t bytes = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC2 ? 2 : 0;
  if (bytes == 0 || bytes > text.size() || first > 0xF4) return std::nullopt;
  std::uint32_t code = first & (0xFFu >> (bytes + 1));
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((at(i) & 0xC0) != 0x80) return std::nullopt;
    code = code << 6 | (at(i) & 0x3Fu);
  }
  constexpr std::array<std::uint32_t, 5> least{0, 0, 0x80, 0x800, 0x10000};
  if (code < least[bytes] || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000)) return std::nullopt;
  return Character{code, bytes};
}

// Controls, line ends, and what turns the direction of the text around it.
bool invisible(std::uint32_t c) noexcept {
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || (c >= 0x200B && c <= 0x200F) || (c >= 0x2028 && c <= 0x202E) ||
         (c >= 0x2060 && c <= 0x206F) || c == 0xFEFF || (c >= 0xFFF9 && c <= 0xFFFB) || (c & 0xFFFE) == 0xFFFE;
}

}  // namespace

Result<void> check_name(std::string_view name) {
  const auto bad = [](std::string_view why) {
    return fail(Errc::invalid, fmt::format("no name for an image: {}; a name is 1 to {} bytes of printable text without "
                                           "`/', `[' and `]'", why, most_name));
  };
  if (name.empty()) return bad("it is empty");
  if (name.size() > most_name) return bad(fmt::format("it has {} bytes", name.size()));
  for (std::string_view rest = name; !rest.empty();) {
    const auto next = character(rest);
    if (!next) return bad("it is no UTF-8");
    if (invisible(next->code)) return bad("it holds a control character");
    if (next->code == '/' || next->code == '[' || next->code == ']')
      return bad(fmt::format("it holds `{}'", static_cast<char>(next->code)));
    rest.remove_prefix(next->bytes);
  }
  return {};
}

namespace {

void put_spec(Writer& w, const ImageSpec& spec) {
  w.u32(spec.size.w);
  w.u32(spec.size.h);
  w.u32(spec.tile.w);
  w.u32(spec.tile.h);
  w.u8(static_cast<std::uint8_t>(spec.format.sample));
  w.u8(spec.format.channels);
  w.u16(spec.format.meta_bytes);
}

void put_keepers(Writer& w, const std::vector<Keeper>& keepers) {
  w.u32(static_cast<std::uint32_t>(keepers.size()));
  for (const Keeper& keeper : keepers) {
    w.raw(keeper.server);
    w.u64(keeper.incarnation);
    w.u16(keeper.durable ? 1 : 0);
    w.text(keeper.address, most_name);
  }
}

void put_record(Writer& w, const NameRecord& m) {
  w.raw(m.image.raw);
  put_spec(w, m.spec);
  w.u64(m.created);
  w.u64(m.tiles);
  w.u64(m.bytes);
  w.u32(m.replicas);
  w.u32(m.depth);
  w.u32(m.whole ? 1 : 0);
  put_keepers(w, m.keepers);
}

void put_named(Writer& w, const std::string& name, Number number) {
  w.text(name, most_name);
  w.u64(number);
}

void put_register(Writer& w, const Register& m) {
  w.u64(m.promised);
  w.text(m.holder, most_name);
  w.u64(m.pinned);
  w.u64(m.number);
  const bool pinned = m.pinned != 0 && !m.pinned_keepers.empty();
  w.u32((m.orphaned ? 1u : 0u) | (m.settled ? 2u : 0u) | (m.deleted ? 4u : 0u) | (pinned ? 8u : 0u));
  w.u64(m.held_bytes);
  w.u64(m.checksum);
  w.u32(m.detail_bytes);
  if (m.number != 0) put_record(w, m.record);
  if (pinned) put_keepers(w, m.pinned_keepers);
}

}  // namespace

std::uint32_t put(Writer& w, const Look& m) {
  w.text(m.name, most_name);
  return 0;
}

std::uint32_t put(Writer& w, const ListNames& m) {
  w.text(m.after, most_name);
  return 0;
}

std::uint32_t put(Writer& w, const Lock& m) {
  put_named(w, m.name, m.number);
  return 0;
}

std::uint32_t put(Writer& w, const Unlock& m) {
  put_named(w, m.name, m.number);
  return 0;
}

std::uint32_t put(Writer& w, const Pin& m) {
  put_named(w, m.name, m.number);
  w.raw(m.image.raw);
  w.u32((m.holds ? 1u : 0u) | (m.keepers.empty() ? 0u : 2u));
  if (!m.keepers.empty()) put_keepers(w, m.keepers);
  return 0;
}

std::uint32_t put(Writer& w, const Enter& m) {
  put_named(w, m.name, m.number);
  w.u32((m.deleted ? 1u : 0u) | (m.repair ? 2u : 0u));
  w.u64(m.checksum);
  w.u32(m.detail_bytes);
  put_record(w, m.record);
  return m.detail_bytes;
}

std::uint32_t put(Writer& w, const Settle& m) {
  put_named(w, m.name, m.number);
  w.u32(m.forget ? 1 : 0);
  return 0;
}

std::uint32_t put(Writer& w, const Register& m) {
  put_register(w, m);
  return m.detail_bytes;
}

std::uint32_t put(Writer& w, const NamesPage& m) {
  w.u32(static_cast<std::uint32_t>(m.lines.size()));
  w.u32(m.more ? 1 : 0);
  w.u64(m.quota);
  w.u64(m.used);
  for (const NamesPage::Line& line : m.lines) {
    w.text(line.name, most_name);
    put_register(w, line.state);
  }
  return 0;
}

namespace {

std::uint32_t take_flags(Head& h, std::uint32_t known, std::string_view whose) {
  const std::uint32_t flags = h.r.u32();
  if ((flags & ~known) != 0) h.no(fmt::format("reserved {} flags {:#x}", whose, flags));
  return flags;
}

// As it is, not made fit for a terminal: another name would be another image.
std::string take_name(Head& h) {
  const std::size_t n = h.r.u16();
  const auto bytes = h.r.raw(n);
  std::string name(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  if (auto fine = check_name(name); !fine) h.no(fine.error().what);
  return name;
}

Number take_number(Head& h) {
  const Number number = h.r.u64();
  if (number == 0) h.no("a version of number 0");
  return number;
}

ImageSpec take_spec(Head& h) {
  ImageSpec spec;
  spec.size.w = h.r.u32();
  spec.size.h = h.r.u32();
  spec.tile.w = h.r.u32();
  spec.tile.h = h.r.u32();
  spec.format.sample = static_cast<Sample>(h.r.u8());
  spec.format.channels = h.r.u8();
  spec.format.meta_bytes = h.r.u16();
  if (auto fine = spec.check(); !fine)
    h.no(fine.error().what);
  else if (Grid(spec).tiles() > most_named_tiles)
    h.no("too many tiles");
  return spec;
}

std::vector<Keeper> take_keepers(Head& h) {
  std::vector<Keeper> keepers(h.items(least_keeper_bytes, most_keepers));
  for (Keeper& keeper : keepers) {
    keeper.server = h.r.array<16>();
    keeper.incarnation = h.r.u64();
    const std::uint16_t flags = h.r.u16();
    if (flags > 1) h.no(fmt::format("reserved keeper flags {:#x}", flags));
    keeper.durable = flags == 1;
    keeper.address = h.r.text(most_name);
  }
  return keepers;
}

NameRecord take_record(Head& h) {
  NameRecord m;
  m.image = take_image(h);
  m.spec = take_spec(h);
  m.created = h.r.u64();
  m.tiles = h.r.u64();
  m.bytes = h.r.u64();
  m.replicas = h.r.u32();
  m.depth = h.r.u32();
  m.whole = take_flags(h, 1, "record") != 0;
  m.keepers = take_keepers(h);
  return m;
}

std::uint32_t take_details(Head& h) {
  const std::uint32_t bytes = h.r.u32();
  if (bytes > most_detail_bytes) h.no(fmt::format("details of {} bytes", bytes));
  return bytes;
}

Register take_register(Head& h) {
  Register m;
  m.promised = h.r.u64();
  m.holder = h.r.text(most_name);
  m.pinned = h.r.u64();
  m.number = h.r.u64();
  const std::uint32_t flags = take_flags(h, 15, "register");
  m.orphaned = (flags & 1) != 0;
  m.settled = (flags & 2) != 0;
  m.deleted = (flags & 4) != 0;
  m.held_bytes = h.r.u64();
  m.checksum = h.r.u64();
  m.detail_bytes = take_details(h);
  if (m.number != 0)
    m.record = take_record(h);
  else if (m.detail_bytes != 0)
    h.no("details without a record");
  if ((flags & 8) == 0) return m;
  m.pinned_keepers = take_keepers(h);
  if (m.pinned == 0) h.no("servers of a version that is not pinned");
  return m;
}

Message take_enter(Head& h) {
  Enter m;
  m.name = take_name(h);
  m.number = take_number(h);
  const std::uint32_t flags = take_flags(h, 3, "enter");
  m.deleted = (flags & 1) != 0;
  m.repair = (flags & 2) != 0;
  m.checksum = h.r.u64();
  m.detail_bytes = take_details(h);
  m.record = take_record(h);
  h.body += m.detail_bytes;
  return m;
}

Message take_pin(Head& h) {
  Pin m;
  m.name = take_name(h);
  m.number = take_number(h);
  m.image = take_image(h);
  const std::uint32_t flags = take_flags(h, 3, "pin");
  m.holds = (flags & 1) != 0;
  if ((flags & 2) != 0) m.keepers = take_keepers(h);
  return m;
}

Message take_settle(Head& h) {
  Settle m;
  m.name = take_name(h);
  m.number = take_number(h);
  m.forget = take_flags(h, 1, "settle") != 0;
  return m;
}

Message take_page(Head& h) {
  NamesPage m;
  const std::uint32_t count = h.r.u32();
  m.more = take_flags(h, 1, "page") != 0;
  m.quota = h.r.u64();
  m.used = h.r.u64();
  if (count > most_names_on_page || std::uint64_t{count} * least_line_bytes > h.r.left()) {
    h.no(fmt::format("{} names on a page", count));
    return m;
  }
  for (std::uint32_t i = 0; i < count && !h.r.broken() && !h.refuse; ++i) {
    NamesPage::Line& line = m.lines.emplace_back();
    line.name = take_name(h);
    line.state = take_register(h);
    if (line.state.detail_bytes != 0) h.no("details on a page");
  }
  return m;
}

}  // namespace

std::optional<Message> take_named(Head& h, Kind kind) {
  switch (kind) {
    case Kind::look:
      return Look{take_name(h)};
    case Kind::list_names: {
      const std::size_t n = h.r.u16();
      const auto bytes = h.r.raw(n);
      if (n > most_name) h.no("a name is too long");
      return ListNames{std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())};
    }
    case Kind::lock: {
      Lock m{take_name(h), 0};
      m.number = take_number(h);
      return m;
    }
    case Kind::unlock: {
      Unlock m{take_name(h), 0};
      m.number = take_number(h);
      return m;
    }
    case Kind::pin:
      return take_pin(h);
    case Kind::enter:
      return take_enter(h);
    case Kind::settle:
      return take_settle(h);
    case Kind::register_: {
      Register m = take_register(h);
      h.body += m.detail_bytes;
      return m;
    }
    case Kind::names_page:
      return take_page(h);
    default:
      return std::nullopt;
  }
}

}  // namespace smalti::wire::native
