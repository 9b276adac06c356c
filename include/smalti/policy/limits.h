// ImageMagick's resources, their limits, and the Ledger that enforces them. One Ledger a process, handed down from main.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "smalti/base/result.h"

namespace smalti {

enum class Resource : std::uint8_t {
  width,        // pixels
  height,       // pixels
  area,         // pixels: an image beyond it takes no memory tier
  memory,       // bytes
  map,          // bytes
  disk,         // bytes
  file,         // open tile files
  thread,       // threads
  throttle,     // milliseconds (a floor, not a ceiling)
  time,         // seconds
  list_length,  // images
};
inline constexpr std::size_t resource_count = 11;
inline constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

// As -limit spells it: "memory", "list-length", ...
std::string_view name_of(Resource) noexcept;

struct Limits {
  std::array<std::uint64_t, resource_count> most;

  std::uint64_t& operator[](Resource r) noexcept { return most[static_cast<std::size_t>(r)]; }
  std::uint64_t operator[](Resource r) const noexcept { return most[static_cast<std::size_t>(r)]; }
};

class Ledger;

// A taken amount; gives it back when it dies. Move-only. REQUIRES: the Ledger outlives it.
class Hold {
 public:
  Hold() = default;
  Hold(Hold&& other) noexcept;
  Hold& operator=(Hold&& other) noexcept;
  ~Hold() { release(); }

  void release() noexcept;
  // Takes over what another one holds. REQUIRES: both of the same ledger and resource, or one of them empty.
  void add(Hold&& other) noexcept;
  std::uint64_t amount() const noexcept { return amount_; }

 private:
  friend class Ledger;
  Hold(Ledger& ledger, Resource what, std::uint64_t amount) noexcept : ledger_(&ledger), what_(what), amount_(amount) {}

  Ledger* ledger_ = nullptr;
  Resource what_ = Resource::memory;
  std::uint64_t amount_ = 0;
};

// How errors of room begin: "cache resources exhausted"; and what such a one says behind that, for whoever lists several.
inline constexpr std::string_view exhausted_opening = "cache resources exhausted";
std::string_view without_opening(std::string_view said) noexcept;

// Thread-safe, lock-free.
class Ledger {
 public:
  explicit Ledger(const Limits& limits) noexcept : limits_(limits) {}
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  // Fails with Errc::limit, naming the resource, its limit, what is used, what was asked for and how to raise it.
  Result<Hold> take(Resource, std::uint64_t amount);
  // Like take, but says only yes or no: for tiles looking for room, which go elsewhere when there is none.
  bool try_take(Resource, std::uint64_t amount, Hold& into) noexcept;
  // Always granted, also beyond the limit: for the working set, without which nothing runs at all. What is charged
  // here leaves so much less to tiles at rest.
  Hold charge(Resource, std::uint64_t amount) noexcept;
  // For what is measured, not taken (width, height, area, list-length): limit when `amount` alone exceeds the limit.
  Result<void> fits(Resource, std::uint64_t amount) const;
  // The error that take() would give: for whoever tried every tier and found no room.
  Error exhausted(Resource, std::uint64_t amount) const;
  // "-limit memory, MAGICK_MEMORY_LIMIT or the policy `memory'": what raises a limit, for messages.
  static std::string cure(Resource);

  std::uint64_t used(Resource r) const noexcept { return used_[static_cast<std::size_t>(r)].load(std::memory_order_relaxed); }
  std::uint64_t peak(Resource r) const noexcept { return peak_[static_cast<std::size_t>(r)].load(std::memory_order_relaxed); }
  std::uint64_t limit(Resource r) const noexcept { return limits_[r]; }
  std::uint64_t room(Resource r) const noexcept;  // limit - used, or 0
  const Limits& limits() const noexcept { return limits_; }

 private:
  friend class Hold;
  void give_back(Resource, std::uint64_t amount) noexcept;

  const Limits limits_;
  std::array<std::atomic<std::uint64_t>, resource_count> used_{};
  std::array<std::atomic<std::uint64_t>, resource_count> peak_{};
};

}  // namespace smalti
