// Keys, handshakes and bounds of ImageMagick's dialects.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "wire/magick_dialect.h"
#include "wire/magick_talk.h"

namespace smalti::wire::magick {
namespace {

std::vector<std::byte> hex(std::string_view text) {
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < text.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoul(std::string(text.substr(i, 2)), nullptr, 16)));
  return bytes;
}

std::string text_of_bytes(Bytes bytes) {
  std::string text;
  for (const std::byte byte : bytes) {
    char two[3];
    std::snprintf(two, sizeof two, "%02x", std::to_integer<unsigned>(byte));
    text += two;
  }
  return text;
}

std::string answer_hex(std::string_view secret, std::string_view nonce) {
  const auto answer = answer_to(Secret(secret), hex(nonce));
  return answer ? text_of_bytes(*answer) : answer.error().what;
}

std::string signature_hex(const Build& build, std::string_view secret) {
  return text_of_bytes(signature(build, std::as_bytes(std::span(secret))));
}

Random always(std::string_view nonce) {
  return [bytes = hex(nonce)](std::span<std::byte> into) { std::copy_n(bytes.begin(), into.size(), into.begin()); };
}

Dialect dialect_of(std::string_view text) { return parse_dialect(text).value(); }

Greeter greeter_for(std::string_view dialect, std::string_view nonce = "d19b5e2807d353f7d19b5e2807d353f7") {
  return Greeter::make(dialect_of(dialect), Secret("passphrase"), always(nonce)).value();
}

TEST(MagickKey, answers_a_nonce_as_measured) {
  EXPECT_EQ(answer_hex("passphrase", "000102030405060708090a0b0c0d0e0f"), "728c1666c1742d3b");
  EXPECT_EQ(answer_hex("passphrase", "0001020304050607"), "d0b7314eed900c81");
  EXPECT_EQ(answer_hex("a", "000102030405060708090a0b0c0d0e0f"), "95744fce1deec36f");
  EXPECT_EQ(answer_hex("passphrase", "bd015e89208b8533adabd9c016ae19e3"), "225bd886cb99c240");
  EXPECT_EQ(answer_hex("passphrase", "76bf6220749a87dddc8fd4b09c05e06b"), "6e81bacf88a7ace9");
  EXPECT_EQ(answer_hex("passphrase", "ea6b9d9ca745d86b"), "a7bf956e0f594a3f");
  EXPECT_EQ(answer_hex("passphrase", "cc484d57c30b09e0"), "4ed9ae0fae8177fb");
}

TEST(MagickKey, signs_a_build_as_measured) {
  Build seven;
  EXPECT_EQ(signature_hex(seven, "passphrase"), "a6cab3db00000000");
  EXPECT_EQ(signature_hex(seven, "other"), "3f67be3800000000");
  seven.hdri = true;
  EXPECT_EQ(signature_hex(seven, "passphrase"), "66ae9bcc00000000");
  seven.wide_masks = true;
  EXPECT_EQ(signature_hex(seven, "passphrase"), "62e86a8d00000000");
  EXPECT_EQ(signature_hex({.depth = 8}, "passphrase"), "62bcc82400000000");
  EXPECT_EQ(signature_hex({.depth = 32, .hdri = true}, "passphrase"), "af451ce900000000");
  EXPECT_EQ(signature_hex({.family = Family::im6, .interface = 7}, "passphrase"), "4d05182800000000");
  EXPECT_EQ(text_of_bytes(signature({.family = Family::im6, .interface = 6}, hex("d19b5e2807d353f7"))),
            "6813845400000000");
  EXPECT_EQ(text_of_bytes(signature({}, hex("2caf86d601059919"))), "e1d6451800000000");
  EXPECT_NE(signature_hex({.little_endian = false}, "passphrase"), signature_hex({}, "passphrase"));
}

TEST(MagickDialect, is_spelt_as_it_is_read) {
  for (const char* text : {"n16", "n8", "s", "s:hdri", "s:q8:hdri", "s:im6", "l", "l:im6", "l:im6:interface=5",
                           "s:masks64", "s:q32:interface=11"}) {
    const auto dialect = parse_dialect(text);
    ASSERT_TRUE(dialect) << text;
    EXPECT_EQ(text_of(*dialect), text);
  }
  EXPECT_EQ(dialect_of("n8").family(), Family::im6);
  EXPECT_EQ(dialect_of("s:im6").build.interface, 7u);
  EXPECT_EQ(dialect_of("l:im6").build.interface, 6u);
}

