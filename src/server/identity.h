// Identity: by what clients recognise a server again, and notice that it has restarted.
#pragma once

#include <cstdint>
#include <filesystem>

#include "smalti/base/log.h"
#include "wire/native.h"

namespace smalti::server {

// Move-only; while it lives no other server of this host has the same id.
class Identity {
 public:
  // The id kept in `folder` for servers on this port; a second server on the same port (of another address)
  // gets one of its own. Where nothing can be kept there, says so in the log and draws an id for this run.
  // Empty folder: likewise, in silence.
  static Identity claim(const std::filesystem::path& folder, std::uint16_t port, Log&);
  Identity(Identity&& other) noexcept;
  Identity& operator=(Identity&&) = delete;
  ~Identity();

  const wire::native::Id& id() const noexcept { return id_; }
  std::uint64_t incarnation() const noexcept { return incarnation_; }  // random at each start

 private:
  Identity();

  wire::native::Id id_;
  std::uint64_t incarnation_ = 0;
  int lock_ = -1;  // the id's file, locked
};

}  // namespace smalti::server
