#include "net/tls_records.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <string_view>

namespace smalti::net {

namespace {

constexpr std::size_t shortest_sealed = 1 + record_tag;

const unsigned char* raw(Bytes bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

// HKDF-Expand-Label with an empty context.
bool expand(const TrafficSecret& secret, std::string_view label, std::span<unsigned char> into) {
  const auto octets = [](const char* name, const void* data, std::size_t size) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<void*>(data), size);  // only read from
  };
  char mode[] = "EXPAND_ONLY", digest[] = "SHA256";
  constexpr std::string_view prefix = "tls13 ";
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_MODE, mode, 0),
                                   OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
                                   octets(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
                                   octets(OSSL_KDF_PARAM_PREFIX, prefix.data(), prefix.size()),
                                   octets(OSSL_KDF_PARAM_LABEL, label.data(), label.size()),
                                   OSSL_PARAM_construct_end()};
  EVP_KDF* kdf = EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_TLS1_3_KDF, nullptr);
  EVP_KDF_CTX* context = EVP_KDF_CTX_new(kdf);
  const bool done = context && EVP_KDF_derive(context, into.data(), into.size(), parameters) == 1;
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  return done;
}

}  // namespace

Result<std::size_t> record_size(Bytes begun) {
  if (begun.size() < record_header) return std::size_t{0};
  const auto at = [&](std::size_t n) { return std::to_integer<std::size_t>(begun[n]); };
  const std::size_t sealed = at(3) << 8 | at(4);
  const bool ours = at(0) == static_cast<std::size_t>(RecordKind::data) && at(1) == 3 && at(2) == 3;
  if (!ours || sealed < shortest_sealed || record_header + sealed > most_record)
    return fail(Errc::corrupt, "the encrypted connection is broken: this is no record");
  return record_header + sealed;
}

void RecordKeys::Freed::operator()(evp_cipher_ctx_st* context) const noexcept { EVP_CIPHER_CTX_free(context); }

RecordKeys::~RecordKeys() {
  OPENSSL_cleanse(secret_.data(), secret_.size());
  OPENSSL_cleanse(iv_.data(), iv_.size());
}

bool RecordKeys::set(const TrafficSecret& secret) {
  secret_ = secret;
  number_ = 0;
  context_.reset(EVP_CIPHER_CTX_new());
  std::array<unsigned char, 16> key{};
  const bool done = context_ && expand(secret_, "key", key) && expand(secret_, "iv", iv_) &&
                    EVP_CipherInit_ex(context_.get(), EVP_aes_128_gcm(), nullptr, key.data(), nullptr,
                                      use_ == For::sealing ? 1 : 0) == 1;
  OPENSSL_cleanse(key.data(), key.size());
  return done;
}

bool RecordKeys::renew() {
  TrafficSecret next{};
  const bool done = expand(secret_, "traffic upd", next) && set(next);
  OPENSSL_cleanse(next.data(), next.size());
  return done;
}

// Each record has a nonce of its own, and its header is authenticated with it.
bool RecordKeys::begin(Bytes header) {
  auto nonce = iv_;
  for (std::size_t n = 0; n < sizeof number_; ++n)
    nonce[nonce.size() - 1 - n] ^= static_cast<unsigned char>(number_ >> (8 * n));
  ++number_;
  int done = 0;
  return context_ && EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, nonce.data(), -1) == 1 &&
         EVP_CipherUpdate(context_.get(), nullptr, &done, raw(header), static_cast<int>(header.size())) == 1;
}

bool RecordKeys::seal(RecordKind kind, std::span<const Bytes> parts, std::byte* into) {
  std::size_t plain = 0;
  for (const Bytes part : parts) plain += part.size();
  const std::size_t sealed = plain + 1 + record_tag;
  into[0] = static_cast<std::byte>(RecordKind::data);
  into[1] = into[2] = std::byte{3};
  into[3] = static_cast<std::byte>(sealed >> 8);
  into[4] = static_cast<std::byte>(sealed & 0xff);
  if (!begin({into, record_header})) return false;
  into += record_header;
  int done = 0;
  for (const Bytes part : parts) {
    if (part.empty()) continue;
    if (EVP_CipherUpdate(context_.get(), raw(into), &done, raw(part), static_cast<int>(part.size())) != 1) return false;
    into += part.size();
  }
  const auto type = static_cast<unsigned char>(kind);
  return EVP_CipherUpdate(context_.get(), raw(into), &done, &type, 1) == 1 &&
         EVP_CipherFinal_ex(context_.get(), raw(into + 1), &done) == 1 &&
         EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, record_tag, into + 1) == 1;
}

std::optional<RecordKeys::Opened> RecordKeys::open(Bytes record, std::byte* into) {
  if (!begin(record.first(record_header))) return std::nullopt;
  const Bytes tag = record.last(record_tag);
  const Bytes content = record.subspan(record_header, record.size() - record_frame);
  const Bytes last = record.subspan(record_header + content.size(), 1);
  unsigned char kind = 0, nothing[record_tag];
  int done = 0;
  EVP_CIPHER_CTX* context = context_.get();
  if (EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, record_tag, const_cast<std::byte*>(tag.data())) != 1 ||
      (!content.empty() &&
       EVP_CipherUpdate(context, raw(into), &done, raw(content), static_cast<int>(content.size())) != 1) ||
      EVP_CipherUpdate(context, &kind, &done, raw(last), 1) != 1 || EVP_CipherFinal_ex(context, nothing, &done) != 1)
    return std::nullopt;
  std::size_t bytes = content.size();
  while (kind == 0 && bytes > 0) kind = std::to_integer<unsigned char>(into[--bytes]);  // padding
  return Opened{static_cast<RecordKind>(kind), bytes};
}

}  // namespace smalti::net
