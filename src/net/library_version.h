// What -version says of the library that TLS comes from.
#pragma once

#include <string>

namespace smalti::net {

std::string library_version();  // "OpenSSL 3.0.22"

}  // namespace smalti::net
