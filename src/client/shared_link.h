// The memory that one of a Link's connections shares with its server, and who has which part of it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "client/request.h"
#include "net/shared_memory.h"
#include "wire/native.h"

namespace smalti::client {

// Lives on the loop. The client gives out the parts; the server reads and writes where a request says, until its answer.
class SharedLink {
 public:
  // Opens a door for a server to hand its memory to; then offer() asks it to. Fails where the system has none.
  static Result<SharedLink> open();
  wire::native::Share offer(const net::Ends& ends) const { return {door_id_, token_, bytes, ends.here, ends.there}; }
  // The server has said that it did.
  Result<void> take();

  // The message in place of the request's own, its payloads laid into the memory; none where it must go by the stream.
  std::optional<wire::native::Message> lay(std::uint64_t number, const Request&);
  // A tile's bytes as the server laid them; absent where that item has none.
  std::optional<std::span<const std::byte>> find(std::uint64_t number, std::size_t item, std::size_t size) const;
  void give_back(std::uint64_t number);
  // False: the server has let go of it, and what was found in it is worth nothing.
  bool alive() const noexcept { return memory_ && memory_->alive(); }

  // What a server takes under way from one connection, and the memory's head.
  static constexpr std::uint32_t bytes = (8u << 20) + (4u << 10);

 private:
  SharedLink(net::SharedDoor door, const net::Token& id, const net::Token& token)
      : door_(std::move(door)), door_id_(id), token_(token) {}
  std::optional<std::uint32_t> room(std::uint32_t size) const;

  std::optional<net::SharedDoor> door_;
  net::Token door_id_, token_;
  std::optional<net::SharedMemory> memory_;                                 // none: not yet
  std::map<std::uint32_t, std::uint32_t> taken_;                            // end of each part by its begin
  std::unordered_map<std::uint64_t, std::vector<std::uint32_t>> requests_;  // where their items lie
};

}  // namespace smalti::client
