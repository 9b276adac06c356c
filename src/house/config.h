// Config: everything that the command line, the environment and the policies decide, as plain data.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/cluster.h"
#include "net/host_port.h"
#include "net/network.h"
#include "ops/picture.h"
#include "policy/environment.h"
#include "policy/policies.h"
#include "smalti/base/secret.h"
#include "smalti/policy/limits.h"
#include "wire/magick_dialect.h"

namespace smalti::house {

// Weakest first: where a policy asks for one, a -define may only ask for a stronger one.
enum class Encryption : std::uint8_t {
  none,      // Smalti peers prove the secret to each other, then talk in clear
  native,    // Smalti peers always encrypted, ImageMagick's own clients in clear
  required,  // ... and ImageMagick's own clients from this host only
};

// The handshake of ImageMagick's that a server's port greets with; nullopt: the port is for Smalti's own
// clients only.
using Greeting = std::optional<wire::magick::Dialect>;

// What the command line asks for, in its order.
struct Asked {
  std::vector<std::pair<Resource, std::uint64_t>> limits;  // -limit
  std::vector<std::pair<std::string, std::string>>
      defines;  // -define KEY=VALUE; without "=" the value is empty
};

struct Config {
  Limits limits{};
  std::filesystem::path temporary;
  Secret secret;  // may be empty: then no server is reached and none is started
  std::vector<HostPort> hosts;
  bool hosts_defined = false;  // by -define, not by a policy: a server becomes a gateway only when told to
  Placement placement = Placement::automatic;
  std::optional<std::uint32_t> first;  // the server of the first whole image; none: drawn at random
  std::uint32_t replicas = 1;          // servers that have each tile
  Encryption encryption = Encryption::native;
  Compress compress = Compress::automatic;
  bool share = true;  // memory, with servers on this host
  std::vector<Greeting> greetings;         // of the first port, the second, ...; empty: not said
  std::vector<net::Network> allow;         // where ImageMagick's clients may come from; empty: not said
  bool spin = true;                        // look for their next request on an idle core before sleeping
  std::uint64_t quota = unlimited;         // bytes that names may hold on a server
  std::filesystem::path persist;           // where a server keeps them; empty: as long as it runs
  std::optional<std::chrono::milliseconds> grace;  // for which a client's images outlive its connections
  std::optional<std::uint32_t> clients;    // connections of a server
  std::optional<std::uint32_t> strangers;  // of these, not yet authenticated
  ops::Quantum quantum;
  bool forced_delete = false;      // of names, without the servers that cannot be reached
  bool salvage = false;            // read what a truncated picture has
  bool stream = false;             // chains that can do without a cache get none
  std::filesystem::path state;     // folder of what a server keeps between runs: its id
  std::vector<std::string> notes;  // worth a warning, but no reason to stop
};

// Reads machine, policies and environment. `root` stands before /etc, /proc and /sys, for tests. Fails with
// invalid and names the define, variable or policy line that is wrong; an unknown define of ours is answered
// with the nearest known.
Result<Config> configure(const Asked&, const Policies&, const Environment&,
                         const std::filesystem::path& root = "/");

// For -help: "cache:placement", what may stand behind it, and what it does.
struct DefineInfo {
  std::string_view key;
  std::string_view value;
  std::string_view help;
};
std::vector<DefineInfo> defines();

}  // namespace smalti::house
