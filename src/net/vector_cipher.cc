#include "net/record_cipher.h"

#ifdef SMALTI_IPSEC_MB

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>

namespace smalti::net {

namespace {

const std::uint8_t* raw(Bytes bytes) { return reinterpret_cast<const std::uint8_t*>(bytes.data()); }
std::uint8_t* raw(std::byte* bytes) { return reinterpret_cast<std::uint8_t*>(bytes); }

// The library's functions for this processor; null where its vectors are narrow, or the library fails its test of itself. It
// keeps no state of ours: that lies in the key and in a context on the stack.
const IMB_MGR* functions() {
  static const IMB_MGR* const chosen = [] {
    constexpr std::uint64_t wide = IMB_FEATURE_VAES | IMB_FEATURE_VPCLMULQDQ | IMB_FEATURE_SELF_TEST_PASS;
    IMB_MGR* made = alloc_mb_mgr(0);
    if (!made) return made;
    IMB_ARCH arch = IMB_ARCH_NONE;
    init_mb_mgr_auto(made, &arch);
    if (arch == IMB_ARCH_AVX512 && (made->features & wide) == wide && imb_get_errno(made) == 0) return made;
    free_mb_mgr(made);
    return static_cast<IMB_MGR*>(nullptr);
  }();
  return chosen;
}

class VectorCipher final : public RecordCipher {
 public:
  VectorCipher(const IMB_MGR* with, const CipherKey& key) : with_(with) { IMB_AES128_GCM_PRE(with_, key.data(), &key_); }
  ~VectorCipher() override { OPENSSL_cleanse(&key_, sizeof key_); }
  VectorCipher(const VectorCipher&) = delete;
  VectorCipher& operator=(const VectorCipher&) = delete;

  bool seal(const Nonce& nonce, Bytes header, std::span<const Bytes> parts, std::byte last, std::byte* into) override {
    gcm_context_data context;
    IMB_AES128_GCM_INIT(with_, &key_, &context, nonce.data(), raw(header), header.size());
    for (const Bytes part : parts) {
      if (part.empty()) continue;
      IMB_AES128_GCM_ENC_UPDATE(with_, &key_, &context, raw(into), raw(part), part.size());
      into += part.size();
    }
    IMB_AES128_GCM_ENC_UPDATE(with_, &key_, &context, raw(into), raw(Bytes{&last, 1}), 1);
    IMB_AES128_GCM_ENC_FINALIZE(with_, &key_, &context, raw(into + 1), cipher_tag);
    OPENSSL_cleanse(&context, sizeof context);
    return true;
  }

  std::optional<std::byte> open(const Nonce& nonce, Bytes header, Bytes sealed, std::byte* into) override {
    const Bytes content = sealed.first(sealed.size() - cipher_tag - 1);
    std::byte last{};
    std::uint8_t tag[cipher_tag];
    gcm_context_data context;
    IMB_AES128_GCM_INIT(with_, &key_, &context, nonce.data(), raw(header), header.size());
    if (!content.empty())
      IMB_AES128_GCM_DEC_UPDATE(with_, &key_, &context, raw(into), raw(content), content.size());
    IMB_AES128_GCM_DEC_UPDATE(with_, &key_, &context, raw(&last), raw(sealed.subspan(content.size(), 1)), 1);
    IMB_AES128_GCM_DEC_FINALIZE(with_, &key_, &context, tag, cipher_tag);
    OPENSSL_cleanse(&context, sizeof context);
    const bool sound = CRYPTO_memcmp(tag, sealed.last(cipher_tag).data(), cipher_tag) == 0;
    return sound ? std::optional(last) : std::nullopt;
  }

 private:
  const IMB_MGR* const with_;
  gcm_key_data key_;
};

}  // namespace

std::unique_ptr<RecordCipher> vector_cipher(const CipherKey& key, RecordCipher::For) {
  const IMB_MGR* with = functions();
  return with ? std::make_unique<VectorCipher>(with, key) : nullptr;
}

}  // namespace smalti::net

#else

namespace smalti::net {

std::unique_ptr<RecordCipher> vector_cipher(const CipherKey&, RecordCipher::For) { return nullptr; }

}  // namespace smalti::net

#endif
