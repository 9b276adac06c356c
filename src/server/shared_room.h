// SharedRoom: the memory that a server shares with clients on its host, charged to its limit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "net/shared_memory.h"
#include "smalti/base/result.h"
#include "smalti/policy/limits.h"
#include "wire/native.h"

namespace smalti::server {

// Used on its loop only, but for what is laid into a part. REQUIRES: outlives its parts, and the ledger outlives it.
class SharedRoom {
 public:
  // `most` over all connections; never more than a sixteenth of the memory limit.
  SharedRoom(Ledger& ledger, std::uint64_t most);
  SharedRoom(const SharedRoom&) = delete;
  SharedRoom& operator=(const SharedRoom&) = delete;

  // One connection's. When it dies its pages are the system's again, whoever still maps them.
  class Part {
   public:
    Part(SharedRoom& room, net::SharedMemory memory, Hold hold) noexcept;
    Part(const Part&) = delete;
    Part& operator=(const Part&) = delete;
    ~Part();
    // None where the part is not all within the memory, or begins where its state stands.
    std::optional<std::span<std::byte>> at(std::uint32_t offset, std::uint64_t bytes) const noexcept;

   private:
    SharedRoom& room_;
    net::SharedMemory memory_;
    const Hold hold_;
  };
  // Makes it, and hands it over. Errc::unsupported: the client is not on this host, or cannot be reached there; limit:
  // there is no room. Either way tiles go by the connection.
  Result<std::unique_ptr<Part>> open(const wire::native::Share&, const net::Ends& connection);

  std::uint64_t used() const noexcept { return used_; }

 private:
  Ledger& ledger_;
  const std::uint64_t most_;
  std::uint64_t used_ = 0;
};

}  // namespace smalti::server
