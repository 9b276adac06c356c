#include "net/tls_session.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace smalti::net {

namespace {

constexpr std::string_view identity = "smalti";
constexpr unsigned char aes_128_gcm_sha256[] = {0x13, 0x01};
constexpr std::size_t greeting_part = 8;
constexpr std::size_t shortest_record = 7;  // an alert

using Session = SecureStream::Session;

Session& session_of(BIO* bio) { return *static_cast<Session*>(BIO_get_data(bio)); }

int bio_read(BIO* bio, char* into, int size) {
  Session& session = session_of(bio);
  BIO_clear_retry_flags(bio);
  if (session.closed) return 0;
  if (!session.hold_reads) {
    ssize_t got = 0;
    do got = ::recv(session.tcp->descriptor(), into, static_cast<std::size_t>(size), 0);
    while (got < 0 && errno == EINTR);
    if (got >= 0) return static_cast<int>(got);
    if (errno != EAGAIN && errno != EWOULDBLOCK) {
      session.sys = errno;
      return -1;
    }
  }
  BIO_set_retry_read(bio);
  return -1;
}

int bio_write(BIO* bio, const char* from, int size) {
  BIO_clear_retry_flags(bio);
  const auto bytes = static_cast<std::size_t>(size);
  Gathered& out = session_of(bio).out;
  std::memcpy(out.room(bytes), from, bytes);
  out.took(bytes);
  return size;
}

long bio_ctrl(BIO*, int command, long, void*) { return command == BIO_CTRL_FLUSH ? 1 : 0; }

const BIO_METHOD* descriptor_bio() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "smalti descriptor");
    BIO_meth_set_read(made, bio_read);
    BIO_meth_set_write(made, bio_write);
    BIO_meth_set_ctrl(made, bio_ctrl);
    return made;
  }();
  return method;
}

// The pre-shared key, dressed as a session of the one cipher that is spoken.
SSL_SESSION* key_session(SSL* ssl) {
  const auto* session = static_cast<Session*>(SSL_get_app_data(ssl));
  const auto key = session->psk.key();
  const SSL_CIPHER* cipher = SSL_CIPHER_find(ssl, aes_128_gcm_sha256);
  SSL_SESSION* made = SSL_SESSION_new();
  if (!key || !cipher || !made ||
      SSL_SESSION_set1_master_key(made, reinterpret_cast<const unsigned char*>(key->data()), key->size()) != 1 ||
      SSL_SESSION_set_cipher(made, cipher) != 1 || SSL_SESSION_set_protocol_version(made, TLS1_3_VERSION) != 1) {
    SSL_SESSION_free(made);
    return nullptr;
  }
  return made;
}

int offer_key(SSL* ssl, const EVP_MD* digest, const unsigned char** id, std::size_t* id_size, SSL_SESSION** offered) {
  *offered = key_session(ssl);
  if (!*offered) return 0;
  const EVP_MD* own = SSL_CIPHER_get_handshake_digest(SSL_SESSION_get0_cipher(*offered));
  if (digest && EVP_MD_get_type(own) != EVP_MD_get_type(digest)) {
    SSL_SESSION_free(*offered);
    *offered = nullptr;
  }
  *id = reinterpret_cast<const unsigned char*>(identity.data());
  *id_size = identity.size();
  return 1;
}

int find_key(SSL* ssl, const unsigned char* id, std::size_t id_size, SSL_SESSION** found) {
  *found = nullptr;  // then the handshake fails for want of a certificate
  if (id_size != identity.size() || std::memcmp(id, identity.data(), id_size) != 0) return 1;
  *found = key_session(ssl);
  return *found != nullptr;
}

int hex_digit(char c) noexcept { return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10; }

// OpenSSL hands over secrets as lines of a log of keys: "LABEL CLIENT-RANDOM SECRET", in hex.
void note_secret(const SSL* ssl, const char* line) {
  auto* session = static_cast<Session*>(SSL_get_app_data(ssl));
  const std::string_view text(line);
  const std::size_t last = text.rfind(' ');
  const bool client = text.starts_with("CLIENT_TRAFFIC_SECRET_0 ");
  if (!client && !text.starts_with("SERVER_TRAFFIC_SECRET_0 ")) return;
  TrafficSecret& into = client ? session->of_client : session->of_server;
  if (text.size() - last - 1 != 2 * into.size()) return;
  for (std::size_t n = 0; n < into.size(); ++n)
    into[n] = static_cast<unsigned char>(hex_digit(line[last + 1 + 2 * n]) << 4 | hex_digit(line[last + 2 + 2 * n]));
}

