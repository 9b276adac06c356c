#include "client/image_record.h"

namespace smalti::client {

ImageRecord::ImageRecord(const ImageSpec& of, std::optional<std::uint32_t> first, const Rendezvous& rendezvous,
                         std::uint32_t servers)
    : OpenImage(of), grid_(of), first_(first), rendezvous_(rendezvous), servers_(servers), parts_(servers) {}

std::uint32_t ImageRecord::home(const TileKey& key) const noexcept { return first_ ? *first_ : rendezvous_.home(key); }

std::vector<std::uint32_t> ImageRecord::order(const TileKey& key) const {
  return first_ ? ring_order(*first_, servers_) : rendezvous_.order(key);
}

std::vector<std::uint32_t> ImageRecord::expected_servers() const {
  return first_ ? std::vector{*first_} : ring_order(0, servers_);
}

std::optional<std::uint32_t> ImageRecord::holder(const TileKey& key) const {
  const std::lock_guard lock(mutex_);
  const std::uint64_t at = grid_.index(key);
  if (at >= holders_.size() || holders_[at] == 0) return std::nullopt;
  return holders_[at] - 1u;
}

void ImageRecord::count(const TileKey& key, std::uint32_t server, bool more) {
  const std::uint64_t bytes = grid_.rect(key).size.area() * spec.format.pixel_bytes();
  Part& part = parts_[server];
  part.tiles += more ? 1 : -std::uint64_t{1};
  part.bytes += more ? bytes : -bytes;
}

std::optional<std::uint32_t> ImageRecord::placed(const TileKey& key, std::uint32_t server) {
  const std::lock_guard lock(mutex_);
  if (holders_.empty()) holders_.resize(grid_.tiles());
  std::uint16_t& holder = holders_[grid_.index(key)];
  const std::uint16_t before = holder;
  holder = static_cast<std::uint16_t>(server + 1);
  if (before == holder) return std::nullopt;
  count(key, server, true);
  if (before == 0) return std::nullopt;
  count(key, before - 1u, false);
  return before - 1u;
}

void ImageRecord::removed(const TileKey& key, std::uint32_t server) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t at = grid_.index(key);
  if (at >= holders_.size() || holders_[at] != server + 1) return;
  holders_[at] = 0;
  count(key, server, false);
}

std::uint64_t ImageRecord::epoch(std::uint32_t server) const {
  const std::lock_guard lock(mutex_);
  return parts_[server].epoch;
}

void ImageRecord::opened(std::uint32_t server, std::uint64_t epoch) {
  const std::lock_guard lock(mutex_);
  parts_[server].epoch = epoch;
}

bool ImageRecord::needs_opening(std::uint32_t server, std::uint64_t epoch_now) const {
  const std::lock_guard lock(mutex_);
  const Part& part = parts_[server];
  return part.epoch == 0 || (part.epoch != epoch_now && part.tiles == 0);
}

std::vector<std::uint32_t> ImageRecord::opened_servers() const {
  const std::lock_guard lock(mutex_);
  std::vector<std::uint32_t> out;
  for (std::uint32_t i = 0; i < servers_; ++i)
    if (parts_[i].epoch != 0) out.push_back(i);
  return out;
}

ImageRecord::Part ImageRecord::part(std::uint32_t server) const {
  const std::lock_guard lock(mutex_);
  return parts_[server];
}

}  // namespace smalti::client
