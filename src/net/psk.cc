#include "net/psk.h"

#include <openssl/evp.h>
#include <string.h>  // explicit_bzero

#include <array>
#include <mutex>
#include <string_view>

namespace smalti::net {

namespace {
constexpr std::string_view salt = "smalti/native/psk/1";
constexpr std::uint64_t cost = 1u << 15;
constexpr std::uint64_t block = 8;
constexpr std::uint64_t lanes = 1;
// Needs 128 * cost * block = 32 MiB and a little; the library's own bound is just below that.
constexpr std::uint64_t most_memory = 64u << 20;
}  // namespace

struct Psk::Derived {
  explicit Derived(Secret s) : secret(std::move(s)) {}
  ~Derived() { ::explicit_bzero(key.data(), key.size()); }

  const Secret secret;
  std::once_flag once;
  bool good = false;  // written within `once`
  std::array<std::byte, psk_bytes> key{};
};

Psk::Psk(Secret secret) : derived_(std::make_shared<Derived>(std::move(secret))) {}

Result<std::span<const std::byte, psk_bytes>> Psk::key() const {
  Derived& own = *derived_;
  if (own.secret.empty())
    return fail(Errc::invalid, "no shared secret is set; give every host the same: <policy domain=\"cache\" name=\"shared-secret\" "
                               "value=\"PASSPHRASE\"/> in /etc/smalti/policy.xml or ~/.config/smalti/policy.xml");
  std::call_once(own.once, [&own] {
    const std::string_view text = own.secret.reveal();
    own.good = EVP_PBE_scrypt(text.data(), text.size(), reinterpret_cast<const unsigned char*>(salt.data()),
                              salt.size(), cost, block, lanes, most_memory,
                              reinterpret_cast<unsigned char*>(own.key.data()), own.key.size()) == 1;
  });
  if (!own.good) return fail(Errc::internal, "the key could not be derived from the shared secret");
  return std::span<const std::byte, psk_bytes>(own.key);
}

}  // namespace smalti::net
