// What the machine has, and the limits that follow when nobody sets any.
#pragma once

#include <cstdint>
#include <filesystem>

#include "smalti/policy/limits.h"

namespace smalti {

struct Machine {
  std::uint64_t memory = 0;       // bytes: physical, or what the control group grants when that is less
  std::uint64_t free_disk = 0;    // bytes an ordinary user may still write to the temporary folder
  std::uint64_t descriptors = 0;  // files that this process may have open
  std::uint64_t cores = 1;        // that this process may run on
};

// `root` stands before /proc and /sys, for tests.
Machine measure_machine(const std::filesystem::path& temporary, const std::filesystem::path& root = "/");

// The lowest memory limit of this process's control group and of those above it (versions 1 and 2); unlimited
// where there is none.
std::uint64_t control_group_memory(const std::filesystem::path& root);

// Half the memory, no map, the free disk less a tenth, three quarters of the descriptors (at least 64), the
// cores; no limit of width, height, area, time and list-length; no throttle.
Limits default_limits(const Machine&) noexcept;

}  // namespace smalti