TEST(MagickDialect, refuses_what_it_does_not_know) {
  for (const char* text : {"", "n", "n17", "n16:hdri", "s:q12", "s:interface=", "s:interface=ten", "s::hdri", "tls"})
    EXPECT_FALSE(parse_dialect(text)) << text;
  EXPECT_NE(parse_dialect("s:q12").error().what.find("q12"), std::string::npos);
}

TEST(MagickGreeter, admits_the_right_answer_only) {
  const Greeter greeter = greeter_for("n16", "000102030405060708090a0b0c0d0e0f");
  EXPECT_EQ(text_of_bytes(greeter.greeting()), "000102030405060708090a0b0c0d0e0f");
  auto answer = hex("728c1666c1742d3b");
  EXPECT_EQ(greeter.judge({}).kind, Arrival::Kind::more);
  EXPECT_EQ(greeter.judge(Bytes(answer).first(7)).kind, Arrival::Kind::more);
  const Arrival right = greeter.judge(answer);
  EXPECT_EQ(right.kind, Arrival::Kind::admitted);
  EXPECT_EQ(right.used, 8u);
  for (std::size_t bit = 0; bit < 64; ++bit) {
    auto wrong = answer;
    wrong[bit / 8] ^= static_cast<std::byte>(1 << (bit % 8));
    EXPECT_NE(greeter.judge(wrong).kind, Arrival::Kind::admitted) << bit;
  }
}

TEST(MagickGreeter, knows_a_native_client_by_its_first_byte) {
  for (const char* dialect : {"n16", "n8", "s", "l"})
    EXPECT_EQ(greeter_for(dialect).judge(hex("16")).kind, Arrival::Kind::native) << dialect;
}

TEST(MagickGreeter, draws_no_nonce_that_could_be_taken_for_tls) {
  unsigned draws = 0;
  const Random counting = [&](std::span<std::byte> into) {
    for (std::size_t i = 0; i < into.size(); ++i) into[i] = static_cast<std::byte>(i * 31 + draws);
    if (draws % 3 == 0) into[0] = std::byte{0x16};
    if (draws % 3 == 1 && into.size() > 8) into[8] = std::byte{0x16};
    ++draws;
  };
  for (int i = 0; i < 2000; ++i) {
    const auto greeter = Greeter::make(dialect_of("n16"), Secret("passphrase"), counting);
    ASSERT_TRUE(greeter);
    EXPECT_NE(greeter->greeting()[0], std::byte{0x16});
    EXPECT_NE(greeter->greeting()[8], std::byte{0x16});
    EXPECT_NE(greeter->key()[0], std::byte{0x16});
  }
  const Random stuck = [](std::span<std::byte> into) { std::ranges::fill(into, std::byte{0x16}); };
  EXPECT_FALSE(Greeter::make(dialect_of("n8"), Secret("passphrase"), stuck));
  EXPECT_FALSE(Greeter::make(dialect_of("n8"), Secret(), counting));
}

// What a client says to a greeting meant for another, and what our log then says.
std::string complaint(std::string_view port, std::string_view client, std::string_view secret = "passphrase") {
  const Greeter greeter = greeter_for(port);
  const Dialect speaks = dialect_of(client);
  // A client that waits for 8 bytes takes the first 8; the oldest takes whatever one receive brings.
  Bytes heard = greeter.greeting();
  if (speaks.handshake != Handshake::l) heard = heard.first(std::min(heard.size(), speaks.greeting_bytes()));
  const auto reply = answer_greeting(speaks, Secret(secret), heard);
  if (!reply) return "client gives up";
  std::vector<std::byte> first = reply->bytes;
  const auto open = encode(Open{.family = speaks.family()}, reply->key);
  first.insert(first.end(), open.begin(), open.end());
  const Arrival arrival = greeter.judge(first);
  return arrival.kind == Arrival::Kind::admitted ? "admitted" : arrival.why;
}

TEST(MagickGreeter, admits_its_own_kind) {
  for (const char* dialect : {"n16", "n8", "s", "s:hdri", "s:im6", "l", "l:im6", "l:q8"})
    EXPECT_EQ(complaint(dialect, dialect), "admitted") << dialect;
}

