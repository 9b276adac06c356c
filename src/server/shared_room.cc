#include "server/shared_room.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace smalti::server {

namespace {

constexpr std::uint64_t memorys_share = 16;                    // so small a part of the memory limit
constexpr std::uint32_t most_of_one = (8u << 20) + (4u << 10);  // of one connection: what it may have under way, and its head

}  // namespace

SharedRoom::SharedRoom(Ledger& ledger, std::uint64_t most)
    : ledger_(ledger), most_(std::min(most, ledger.limit(Resource::memory) / memorys_share)) {}

SharedRoom::Part::Part(SharedRoom& room, net::SharedMemory memory, Hold hold) noexcept
    : room_(room), memory_(std::move(memory)), hold_(std::move(hold)) {
  room_.used_ += hold_.amount();
}

SharedRoom::Part::~Part() {
  memory_.retire();
  room_.used_ -= hold_.amount();
}

std::optional<std::span<std::byte>> SharedRoom::Part::at(std::uint32_t offset, std::uint64_t bytes) const noexcept {
  const auto all = memory_.bytes();
  if (offset < net::SharedMemory::head_bytes || offset > all.size() || bytes > all.size() - offset) return std::nullopt;
  return all.subspan(offset, bytes);
}

Result<std::unique_ptr<SharedRoom::Part>> SharedRoom::open(const wire::native::Share& wanted,
                                                           const net::Ends& connection) {
  if (!connection.one_host || connection.here != wanted.server_port || connection.there != wanted.client_port)
    return fail(Errc::unsupported, "memory is shared within one host, with nobody between");
  if (wanted.bytes > most_of_one || wanted.bytes > most_ - used_)
    return fail(Errc::limit, fmt::format("no room to share: {} bytes of {} are used", used_, most_));
  Hold hold = ledger_.charge(Resource::memory, wanted.bytes);
  SMALTI_TRY(net::SharedMemory memory, net::SharedMemory::make(wanted.bytes));
  SMALTI_CHECK(net::hand_over(memory, wanted.door, wanted.token));
  memory.close_descriptor();
  return std::make_unique<Part>(*this, std::move(memory), std::move(hold));
}

}  // namespace smalti::server
