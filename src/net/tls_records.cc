#include "net/tls_records.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <string_view>

namespace smalti::net {

namespace {

constexpr std::size_t shortest_sealed = 1 + record_tag;

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

RecordKeys::~RecordKeys() {
  OPENSSL_cleanse(secret_.data(), secret_.size());
  OPENSSL_cleanse(iv_.data(), iv_.size());
}

bool RecordKeys::set(const TrafficSecret& secret) {
  secret_ = secret;
  number_ = 0;
  CipherKey key{};
  cipher_.reset();
  if (expand(secret_, "key", key) && expand(secret_, "iv", iv_)) cipher_ = make_(key, use_);
  OPENSSL_cleanse(key.data(), key.size());
  return cipher_ != nullptr;
}

bool RecordKeys::renew() {
  TrafficSecret next{};
  const bool done = expand(secret_, "traffic upd", next) && set(next);
  OPENSSL_cleanse(next.data(), next.size());
  return done;
}

// Each record has one of its own.
Nonce RecordKeys::next_nonce() noexcept {
  Nonce nonce = iv_;
  for (std::size_t n = 0; n < sizeof number_; ++n)
    nonce[nonce.size() - 1 - n] ^= static_cast<unsigned char>(number_ >> (8 * n));
  ++number_;
  return nonce;
}

bool RecordKeys::seal(RecordKind kind, std::span<const Bytes> parts, std::byte* into) {
  std::size_t plain = 0;
  for (const Bytes part : parts) plain += part.size();
  const std::size_t sealed = plain + 1 + record_tag;
  into[0] = static_cast<std::byte>(RecordKind::data);
  into[1] = into[2] = std::byte{3};
  into[3] = static_cast<std::byte>(sealed >> 8);
  into[4] = static_cast<std::byte>(sealed & 0xff);
  const Bytes header{into, record_header};
  return cipher_ && cipher_->seal(next_nonce(), header, parts, static_cast<std::byte>(kind), into + record_header);
}

std::optional<RecordKeys::Opened> RecordKeys::open(Bytes record, std::byte* into) {
  const auto last = cipher_ ? cipher_->open(next_nonce(), record.first(record_header), record.subspan(record_header), into)
                            : std::nullopt;
  if (!last) return std::nullopt;
  std::byte kind = *last;
  std::size_t bytes = record.size() - record_frame;
  while (kind == std::byte{0} && bytes > 0) kind = into[--bytes];  // padding
  return Opened{static_cast<RecordKind>(kind), bytes};
}

}  // namespace smalti::net
