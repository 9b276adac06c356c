#include "net/record_cipher.h"

#include <openssl/evp.h>

namespace smalti::net {

namespace {

const unsigned char* raw(Bytes bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* raw(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

class OpensslCipher final : public RecordCipher {
 public:
  bool set(const CipherKey& key, For use) {
    context_.reset(EVP_CIPHER_CTX_new());
    return context_ && EVP_CipherInit_ex(context_.get(), EVP_aes_128_gcm(), nullptr, key.data(), nullptr,
                                         use == For::sealing ? 1 : 0) == 1;
  }

  bool seal(const Nonce& nonce, Bytes header, std::span<const Bytes> parts, std::byte last, std::byte* into) override {
    if (!begin(nonce, header)) return false;
    for (const Bytes part : parts) {
      if (!update(part, into)) return false;
      into += part.size();
    }
    int done = 0;
    return update({&last, 1}, into) && EVP_CipherFinal_ex(context_.get(), raw(into + 1), &done) == 1 &&
           EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, cipher_tag, into + 1) == 1;
  }

  std::optional<std::byte> open(const Nonce& nonce, Bytes header, Bytes sealed, std::byte* into) override {
    const Bytes tag = sealed.last(cipher_tag);
    const Bytes content = sealed.first(sealed.size() - cipher_tag - 1);
    std::byte last{};
    unsigned char nothing[cipher_tag];
    int done = 0;
    const bool opened =
        begin(nonce, header) &&
        EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, cipher_tag, const_cast<std::byte*>(tag.data())) == 1 &&
        update(content, into) && update(sealed.subspan(content.size(), 1), &last) &&
        EVP_CipherFinal_ex(context_.get(), nothing, &done) == 1;
    return opened ? std::optional(last) : std::nullopt;
  }

 private:
  struct Freed {
    void operator()(EVP_CIPHER_CTX* context) const noexcept { EVP_CIPHER_CTX_free(context); }
  };

  bool begin(const Nonce& nonce, Bytes header) {
    int done = 0;
    return EVP_CipherInit_ex(context_.get(), nullptr, nullptr, nullptr, nonce.data(), -1) == 1 &&
           EVP_CipherUpdate(context_.get(), nullptr, &done, raw(header), static_cast<int>(header.size())) == 1;
  }
  bool update(Bytes from, std::byte* into) {
    int done = 0;
    return from.empty() ||
           EVP_CipherUpdate(context_.get(), raw(into), &done, raw(from), static_cast<int>(from.size())) == 1;
  }

  std::unique_ptr<EVP_CIPHER_CTX, Freed> context_;
};

}  // namespace

std::unique_ptr<RecordCipher> openssl_cipher(const CipherKey& key, RecordCipher::For use) {
  auto made = std::make_unique<OpensslCipher>();
  return made->set(key, use) ? std::move(made) : nullptr;
}

std::unique_ptr<RecordCipher> fastest_cipher(const CipherKey& key, RecordCipher::For use) {
  auto wide = vector_cipher(key, use);
  return wide ? std::move(wide) : openssl_cipher(key, use);
}

}  // namespace smalti::net
