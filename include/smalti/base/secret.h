// Secret: a passphrase that is never printed, never compared byte by byte, and wiped when it dies.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace smalti {

// A value; copies share the (immutable) bytes. Empty means: no secret is set.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string_view text);

  bool empty() const noexcept { return !text_ || text_->empty(); }
  // For key derivation only. Valid as long as any copy of this Secret lives.
  std::string_view reveal() const noexcept { return text_ ? std::string_view(*text_) : std::string_view(); }
  // Constant time in the length of the longer.
  bool same_as(const Secret& other) const noexcept;

 private:
  std::shared_ptr<const std::string> text_;
};

}  // namespace smalti