TEST(MagickGreeter, says_who_came_to_the_wrong_port) {
  using testing::HasSubstr;
  EXPECT_THAT(complaint("n16", "n8"), HasSubstr("handshake n8"));
  EXPECT_THAT(complaint("n16", "l:hdri"), HasSubstr("quantum depth 16, HDRI on, interface 10"));
  EXPECT_THAT(complaint("n8", "l:im6"), HasSubstr("handshake l"));
  EXPECT_THAT(complaint("l", "n8"), HasSubstr("handshake n8"));
  EXPECT_THAT(complaint("l", "l:q8"), HasSubstr("quantum depth 8, HDRI off, interface 10; this port serves quantum depth 16"));
  EXPECT_THAT(complaint("n16", "n16", "other"), HasSubstr("wrong passphrase"));
  EXPECT_THAT(complaint("n8", "n8", "other"), HasSubstr("wrong passphrase"));
  EXPECT_EQ(complaint("s", "s:hdri"), "client gives up");
  EXPECT_EQ(complaint("s", "s", "other"), "client gives up");
  EXPECT_EQ(complaint("l", "l", "other"), "admitted");  // such a client's passphrase takes no part
}

// --- requests ---

constexpr Key key{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}, std::byte{6}};

Open open_im7(std::uint64_t columns, std::uint64_t rows, std::uint64_t channels = 3, std::uint64_t meta = 0) {
  return {.family = Family::im7, .storage_class = 1, .colorspace = 23, .columns = columns, .rows = rows,
          .channels = channels, .meta_bytes = meta};
}

std::string status_hex(const Step& step) { return text_of_bytes(step.reply); }

// A conversation with an open image of 40x30 pixels of three samples.
Talk talk_with_image(const Open& open = open_im7(40, 30)) {
  Talk talk(open.family, key);
  EXPECT_EQ(talk.next(encode(open, key)).kind, Step::Kind::open);
  EXPECT_EQ(text_of_bytes(talk.opened(true)), "01000000");
  return talk;
}

TEST(MagickFrame, survives_its_own_encoding) {
  Open wide = open_im7(70000, 3);
  wide.wide_masks = true;
  wide.masks = 0x80;
  wide.map[3] = {7, 0, -5};
  for (const Request& request : std::vector<Request>{open_im7(40, 30), wide, Region{Command::write_meta, 1, 2, -3, 4, 5}, Destroy{}}) {
    const auto bytes = encode(request, key);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
      const auto part = parse_frame(Family::im7, Bytes(bytes).first(cut));
      ASSERT_TRUE(part);
      EXPECT_FALSE(*part);
    }
    const auto whole = parse_frame(Family::im7, bytes);
    ASSERT_TRUE(whole && *whole);
    EXPECT_EQ((*whole)->request, request);
    EXPECT_EQ((*whole)->bytes, bytes.size());
    EXPECT_EQ((*whole)->key, key);
  }
  EXPECT_EQ(encode(open_im7(1, 1), key).size(), open_bytes_im7);
  EXPECT_EQ(encode(wide, key).size(), open_bytes_im7_wide);
}

TEST(MagickTalk, refuses_unknown_letters) {
  for (int letter = 0; letter < 256; ++letter) {
    if (std::strchr("orwRWd", letter) != nullptr && letter != 0) continue;
    Talk talk = talk_with_image();
    std::vector<std::byte> bytes(64, static_cast<std::byte>(letter));
    const Step step = talk.next(bytes);
    EXPECT_EQ(step.kind, Step::Kind::refuse) << letter;
    EXPECT_EQ(status_hex(step), "00000000");
  }
}

TEST(MagickTalk, answers_a_wrong_key_with_the_last_status) {
  Key wrong = key;
  wrong[3] ^= std::byte{1};
  Talk fresh(Family::im7, key);
  EXPECT_EQ(status_hex(fresh.next(encode(open_im7(4, 4), wrong))), "00000000");
  Talk talk = talk_with_image();
  const Step step = talk.next(encode(Region{Command::read, 1, 1, 0, 0, 6}, wrong));
  EXPECT_EQ(step.kind, Step::Kind::refuse);
  EXPECT_EQ(status_hex(step), "01000000");
}

TEST(MagickTalk, refuses_requests_before_an_image) {
  for (const Command command : {Command::read, Command::write, Command::read_meta, Command::write_meta}) {
    Talk talk(Family::im7, key);
    const Step step = talk.next(encode(Region{command, 1, 1, 0, 0, 6}, key));
    EXPECT_EQ(step.kind, Step::Kind::refuse);
    EXPECT_EQ(status_hex(step), "00000000");
  }
  Talk talk(Family::im7, key);
  const Step step = talk.next(encode(Destroy{}, key));
  EXPECT_EQ(step.kind, Step::Kind::destroy);
  EXPECT_EQ(status_hex(step), "00000000");
}

TEST(MagickTalk, destroys_with_a_status) {
  Talk talk = talk_with_image();
  const Step step = talk.next(encode(Destroy{}, key));
  EXPECT_EQ(step.kind, Step::Kind::destroy);
  EXPECT_EQ(status_hex(step), "01000000");
}

