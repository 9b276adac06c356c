// Probe: which of ImageMagick's handshakes a program speaks, found out by letting it speak. A client's
// version does not tell, because distributions patch newer handshakes into older releases.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "smalti/base/result.h"
#include "wire/magick_dialect.h"

namespace smalti::house {

struct Probed {
  std::optional<wire::magick::Dialect> dialect;  // nullopt: it is Smalti itself
  std::uint32_t sample_bytes = 0;                // 0: it stored nothing
  bool floating = false;
};

// Runs the program (a path, or a name looked up in PATH) a few times, each for a moment, on one small white
// image, with a throwaway secret and a throwaway port of this host. Fails with invalid where it is no client
// of ImageMagick's, and then quotes it.
Result<Probed> probe_client(const std::string& program,
                            std::chrono::milliseconds patience = std::chrono::seconds(20));

// For people: what it speaks, and the command lines of a server and a client, the first port being `port`.
std::string advice(const std::string& program, const Probed&, std::uint16_t port);

}  // namespace smalti::house
