#include "wire/magick_dialect.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "wire/magick_frame.h"

namespace smalti::wire::magick {

namespace {

constexpr auto tls_record = std::byte{0x16};
constexpr auto open_letter = static_cast<std::byte>(Command::open);

std::string_view name_of(Handshake handshake) noexcept {
  switch (handshake) {
    case Handshake::n16:
      return "n16";
    case Handshake::n8:
      return "n8";
    case Handshake::s:
      return "s";
    case Handshake::l:
      return "l";
  }
  return "";
}

std::uint32_t last_interface(Handshake handshake, Family family) noexcept {
  if (family == Family::im7) return 10;
  return handshake == Handshake::l ? 6 : 7;
}

std::optional<Handshake> handshake_of(std::string_view text) noexcept {
  for (const auto each : {Handshake::n16, Handshake::n8, Handshake::s, Handshake::l})
    if (text == name_of(each)) return each;
  return std::nullopt;
}

bool take_word(std::string_view word, Build& build, bool& interface_given) noexcept {
  constexpr std::string_view interface = "interface=";
  if (word == "im6" || word == "im7")
    build.family = word == "im6" ? Family::im6 : Family::im7;
  else if (word == "hdri")
    build.hdri = true;
  else if (word == "masks64")
    build.wide_masks = true;
  else if (word == "q8" || word == "q16" || word == "q32" || word == "q64")
    std::from_chars(word.data() + 1, word.data() + word.size(), build.depth);
  else if (word.starts_with(interface)) {
    interface_given = true;
    const auto [end, error] =
        std::from_chars(word.data() + interface.size(), word.data() + word.size(), build.interface);
    return error == std::errc() && end == word.data() + word.size();
  } else
    return false;
  return true;
}

}  // namespace

Result<Dialect> parse_dialect(std::string_view text) {
  const auto unknown = [&](std::string_view word) {
    return fail(
        Errc::invalid,
        fmt::format(
            "ImageMagick handshake '{}': '{}' is not known; one of n16, n8, s, l, where s and l may be "
            "followed by :im6 :q8 :q32 :q64 :hdri :masks64 :interface=N",
            text, word));
  };
  Dialect dialect;
  std::string_view rest = text;
  const auto next = [&rest] {
    const std::string_view word = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(rest.size(), word.size() + 1));
    return word;
  };
  const std::string_view first = next();
  const auto handshake = handshake_of(first);
  if (!handshake) return unknown(first);
  dialect.handshake = *handshake;
  if (dialect.proves_the_client() && first != text) return unknown(text.substr(first.size()));
  bool interface_given = false;
  while (!rest.empty()) {
    const std::string_view word = next();
    if (!take_word(word, dialect.build, interface_given)) return unknown(word);
  }
  if (dialect.handshake == Handshake::n8) dialect.build.family = Family::im6;
  if (!interface_given) dialect.build.interface = last_interface(dialect.handshake, dialect.family());
  return dialect;
}

std::string text_of(const Dialect& dialect) {
  std::string text(name_of(dialect.handshake));
  if (dialect.proves_the_client()) return text;
  const Build& build = dialect.build;
  if (build.family == Family::im6) text += ":im6";
  if (build.depth != 16) text += fmt::format(":q{}", build.depth);
  if (build.hdri) text += ":hdri";
  if (build.wide_masks) text += ":masks64";
  if (build.interface != last_interface(dialect.handshake, build.family))
    text += fmt::format(":interface={}", build.interface);
  return text;
}

Result<Greeter> Greeter::with(const Dialect& dialect, const Secret& secret, Bytes nonce) {
  if (secret.empty())
    return fail(Errc::unauthorized, "ImageMagick's clients need a shared secret, and none is set");
  Greeter greeter(dialect, secret);
  if (dialect.handshake == Handshake::s) {
    greeter.key_ = signature(dialect.build, std::as_bytes(std::span(secret.reveal())));
    std::ranges::copy(greeter.key_, greeter.greeting_.begin());
    return greeter;
  }
  const Bytes greeting = nonce.first(dialect.greeting_bytes());
  std::ranges::copy(greeting, greeter.greeting_.begin());
  if (dialect.handshake == Handshake::l) {
    greeter.key_ = signature(dialect.build, greeting);
  } else {
    SMALTI_TRY(greeter.key_, answer_to(secret, greeting));
  }
  return greeter;
}

