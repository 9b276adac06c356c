#include "wire/magick_key.h"

#include <fmt/format.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <bit>
#include <memory>
#include <string_view>

namespace smalti::wire::magick {

namespace {

using HashKey = std::array<std::byte, 16>;

void put_le(std::uint64_t value, std::span<std::byte> into) noexcept {
  for (std::size_t i = 0; i < into.size(); ++i) into[i] = static_cast<std::byte>(value >> (8 * i));
}

// The two halves of the key take in the secret's bytes one by one; all modulo 2^64.
HashKey hash_key(const Secret& secret) noexcept {
  std::uint64_t low = 0x0706050403020100;
  std::uint64_t high = 0x0f0e0d0c0b0a0908;
  std::size_t i = 0;
  for (const char c : secret.reveal()) {
    const std::uint64_t byte = static_cast<unsigned char>(c);
    low = (low ^ byte) * 0x100000001b3;
    high = std::rotl(high ^ (byte << (8 * (i++ % 8))), 5);
  }
  HashKey key;
  put_le(low, std::span(key).first(8));
  put_le(high, std::span(key).last(8));
  return key;
}

// CRC-32 with the reflected polynomial; `crc` is the complemented running value.
std::uint32_t crc32_over(std::uint32_t crc, Bytes bytes) noexcept {
  for (const std::byte byte : bytes) {
    crc ^= std::to_integer<std::uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0u);
  }
  return crc;
}

struct FreeMac {
  void operator()(EVP_MAC* mac) const noexcept { EVP_MAC_free(mac); }
  void operator()(EVP_MAC_CTX* context) const noexcept { EVP_MAC_CTX_free(context); }
};

}  // namespace

std::string text_of(const Build& build) {
  return fmt::format("ImageMagick {} Q{}{}, interface {}{}{}", build.family == Family::im6 ? 6 : 7, build.depth,
                     build.hdri ? "-HDRI" : "", build.interface, build.wide_masks ? ", 64-bit channel masks" : "",
                     build.little_endian ? "" : ", big-endian");
}

Result<Key> answer_to(const Secret& secret, Bytes nonce) {
  const std::unique_ptr<EVP_MAC, FreeMac> mac(EVP_MAC_fetch(nullptr, "SIPHASH", nullptr));
  const std::unique_ptr<EVP_MAC_CTX, FreeMac> context(mac ? EVP_MAC_CTX_new(mac.get()) : nullptr);
  if (!context) return fail(Errc::unsupported, "the system's OpenSSL offers no SipHash, which ImageMagick's clients need");
  HashKey key = hash_key(secret);
  Key answer{};
  std::size_t size = answer.size();
  std::size_t written = 0;
  const OSSL_PARAM size_of_answer[] = {OSSL_PARAM_construct_size_t(OSSL_MAC_PARAM_SIZE, &size), OSSL_PARAM_construct_end()};
  const bool done =
      EVP_MAC_init(context.get(), reinterpret_cast<const unsigned char*>(key.data()), key.size(), size_of_answer) == 1 &&
      EVP_MAC_update(context.get(), reinterpret_cast<const unsigned char*>(nonce.data()), nonce.size()) == 1 &&
      EVP_MAC_final(context.get(), reinterpret_cast<unsigned char*>(answer.data()), &written, answer.size()) == 1;
  OPENSSL_cleanse(key.data(), key.size());
  if (!done || written != answer.size()) return fail(Errc::internal, "OpenSSL's SipHash failed");
  return answer;
}

Key signature(const Build& build, Bytes data) noexcept {
  std::uint32_t crc = 0xffffffff;
  const auto number = [&](std::uint32_t value) {
    std::array<std::byte, 4> raw;
    put_le(build.little_endian ? value : __builtin_bswap32(value), raw);
    crc = crc32_over(crc, raw);
  };
  number(build.depth);
  number(build.hdri ? 1 : 0);
  number(build.interface);
  number(1);  // comes out differently where the byte order differs
  if (build.wide_masks) number(8);
  crc = ~crc32_over(crc, data);
  Key key{};
  put_le(crc, std::span(key).first(4));
  return key;
}

bool same(const Key& a, const Key& b) noexcept { return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0; }

}  // namespace smalti::wire::magick
