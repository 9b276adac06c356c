#include "net/tls_records.h"

#include <gtest/gtest.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <string>
#include <thread>

#include "test/net/pairs.h"

namespace smalti::net {
namespace {

std::vector<std::byte> from_hex(std::string_view hex) {
  std::vector<std::byte> out;
  for (std::size_t n = 0; n + 1 < hex.size(); n += 2)
    out.push_back(static_cast<std::byte>(std::stoi(std::string(hex.substr(n, 2)), nullptr, 16)));
  return out;
}

TrafficSecret secret_from(std::string_view hex) {
  TrafficSecret secret{};
  const auto bytes = from_hex(hex);
  std::memcpy(secret.data(), bytes.data(), secret.size());
  return secret;
}

// The client's first record of data in RFC 8448, section 3.
constexpr std::string_view known_secret = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
constexpr std::string_view known_record =
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd"
    "1e3deae63aeebb21694915e4";

struct Keys {
  RecordKeys sealing, opening;
  explicit Keys(RecordKeys::Maker seals = fastest_cipher, RecordKeys::Maker opens = fastest_cipher)
      : sealing(RecordKeys::For::sealing, seals), opening(RecordKeys::For::opening, opens) { EXPECT_TRUE(sealing.set(secret_from(known_secret)) && opening.set(secret_from(known_secret))); }

  std::vector<std::byte> sealed(Bytes plain, RecordKind kind = RecordKind::data) {
    std::vector<std::byte> out(plain.size() + record_frame);
    const std::array<Bytes, 1> parts{plain};
    EXPECT_TRUE(sealing.seal(kind, parts, out.data()));
    return out;
  }
};

// Who seals, and who opens.
struct Pairing {
  const char* name;
  RecordKeys::Maker seals, opens;
};

class TlsRecords : public ::testing::TestWithParam<Pairing> {
 protected:
  void SetUp() override {
    const bool wide = vector_cipher({}, RecordCipher::For::sealing) != nullptr;
    const auto needs_it = [](RecordKeys::Maker maker) { return maker == vector_cipher; };
    if (!wide && (needs_it(GetParam().seals) || needs_it(GetParam().opens)))
      GTEST_SKIP() << "this processor has no wide vectors for AES";
  }
  Keys keys_of_two() const { return Keys(GetParam().seals, GetParam().opens); }
};

INSTANTIATE_TEST_SUITE_P(By, TlsRecords,
                         ::testing::Values(Pairing{"OpenSsl", openssl_cipher, openssl_cipher},
                                           Pairing{"Vectors", vector_cipher, vector_cipher},
                                           Pairing{"OpenSslThenVectors", openssl_cipher, vector_cipher},
                                           Pairing{"VectorsThenOpenSsl", vector_cipher, openssl_cipher}),
                         [](const auto& made) { return std::string(made.param.name); });

TEST_P(TlsRecords, FollowTheStandardsExample) {
  Keys keys = keys_of_two();
  std::vector<std::byte> plain(50);
  for (std::size_t n = 0; n < plain.size(); ++n) plain[n] = static_cast<std::byte>(n);
  EXPECT_EQ(keys.sealed(plain), from_hex(known_record));
  std::vector<std::byte> into(50);
  const auto opened = keys.opening.open(from_hex(known_record), into.data());
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->kind, RecordKind::data);
  EXPECT_EQ(opened->bytes, 50u);
  EXPECT_EQ(into, plain);
}

TEST_P(TlsRecords, OpenInTheirOrderOnlyAndUnderTheirKeyOnly) {
  Keys keys = keys_of_two();
  const auto text = pattern(1000);
  std::vector<std::byte> into(1000);
  const auto first = keys.sealed(text), second = keys.sealed(text);
  EXPECT_NE(first, second);
  ASSERT_TRUE(keys.opening.open(first, into.data()));
  EXPECT_FALSE(keys.opening.open(first, into.data()));  // again
  Keys other = keys_of_two();
  other.sealed(text);
  ASSERT_TRUE(other.sealing.renew());
  const auto renewed = other.sealed(text);
  ASSERT_TRUE(other.opening.open(first, into.data()));
  ASSERT_TRUE(other.opening.renew());
  ASSERT_TRUE(other.opening.open(renewed, into.data()));
  EXPECT_EQ(into, text);
}

// Of any length and in any pieces, wherever these lie in memory.
TEST_P(TlsRecords, OpenWhatWasSealedInPieces) {
  Keys keys = keys_of_two();
  const auto text = pattern(record_plain + 7);
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17},
                                 std::size_t{255}, std::size_t{4097}, record_plain}) {
    const Bytes whole = Bytes(text).subspan(size % 7, size);
    const std::array<Bytes, 3> parts{whole.first(size / 3), whole.subspan(size / 3, size / 5),
                                     whole.subspan(size / 3 + size / 5)};
    std::vector<std::byte> record(size + record_frame), into(size);
    ASSERT_TRUE(keys.sealing.seal(RecordKind::data, parts, record.data()));
    const auto opened = keys.opening.open(record, into.data());
    ASSERT_TRUE(opened) << size;
    EXPECT_EQ(opened->bytes, size);
    EXPECT_TRUE(std::equal(into.begin(), into.end(), whole.begin())) << size;
  }
}