Result<Greeter> Greeter::make(const Dialect& dialect, const Secret& secret, const Random& random) {
  // About one draw in a hundred is unfit; a source that stays unfit is not random.
  for (int draw = 0; draw < 64; ++draw) {
    std::array<std::byte, 16> nonce;
    random(nonce);
    SMALTI_TRY(Greeter greeter, with(dialect, secret, nonce));
    const bool fit = nonce[0] != tls_record && nonce[8] != tls_record && greeter.key_[0] != tls_record;
    if (fit || dialect.handshake == Handshake::s) return greeter;
  }
  return fail(Errc::internal, "the system's random numbers are not random");
}

Arrival Greeter::judge(Bytes first) const {
  if (first.empty()) return {};
  if (first[0] == tls_record) return {.kind = Arrival::Kind::native};
  return dialect_.proves_the_client() ? judge_answer(first) : judge_command(first);
}

Arrival Greeter::judge_answer(Bytes first) const {
  if (first.size() < key_.size()) return {};
  Key answer;
  std::ranges::copy(first.first(answer.size()), answer.begin());
  if (same(answer, key_)) return {.kind = Arrival::Kind::admitted, .used = answer.size()};
  return {.kind = Arrival::Kind::refused, .why = guess(first)};
}

Arrival Greeter::judge_command(Bytes first) const {
  if (first.size() < prefix_bytes) return {};
  Key key;
  std::ranges::copy(first.subspan(1, key.size()), key.begin());
  if (first[0] == open_letter && same(key, key_)) return {.kind = Arrival::Kind::admitted};
  return {.kind = Arrival::Kind::refused, .status = first[0] == open_letter, .why = guess(first)};
}

// Who answers like this? For the log of whoever runs the server.
std::string Greeter::guess(Bytes first) const {
  Key start;
  std::ranges::copy(first.first(start.size()), start.begin());
  if (dialect_.handshake != Handshake::n8) {
    const auto as_n8 = answer_to(secret_, greeting().first(8));
    if (as_n8 && same(*as_n8, start))
      return "it answers as newer clients of ImageMagick 6 do; they need a port with handshake n8";
  }
  if (first[0] == open_letter) {
    const auto build = build_behind(first.subspan(1, std::min<std::size_t>(8, first.size() - 1)), greeting());
    if (build && dialect_.handshake == Handshake::l)
      return fmt::format(
          "incompatible: the client is built with quantum depth {}, HDRI {}, interface {}; this port "
          "serves quantum depth {}, HDRI {}, interface {}",
          build->depth, build->hdri ? "on" : "off", build->interface, dialect_.build.depth,
          dialect_.build.hdri ? "on" : "off", dialect_.build.interface);
    if (build)
      return fmt::format(
          "it is an old client (quantum depth {}, HDRI {}, interface {}) that needs a port with "
          "handshake l",
          build->depth, build->hdri ? "on" : "off", build->interface);
    return "it opens an image with a key that is not this connection's";
  }
  if (dialect_.proves_the_client())
    return "authentication failed: wrong passphrase, or not a client of ImageMagick's";
  return "it does not speak as a client of ImageMagick's does";
}

Result<Reply> answer_greeting(const Dialect& dialect, const Secret& secret, Bytes greeting) {
  Reply reply;
  if (dialect.proves_the_client()) {
    SMALTI_TRY(reply.key, answer_to(secret, greeting));
    reply.bytes.assign(reply.key.begin(), reply.key.end());
    return reply;
  }
  if (dialect.handshake == Handshake::l) {
    reply.key = signature(dialect.build, greeting);
    return reply;
  }
  reply.key = signature(dialect.build, std::as_bytes(std::span(secret.reveal())));
  if (!std::ranges::equal(reply.key, greeting))
    return fail(Errc::unauthorized, "authentication failed: another passphrase or another build");
  return reply;
}

std::optional<Build> build_behind(Bytes key_start, Bytes nonce) {
  Build build;
  for (build.interface = 0; build.interface <= 16; ++build.interface)
    for (const std::uint32_t depth : {16, 8, 32, 64})
      for (const bool hdri : {false, true})
        for (const bool wide : {false, true}) {
          build.depth = depth;
          build.hdri = hdri;
          build.wide_masks = wide;
          const Key key = signature(build, nonce);
          if (std::memcmp(key.data(), key_start.data(), std::min(key.size(), key_start.size())) == 0)
            return build;
        }
  return std::nullopt;
}

}  // namespace smalti::wire::magick
