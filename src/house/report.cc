#include "house/report.h"

#include <fmt/format.h>

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

std::string cache_line(const CacheCounts& counts) {
  return fmt::format(
      "  cache: {} reads, {} writes; {} tiles ({}) put to the store, {} ({}) got from it, {} of them ahead; "
      "waited {:.2f} s",
      counts.reads, counts.writes, counts.tiles_put, short_bytes(counts.bytes_put), counts.tiles_got,
      short_bytes(counts.bytes_got), counts.ahead_used, static_cast<double>(counts.wait_ns) * 1e-9);
}

}  // namespace smalti::house