TEST(MagickTalk, refuses_impossible_images) {
  constexpr std::uint64_t huge[] = {0, 1ull << 31, 1ull << 40, 1ull << 63, ~0ull};
  std::vector<Open> impossible;
  for (const std::uint64_t side : huge) {
    impossible.push_back(open_im7(side, 10));
    impossible.push_back(open_im7(10, side));
  }
  for (const std::uint64_t channels : {0ull, 65ull, 1ull << 63}) impossible.push_back(open_im7(10, 10, channels));
  for (const std::uint64_t meta : {1ull << 40, 1ull << 63}) impossible.push_back(open_im7(10, 10, 3, meta));
  for (const Open& open : impossible) {
    Talk talk = talk_with_image();  // the earlier image is gone afterwards
    const Step step = talk.next(encode(open, key));
    EXPECT_EQ(step.kind, Step::Kind::refuse) << open.columns << "x" << open.rows << " " << open.channels;
    EXPECT_EQ(status_hex(step), "0000000000000000");
    EXPECT_FALSE(talk.has_image());
  }
  Talk full(Family::im7, key);
  EXPECT_EQ(full.next(encode(open_im7(10, 10), key)).kind, Step::Kind::open);
  EXPECT_EQ(text_of_bytes(full.opened(false)), "0000000000000000");
  EXPECT_FALSE(full.has_image());
}

TEST(MagickTalk, keeps_maps_it_does_not_believe) {
  Open open = open_im7(10, 10);
  open.map[0].offset = -5;
  open.map[1].offset = 1ll << 40;
  Talk talk = talk_with_image(open);
  EXPECT_EQ(talk.shape().open().map[1].offset, 1ll << 40);
  EXPECT_EQ(talk.next(encode(Region{Command::read, 1, 1, 0, 0, 6}, key)).kind, Step::Kind::transfer);
}

TEST(MagickTalk, reads_the_sample_size_off_the_first_request) {
  for (const std::uint32_t size : {1u, 2u, 4u, 8u}) {
    Talk talk = talk_with_image();
    EXPECT_EQ(talk.shape().sample_bytes(), 0u);
    const Step step = talk.next(encode(Region{Command::write, 40, 2, 0, 5, 40ull * 2 * 3 * size}, key));
    ASSERT_EQ(step.kind, Step::Kind::transfer) << step.why;
    EXPECT_EQ(talk.shape().sample_bytes(), size);
    EXPECT_EQ(talk.shape().format(Plane::pixels).pixel_bytes(), 3 * size);
    EXPECT_EQ(step.access.whole, step.access.length);
  }
}

TEST(MagickTalk, refuses_samples_that_change) {
  for (const std::uint32_t size : {1u, 4u, 8u}) {
    Talk talk = talk_with_image();
    EXPECT_EQ(talk.next(encode(Region{Command::write, 40, 1, 0, 0, 240}, key)).kind, Step::Kind::transfer);
    const Step step = talk.next(encode(Region{Command::write, 40, 1, 0, 1, 120ull * size}, key));
    EXPECT_EQ(step.kind, Step::Kind::refuse);
    EXPECT_THAT(step.why, testing::HasSubstr("samples"));
  }
  Talk talk = talk_with_image();
  EXPECT_EQ(talk.next(encode(Region{Command::write, 40, 1, 0, 0, 241}, key)).kind, Step::Kind::refuse);
}

TEST(MagickTalk, refuses_more_bytes_than_the_region_has) {
  for (const Command command : {Command::read, Command::write, Command::read_meta, Command::write_meta})
    for (const std::uint64_t length : {25ull, 4096ull, 1ull << 31, 1ull << 63, ~0ull}) {
      Talk talk = talk_with_image(open_im7(40, 30, 3, 5));
      EXPECT_EQ(talk.next(encode(Region{Command::read, 40, 1, 0, 0, 240}, key)).kind, Step::Kind::transfer);
      const Step step = talk.next(encode(Region{command, 4, 1, 0, 0, length}, key));
      EXPECT_EQ(step.kind, Step::Kind::refuse);
      EXPECT_EQ(status_hex(step), "00000000");
    }
}

TEST(MagickTalk, bounds_every_size) {
  const std::uint64_t sizes[] = {0, 1, 1ull << 31, 1ull << 62, 1ull << 63, ~0ull};
  for (const std::uint64_t width : sizes)
    for (const std::uint64_t height : sizes)
      for (const std::uint64_t length : {6ull, 24ull, 1ull << 63}) {
        Talk talk = talk_with_image();
        const Step step = talk.next(encode(Region{Command::write, width, height, 0, 0, length}, key));
        const bool fine = width == 1 && height == 1 && length <= 24;
        EXPECT_EQ(step.kind == Step::Kind::transfer, fine) << width << "x" << height << " " << length;
      }
}

