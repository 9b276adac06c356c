#include "client/shared_link.h"

#include <cstring>

namespace smalti::client {

using namespace wire::native;

namespace {

constexpr std::uint32_t line = 64;  // parts begin where a processor's cache lines do

std::uint32_t rounded(std::uint64_t bytes) { return static_cast<std::uint32_t>((bytes + line - 1) / line * line); }

// Bytes of pixels of each item; empty where the request is not one of tiles as they are.
std::vector<std::uint64_t> sizes(const Request& request) {
  std::vector<std::uint64_t> out;
  if (const auto* put = std::get_if<Put>(&request.message)) {
    for (const PutItem& item : put->items) {
      if (item.coded != 0) return {};
      out.push_back(item.bytes);
    }
  } else if (const auto* get = std::get_if<Get>(&request.message); get && get->coder == Coder::none) {
    for (const Extent size : request.expected) out.push_back(size.area() * request.format.pixel_bytes());
  }
  return out;
}

}  // namespace

Result<SharedLink> SharedLink::open() {
  const net::Token id = ImageId::fresh().raw, token = ImageId::fresh().raw;
  SMALTI_TRY(net::SharedDoor door, net::SharedDoor::open(id));
  return SharedLink(std::move(door), id, token);
}

Result<void> SharedLink::take() {
  auto memory = door_->take(token_, bytes);
  door_.reset();
  if (!memory) return pass(std::move(memory.error()));
  memory->close_descriptor();
  memory_.emplace(std::move(*memory));
  return {};
}

// The lowest gap: what was used a moment ago is still in the processor's cache.
std::optional<std::uint32_t> SharedLink::room(std::uint32_t size) const {
  std::uint32_t begin = net::SharedMemory::head_bytes;
  for (const auto& [from, to] : taken_) {
    if (from - begin >= size) return begin;
    begin = to;
  }
  return bytes - begin >= size ? std::optional(begin) : std::nullopt;
}

std::optional<Message> SharedLink::lay(std::uint64_t number, const Request& request) {
  if (!memory_ || request.weight == 0 || request.weight > bytes / 2) return std::nullopt;
  const std::vector<std::uint64_t> wanted = sizes(request);
  std::uint64_t sum = 0;
  for (const std::uint64_t one : wanted) sum += rounded(one);
  if (sum == 0 || sum > bytes) return std::nullopt;
  const auto begin = room(static_cast<std::uint32_t>(sum));
  if (!begin) return std::nullopt;
  std::vector<std::uint32_t> at;
  std::uint32_t next = *begin;
  for (const std::uint64_t one : wanted) {
    at.push_back(next);
    next += rounded(one);
  }
  for (std::size_t i = 0; i < request.payloads.size() && i < at.size(); ++i)
    if (const Tile& tile = request.payloads[i])
      std::memcpy(memory_->bytes().data() + at[i], tile.bytes().data(), tile.bytes().size());
  taken_.emplace(*begin, next);
  requests_[number] = at;
  if (const auto* put = std::get_if<Put>(&request.message)) return SharedPut{*put, std::move(at)};
  return SharedGet{std::get<Get>(request.message), std::move(at)};
}

std::optional<std::span<const std::byte>> SharedLink::find(std::uint64_t number, std::size_t item,
                                                           std::size_t size) const {
  const auto known = requests_.find(number);
  if (known == requests_.end() || item >= known->second.size()) return std::nullopt;
  return memory_->bytes().subspan(known->second[item], size);
}

void SharedLink::give_back(std::uint64_t number) {
  const auto known = requests_.find(number);
  if (known == requests_.end()) return;
  taken_.erase(known->second.front());
  requests_.erase(known);
}

}  // namespace smalti::client
