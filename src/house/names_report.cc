#include "house/names_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "house/report.h"

namespace smalti::house {

namespace {

constexpr std::uint64_t no_quota = std::numeric_limits<std::uint64_t>::max();

std::string server_text(const client::ServerLine& server) {
  if (server.failed) return fmt::format("  {}  not reached: {}\n", server.address, server.failed->what);
  std::string text = fmt::format("  {}  id {}", server.address, ImageId{server.id}.text().substr(0, 16));
  for (const auto& count : server.use.counts)
    if (count.name == "server.clients") text += fmt::format(", {} client{}", count.value, count.value == 1 ? "" : "s");
  text += fmt::format(", {} name{}", server.names, server.names == 1 ? "" : "s");
  if (server.quota != no_quota) text += fmt::format(" ({} of {} quota)", short_bytes(server.used), short_bytes(server.quota));
  if (server.durable) text += ", kept through restarts";
  text += "\n";
  for (const auto& tier : server.use.tiers) {
    if (tier.tiles == 0) continue;
    text += fmt::format("    {} {} in {} tile{}{}\n", tier.tier, short_bytes(tier.bytes), tier.tiles,
                        tier.tiles == 1 ? "" : "s", tier.place.empty() ? "" : " in " + tier.place);
  }
  std::string rooms;
  for (const auto& room : server.use.rooms) {
    const bool bytes = room.resource == Resource::memory || room.resource == Resource::map || room.resource == Resource::disk;
    if (!bytes || room.limit == 0) continue;
    rooms += fmt::format("{}{} {} of {}", rooms.empty() ? "" : ", ", name_of(room.resource), short_bytes(room.used),
                         room.limit == unlimited ? "unlimited" : short_bytes(room.limit));
  }
  return text + fmt::format("    used: {}\n", rooms);
}

std::string name_text(const client::NameLine& name, std::uint64_t now) {
  const auto& record = name.record;
  std::string text = fmt::format("  {}", name.name);
  if (name.deleted) {
    text += "  deleted, which a server has missed: delete it again";
  } else if (record.keepers.empty()) {
    text += "  no finished version";
  } else {
    const std::size_t most = record.keepers.size();
    const std::size_t servers = record.whole ? std::min<std::size_t>(record.replicas, most) : most;
    text += fmt::format("  {}x{}x{} {}-bit, {} {}, {} cop{}, {} ({} stored), {} old", record.spec.size.w,
                        record.spec.size.h, record.spec.format.channels, record.depth,
                        record.whole ? "whole on" : "sharded over",
                        fmt::format("{} server{}", servers, servers == 1 ? "" : "s"),
                        record.replicas, record.replicas == 1 ? "y" : "ies", short_bytes(record.bytes),
                        short_bytes(name.held_bytes), age_text(now > record.created ? now - record.created : 0));
    const std::uint64_t all = record.bytes * record.replicas;
    if (record.replicas > 1 && name.held_bytes < all)
      text += fmt::format(", {} of its copies missing (-repair-cache '{}' makes them anew)",
                          short_bytes(all - name.held_bytes), name.name);
    else if (name.held_bytes < all)
      text += fmt::format(", {} of it on servers that were not asked or not reached", short_bytes(all - name.held_bytes));
    if (name.reached < name.keepers) text += fmt::format(", known on {} of {} servers", name.reached, name.keepers);
  }
  if (!name.writer.empty())
    text += fmt::format(", being written by {}", name.writer);
  else if (name.unfinished)
    text += ", a write was not finished";
  return text + "\n";
}

}  // namespace

std::uint64_t now_in_milliseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

std::string age_text(std::uint64_t milliseconds) {
  const std::uint64_t seconds = milliseconds / 1000;
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m", seconds / 60);
  if (seconds < 86400) return fmt::format("{}h", seconds / 3600);
  return fmt::format("{}d", seconds / 86400);
}

std::string listing_text(const client::Listing& listing, std::uint64_t now) {
  std::string text = "Servers:\n";
  for (const auto& server : listing.servers) text += server_text(server);
  text += listing.names.empty() ? "Named images: none\n" : "Named images:\n";
  for (const auto& name : listing.names) text += name_text(name, now);
  return text;
}

}  // namespace smalti::house