std::unique_ptr<SSL_CTX, Freed> make_context(Role role) {
  std::unique_ptr<SSL_CTX, Freed> context(SSL_CTX_new(role == Role::client ? TLS_client_method() : TLS_server_method()));
  SSL_CTX* raw = context.get();
  if (!raw || SSL_CTX_set_min_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_max_proto_version(raw, TLS1_3_VERSION) != 1 ||
      SSL_CTX_set_ciphersuites(raw, "TLS_AES_128_GCM_SHA256") != 1 || SSL_CTX_set_num_tickets(raw, 0) != 1)
    return nullptr;
  // Nobody has a certificate here: a client refuses the one it is shown, and a server has none to show.
  if (role == Role::client) SSL_CTX_set_verify(raw, SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_keylog_callback(raw, note_secret);
  if (role == Role::client)
    SSL_CTX_set_psk_use_session_callback(raw, offer_key);
  else
    SSL_CTX_set_psk_find_session_callback(raw, find_key);
  return context;
}

bool means_other_key(int reason) {
  constexpr int reasons[] = {SSL_R_BINDER_DOES_NOT_VERIFY,
                             SSL_R_BAD_PSK,
                             SSL_R_SSLV3_ALERT_ILLEGAL_PARAMETER,
                             SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
                             SSL_R_TLSV1_ALERT_DECRYPT_ERROR,
                             SSL_R_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY,
                             SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
                             SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM,
                             SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS,
                             SSL_R_CERTIFICATE_VERIFY_FAILED,
                             SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC,
                             SSL_R_DIGEST_CHECK_FAILED};
  return std::find(std::begin(reasons), std::end(reasons), reason) != std::end(reasons);
}

bool starts_record(std::span<const std::byte, shortest_record> bytes) {
  constexpr std::array alert{std::byte{0x15}, std::byte{0x03}, std::byte{0x03}, std::byte{0x00}, std::byte{0x02}};
  return bytes[0] == tls_record || std::equal(alert.begin(), alert.end(), bytes.begin());
}

// Exactly into.size() bytes, or with MSG_PEEK a look at them.
Task<void> receive(TcpStream* tcp, std::span<std::byte> into, int flags, Clock::time_point deadline) {
  const int enough = static_cast<int>(into.size());
  ::setsockopt(tcp->descriptor(), SOL_SOCKET, SO_RCVLOWAT, &enough, sizeof enough);  // else a look at a part spins
  bool looked = false;
  while (true) {
    const ssize_t there = ::recv(tcp->descriptor(), into.data(), into.size(), MSG_PEEK);
    if (there == enough) {
      if (!(flags & MSG_PEEK)) looked = ::recv(tcp->descriptor(), into.data(), into.size(), 0) == enough;
      break;
    }
    const bool again = there < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
    if (there < 0 && !again) co_return connection_error(tcp->peer(), errno);
    if (there == 0 || (there > 0 && looked))
      co_return fail(Errc::unavailable, fmt::format("{}: the server hung up before the handshake", tcp->peer()));
    looked = there > 0;  // once more with fewer than enough: the peer has ended
    auto waited = co_await tcp->readable(deadline);
    if (!waited) co_return pass(std::move(waited.error()));
  }
  const int any = 1;
  ::setsockopt(tcp->descriptor(), SOL_SOCKET, SO_RCVLOWAT, &any, sizeof any);
  co_return Result<void>();
}

// A server may greet other clients with 8 or 16 bytes before it knows that we speak TLS; their bytes 0 and 8 are never
// those of a handshake record.
Task<void> skip_greeting(TcpStream* tcp, Clock::time_point deadline) {
  for (std::size_t skipped = 0;; skipped += greeting_part) {
    std::array<std::byte, shortest_record> look{};
    const std::span<std::byte> into(look);
    auto looked = co_await receive(tcp, into, MSG_PEEK, deadline);
    if (!looked) co_return pass(std::move(looked.error()));
    if (starts_record(look)) co_return Result<void>();
    if (skipped == 2 * greeting_part)
      co_return fail(Errc::incompatible, fmt::format("{}: this is no Smalti server: it does not answer in TLS",
                                                     tcp->peer()));
    std::array<std::byte, greeting_part> part{};
    const std::span<std::byte> whole(part);
    auto took = co_await receive(tcp, whole, 0, deadline);
    if (!took) co_return pass(std::move(took.error()));
  }
}

}  // namespace

