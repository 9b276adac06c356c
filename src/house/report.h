// What -verbose and -debug cache say about where pixels are. Text from numbers; nothing is printed here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/picture.h"
#include "smalti/cache/pixel_cache.h"
#include "smalti/store/store.h"

namespace smalti::house {

// "512B", "12MiB", "30.5MiB": four digits at most.
std::string short_bytes(std::uint64_t);

// Where an image's tiles lie, fastest tier first, empty places left out.
std::vector<TierUse> uses_of(const TileStore&, const std::optional<ImageId>&);

// "Memory 12MiB, Distributed 30MiB on 192.168.100.50:6668 and 192.168.100.51:6668", or "nothing stored".
std::string where_text(const std::vector<TierUse>&);

// "open in.jpg[0] (Memory 12MiB, Distributed 30MiB on a:6668, 3840x2400x3 26.4MiB)"
std::string open_line(const std::string& name, std::uint32_t scene, const ImageSpec&,
                      const std::vector<TierUse>&);
std::string destroy_line(const std::string& name, std::uint32_t scene);

// One line a tier and place: "  Distributed 15MiB in 80 tiles on 192.168.100.50:6668".
std::vector<std::string> tier_lines(const std::vector<TierUse>&);
// A pass over a picture's pixels, several lines: by operator the time computing; the time waiting, tiles and
// bytes moved, and tiles found by tier (`before` and `after` are the store's counts); and what streaming
// would have needed.
std::string pass_text(const ops::Pass&, const std::vector<Count>& before, const std::vector<Count>& after);
std::vector<Count> counts_of(const TileStore&);
// "  cache: 1200 reads, 400 writes; 150 tiles (28MiB) from the store, 90 of them ahead; waited 0.52 s"
std::string cache_line(const CacheCounts&);

}  // namespace smalti::house