TEST_P(TlsRecords, AnyChangedByteIsNoticed) {
  const auto text = pattern(40);
  std::vector<std::byte> into(40);
  for (std::size_t n = 0; n < text.size() + record_frame; ++n) {
    Keys keys = keys_of_two();
    auto record = keys.sealed(text);
    record[n] ^= std::byte{4};
    EXPECT_FALSE(keys.opening.open(record, into.data())) << n;
  }
}

TEST(TlsRecord, WhatIsNoRecordIsRefused) {
  EXPECT_EQ(record_size(from_hex("17030300")).value(), 0u);
  EXPECT_EQ(record_size(from_hex("1703030011")).value(), 22u);
  EXPECT_EQ(record_size(from_hex("1703034100")).value(), most_record);
  for (const auto* nonsense : {"1703030010", "1703034101", "1603030011", "1503030020", "1702030020", "474554202f"})
    EXPECT_FALSE(record_size(from_hex(nonsense))) << nonsense;
}

// ---- with OpenSSL's own record layer on the other side ----

const Psk& shared() {
  static const Psk key{Secret("correct horse")};
  return key;
}

int use_key(SSL* ssl, const EVP_MD*, const unsigned char** id, std::size_t* size, SSL_SESSION** offered) {
  constexpr unsigned char cipher[] = {0x13, 0x01};
  const auto key = shared().key();
  *offered = SSL_SESSION_new();
  SSL_SESSION_set1_master_key(*offered, reinterpret_cast<const unsigned char*>(key->data()), key->size());
  SSL_SESSION_set_cipher(*offered, SSL_CIPHER_find(ssl, cipher));
  SSL_SESSION_set_protocol_version(*offered, TLS1_3_VERSION);
  *id = reinterpret_cast<const unsigned char*>("smalti");
  *size = 6;
  return 1;
}

// A client that is OpenSSL from end to end, and blocks. What it was sent is in `got`.
struct Stranger {
  Stranger(int socket, Bytes send, std::size_t expect) {
    std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), SSL_CTX_free);
    SSL_CTX_set_min_proto_version(context.get(), TLS1_3_VERSION);
    SSL_CTX_set_psk_use_session_callback(context.get(), use_key);
    SSL_CTX_set_block_padding(context.get(), 700);
    std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), SSL_free);
    SSL_set_fd(ssl.get(), socket);
    if (SSL_connect(ssl.get()) != 1) return;
    const std::size_t half = send.size() / 2;
    if (SSL_write(ssl.get(), send.data(), static_cast<int>(half)) != static_cast<int>(half)) return;
    if (SSL_key_update(ssl.get(), SSL_KEY_UPDATE_REQUESTED) != 1) return;
    const int left = static_cast<int>(send.size() - half);
    if (SSL_write(ssl.get(), send.data() + half, left) != left) return;
    got.resize(expect + 1);
    std::size_t at = 0, more = 0;
    while (SSL_read_ex(ssl.get(), got.data() + at, got.size() - at, &more) == 1) at += more;
    got.resize(at);
    saw_the_end = (SSL_get_shutdown(ssl.get()) & SSL_RECEIVED_SHUTDOWN) != 0;
    SSL_shutdown(ssl.get());
  }
  std::vector<std::byte> got;
  bool saw_the_end = false;
};

Task<void> say_and_end(SecureStream* stream, Bytes what) {
  auto wrote = co_await write_all(stream, what);
  if (!wrote) co_return pass(std::move(wrote.error()));
  stream->close();
  co_return Result<void>();
}

TEST(TlsRecord, AreOpenSslsToo) {
  Loop loop;
  auto tcp = tcp_pair(loop);
  const int socket = tcp.client->release();
  ASSERT_EQ(::fcntl(socket, F_SETFL, 0), 0);  // it blocks
  const auto up = pattern(3'000'001, 8), down = pattern(2'000'003, 9);
  std::unique_ptr<Stranger> stranger;
  std::thread client([&] { stranger = std::make_unique<Stranger>(socket, up, down.size()); });
  auto server = loop.run(secure_server(std::move(tcp.server), shared(), soon(), 1u << 20));
  auto heard = server ? loop.run(read_exactly(server->get(), up.size())) : Result<std::vector<std::byte>>();
  Result<void> said = server ? loop.run(say_and_end(server->get(), down)) : Result<void>();
  if (!server || !said) ::shutdown(socket, SHUT_RDWR);
  client.join();
  ::close(socket);
  ASSERT_TRUE(server) << server.error().what;
  ASSERT_TRUE(heard) << heard.error().what;
  ASSERT_TRUE(said) << said.error().what;
  EXPECT_TRUE(*heard == up);
  EXPECT_TRUE(stranger->got == down);
  EXPECT_TRUE(stranger->saw_the_end);
}

}  // namespace
}  // namespace smalti::net