TEST(MagickTalk, reads_outside_and_writes_inside_only) {
  constexpr std::int64_t far = std::numeric_limits<std::int64_t>::min();
  for (const std::int64_t x : {std::int64_t{-1}, far, std::int64_t{1} << 62, std::int64_t{40}, std::int64_t{39}})
    for (const bool down : {false, true}) {
      Talk talk = talk_with_image(down ? open_im7(30, 40) : open_im7(40, 30));
      const std::uint64_t w = down ? 1 : 2, h = down ? 2 : 1;
      const Step read = talk.next(encode(Region{Command::read, w, h, down ? 0 : x, down ? x : 0, 12}, key));
      ASSERT_EQ(read.kind, Step::Kind::transfer) << read.why;
      EXPECT_LE(down ? read.access.rect.bottom() : read.access.rect.right(), 42);
      EXPECT_GE(down ? read.access.rect.y : read.access.rect.x, -2);
      const Step write = talk.next(encode(Region{Command::write, w, h, down ? 0 : x, down ? x : 0, 12}, key));
      EXPECT_EQ(write.kind, Step::Kind::refuse);
    }
}

TEST(MagickTalk, moves_part_of_a_region) {
  Talk talk = talk_with_image();
  EXPECT_EQ(talk.next(encode(Region{Command::read, 40, 1, 0, 0, 240}, key)).kind, Step::Kind::transfer);
  const Step part = talk.next(encode(Region{Command::read, 40, 2, 0, 0, 100}, key));
  ASSERT_EQ(part.kind, Step::Kind::transfer) << part.why;
  EXPECT_EQ(part.access.length, 100u);
  EXPECT_EQ(part.access.whole, 480u);
  const Step none = talk.next(encode(Region{Command::write, 40, 1, 0, 0, 0}, key));
  ASSERT_EQ(none.kind, Step::Kind::transfer);
  EXPECT_EQ(none.access.length, 0u);
}

TEST(MagickTalk, gives_metacontent_and_indexes_their_own_plane) {
  Talk seven = talk_with_image(open_im7(40, 30, 3, 5));
  const Step meta = seven.next(encode(Region{Command::write_meta, 40, 1, 0, 0, 200}, key));
  ASSERT_EQ(meta.kind, Step::Kind::transfer) << meta.why;
  EXPECT_EQ(meta.access.plane, Plane::meta);
  EXPECT_EQ(seven.shape().format(Plane::meta).pixel_bytes(), 5u);

  Open six{.family = Family::im6, .storage_class = class_pseudo, .colorspace = 13, .columns = 40, .rows = 30};
  Talk pseudo = talk_with_image(six);
  EXPECT_EQ(pseudo.next(encode(Region{Command::write, 40, 1, 0, 0, 320}, key)).kind, Step::Kind::transfer);
  EXPECT_EQ(pseudo.next(encode(Region{Command::read_meta, 40, 1, 0, 0, 80}, key)).kind, Step::Kind::transfer);
  EXPECT_EQ(pseudo.shape().format(Plane::meta).pixel_bytes(), 2u);

  six.storage_class = 1;
  Talk direct = talk_with_image(six);
  EXPECT_EQ(direct.next(encode(Region{Command::write, 40, 1, 0, 0, 320}, key)).kind, Step::Kind::transfer);
  EXPECT_EQ(direct.next(encode(Region{Command::read_meta, 40, 1, 0, 0, 80}, key)).kind, Step::Kind::refuse);
  six.colorspace = colorspace_cmyk_im6;
  Talk cmyk = talk_with_image(six);
  EXPECT_EQ(cmyk.next(encode(Region{Command::read_meta, 40, 1, 0, 0, 80}, key)).kind, Step::Kind::transfer);
  Talk without = talk_with_image();
  EXPECT_EQ(without.next(encode(Region{Command::read_meta, 4, 1, 0, 0, 0}, key)).kind, Step::Kind::refuse);
}

TEST(MagickTalk, never_lets_a_failure_pass_for_pixels) {
  EXPECT_TRUE(Talk::failed({.length = 4}).empty());
  EXPECT_EQ(Talk::failed({.length = 5}).size(), 4u);
  EXPECT_EQ(Talk::failed({.write = true, .length = 2}).size(), 4u);
}

}  // namespace
}  // namespace smalti::wire::magick
