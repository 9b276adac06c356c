#include "net/library_version.h"

#include <openssl/crypto.h>

namespace smalti::net {

std::string library_version() { return std::string("OpenSSL ") + ::OpenSSL_version(OPENSSL_VERSION_STRING); }

}  // namespace smalti::net
