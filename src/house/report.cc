#include "house/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>

namespace smalti::house {

namespace {

// "on a and b", "on a, b and c", "in /tmp".
std::string places_text(const std::string& tier, const std::vector<std::string>& places) {
  std::string text;
  for (std::size_t i = 0; i < places.size(); ++i) {
    if (places[i].empty()) continue;
    const std::string_view joint = text.empty()             ? (tier == "Distributed" ? " on " : " in ")
                                   : i + 1 == places.size() ? " and "
                                                            : ", ";
    text += fmt::format("{}{}", joint, places[i]);
  }
  return text;
}

}  // namespace

std::string short_bytes(std::uint64_t bytes) {
  constexpr std::string_view units = " KMGTPE";
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < units.size()) {
    value /= 1024;
    ++unit;
  }
  if (unit == 0) return fmt::format("{}B", bytes);
  return fmt::format("{:.{}g}{}iB", value, value >= 1000 ? 4 : 3, units[unit]);
}

std::vector<TierUse> uses_of(const TileStore& store, const std::optional<ImageId>& image) {
  std::vector<TierUse> uses;
  store.use(image, [&uses](const TierUse& use) {
    if (use.tiles > 0) uses.push_back(use);
  });
  return uses;
}

std::string where_text(const std::vector<TierUse>& uses) {
  std::string text;
  for (std::size_t i = 0; i < uses.size();) {
    const std::string& tier = uses[i].tier;
    std::uint64_t bytes = 0;
    std::vector<std::string> places;
    for (; i < uses.size() && uses[i].tier == tier; ++i) {
      bytes += uses[i].bytes;
      places.push_back(uses[i].place);
    }
    text += fmt::format("{}{} {}{}", text.empty() ? "" : ", ", tier, short_bytes(bytes),
                        places_text(tier, places));
  }
  return text.empty() ? "nothing stored" : text;
}

std::string open_line(const std::string& name, std::uint32_t scene, const ImageSpec& spec,
                      const std::vector<TierUse>& uses) {
  return fmt::format("open {}[{}] ({}, {}x{}x{} {})", name, scene, where_text(uses), spec.size.w, spec.size.h,
                     spec.format.channels, short_bytes(spec.stored_bytes()));
}

std::string destroy_line(const std::string& name, std::uint32_t scene) {
  return fmt::format("destroy {}[{}]", name, scene);
}

std::vector<std::string> tier_lines(const std::vector<TierUse>& uses) {
  std::vector<std::string> lines;
  for (const TierUse& use : uses)
    lines.push_back(fmt::format("  {} {} in {} tile{}{}", use.tier, short_bytes(use.bytes), use.tiles,
                                use.tiles == 1 ? "" : "s", places_text(use.tier, {use.place})));
  return lines;
}

std::vector<Count> counts_of(const TileStore& store) {
  std::vector<Count> counts;
  store.count([&counts](const Count& count) { counts.push_back(count); });
  return counts;
}

namespace {

std::uint64_t value_of(const std::vector<Count>& counts, std::string_view name) {
  for (const Count& count : counts)
    if (count.name == name) return count.value;
  return 0;
}

// "memory 106, disk 20, 192.168.100.50:6668 331 (59.6MiB)": what was had from where since `before`.
std::string tiers_text(const std::vector<Count>& before, const std::vector<Count>& after) {
  std::string text;
  for (const Count& count : after) {
    const std::uint64_t tiles = count.value - std::min(count.value, value_of(before, count.name));
    if (tiles == 0) continue;
    constexpr std::string_view here = ".hits", there = ".get.tiles";
    const bool server = count.name.ends_with(there);
    if (!server && !count.name.ends_with(here)) continue;
    const std::string place = count.name.substr(0, count.name.size() - (server ? there : here).size());
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", place, tiles);
  }
  return text.empty() ? "none" : text;
}

}  // namespace

namespace {

// "waited 0.352 s (11.4% of 2 threads' time; 0.3% with a core idle)". What was waited for while every core was busy is a
// core: for whoever decodes, encrypts or serves the tiles on this machine.
std::string waiting_text(const ops::Pass& pass) {
  const double waited = static_cast<double>(pass.reading.wait_ns) * 1e-9;
  const auto percent = [&pass](double seconds) {
    return pass.seconds > 0 ? 100 * seconds / (pass.seconds * pass.threads) : 0.0;
  };
  std::string text = fmt::format("waited {:.3f} s ({:.1f}% of {} threads' time", waited, percent(waited), pass.threads);
  if (pass.cores_idle) text += fmt::format("; {:.1f}% with a core idle", percent(std::min(waited, *pass.cores_idle)));
  return text + ")";
}

}  // namespace

std::string pass_text(const ops::Pass& pass, const std::vector<Count>& before,
                      const std::vector<Count>& after) {
  std::string text =
      fmt::format("{}[{}] {} in {:.3f} s", pass.file, pass.scene,
                  pass.into.empty() ? "computed into a cache" : "to " + pass.into, pass.seconds);
  for (const auto& one : pass.operators)
    text += fmt::format("\n  {}: computed {:.3f} s in {} thread{}", one.what, one.seconds, pass.threads,
                        pass.threads == 1 ? "" : "s");
  if (pass.streamed) text += "\n  read: from the decoder, without a cache";
  if (!pass.cached) return text;
  const CacheCounts& reading = pass.reading;
  text += fmt::format(
      "\n  read: {}; {} tiles ({}) moved here, {} of them ahead ({} in vain); {} from the window\n  by tier: {}",
      waiting_text(pass), reading.tiles_got, short_bytes(reading.bytes_got), reading.ahead_got,
      reading.ahead_got - std::min(reading.ahead_got, reading.ahead_used), reading.window_hits,
      tiers_text(before, after));
  if (pass.could_stream_in != 0)
    text += fmt::format(
        "\n  this chain could have streamed without a cache, in about {} of memory: -define "
        "cache:stream=auto does so",
        short_bytes(pass.could_stream_in));
  return text;
}

std::string cache_line(const CacheCounts& counts) {
  return fmt::format(
      "  cache: {} reads, {} writes; {} tiles ({}) put to the store, {} ({}) got from it, {} of them ahead; "
      "waited {:.2f} s",
      counts.reads, counts.writes, counts.tiles_put, short_bytes(counts.bytes_put), counts.tiles_got,
      short_bytes(counts.bytes_got), counts.ahead_used, static_cast<double>(counts.wait_ns) * 1e-9);
}

}  // namespace smalti::house