Result<std::unique_ptr<Session>> Session::make(std::unique_ptr<TcpStream> tcp, Psk psk, Role role,
                                               std::uint64_t rekey_bytes) {
  SMALTI_CHECK(psk.key());
  auto context = make_context(role);
  std::unique_ptr<SSL, Freed> ssl(context ? SSL_new(context.get()) : nullptr);
  BIO* bio = ssl ? BIO_new(descriptor_bio()) : nullptr;
  if (!bio) return fail(Errc::internal, "TLS could not be set up: " + tcp->peer());
  auto session = std::make_unique<Session>(std::move(tcp), std::move(psk), role, rekey_bytes);
  session->context = std::move(context);
  session->ssl = std::move(ssl);
  BIO_set_data(bio, session.get());
  BIO_set_init(bio, 1);
  SSL* raw = session->ssl.get();
  SSL_set_bio(raw, bio, bio);
  SSL_set_app_data(raw, session.get());
  if (role == Role::client)
    SSL_set_connect_state(raw);
  else
    SSL_set_accept_state(raw);
  session->hold_reads = role == Role::client;
  return session;
}

Session::Session(std::unique_ptr<TcpStream> over, Psk key, Role as, std::uint64_t rekey)
    : tcp(std::move(over)), psk(std::move(key)), role(as), rekey_bytes(rekey), peer(tcp->peer()) {}

Session::~Session() {
  OPENSSL_cleanse(of_client.data(), of_client.size());
  OPENSSL_cleanse(of_server.data(), of_server.size());
}

Task<void> Session::handshake(Clock::time_point deadline) {
  while (true) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl.get());
    const int state = SSL_get_error(ssl.get(), result);
    if (result != 1 && state != SSL_ERROR_WANT_READ) {
      auto error = handshake_failure(result);
      try_flush();  // the alert
      co_return error;
    }
    auto sent = co_await flush(deadline);
    if (!sent) co_return pass(std::move(sent.error()));
    if (result == 1) break;
    auto next = hold_reads ? skip_greeting(tcp.get(), deadline) : tcp->readable(deadline);
    auto waited = co_await std::move(next);
    if (!waited) co_return pass(std::move(waited.error()));
    hold_reads = false;
  }
  // Without the shared key this would be anybody.
  if (SSL_session_reused(ssl.get()) != 1)
    co_return fail(Errc::unauthorized, fmt::format("{}: authentication failed", peer));
  co_return agree_on_keys();
}

// From here on OpenSSL has no part in the conversation. It reads no further than the record it needs.
Result<void> Session::agree_on_keys() {
  constexpr TrafficSecret none{};
  const bool whole = SSL_has_pending(ssl.get()) == 0 && of_client != none && of_server != none;
  const bool server = role == Role::server;
  const bool set = whole && sealing.set(server ? of_server : of_client) && opening.set(server ? of_client : of_server);
  OPENSSL_cleanse(of_client.data(), of_client.size());
  OPENSSL_cleanse(of_server.data(), of_server.size());
  ssl.reset();
  context.reset();
  if (!set) return fail(Errc::internal, peer + ": TLS could not be set up");
  return {};
}

Task<void> Session::flush(Clock::time_point deadline) {
  while (!out.bytes().empty()) {
    std::swap(out, sending);
    const std::array<Bytes, 1> records{sending.bytes()};
    const std::span<const Bytes> parts(records);
    auto sent = co_await tcp->write(parts, deadline);
    sending.clear();
    if (!sent) co_return pass(std::move(sent.error()));
  }
  co_return Result<void>();
}

void Session::try_flush() noexcept {
  const Bytes words = out.bytes();
  if (closed || words.empty() || !sending.bytes().empty()) return;
  if (::send(tcp->descriptor(), words.data(), words.size(), MSG_NOSIGNAL) < 0) sys = errno;  // nobody is left to tell
  out.clear();
}

tl::unexpected<Error> Session::failure(int result) {
  const int kind = SSL_get_error(ssl.get(), result);
  const unsigned long code = ERR_peek_error();
  ERR_clear_error();
  if (closed) return fail(Errc::cancelled, peer + ": the connection was closed");
  if (kind == SSL_ERROR_SYSCALL && sys != 0) return connection_error(peer, sys);
  if (kind == SSL_ERROR_SYSCALL || ERR_GET_REASON(code) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
    return fail(Errc::unavailable, peer + ": the connection is lost");
  const char* reason = ERR_reason_error_string(code);
  return fail(Errc::corrupt, fmt::format("{}: the encrypted connection is broken: {}", peer,
                                         reason ? reason : "no reason given"));
}

tl::unexpected<Error> Session::handshake_failure(int result) {
  const unsigned long code = ERR_peek_error();
  if (means_other_key(ERR_GET_REASON(code))) {
    ERR_clear_error();
    return fail(Errc::unauthorized, peer + ": authentication failed");
  }
  auto error = failure(result).value();
  if (error.code == Errc::corrupt) error.code = Errc::incompatible;
  return pass(std::move(error), "TLS handshake");
}

}  // namespace smalti::net
