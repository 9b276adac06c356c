#include "policy/machine.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>

#include "policy/units.h"
#include "smalti/base/checked.h"

namespace smalti {

namespace fs = std::filesystem;

namespace {

// "max", nonsense and a missing file all mean: no limit from here.
std::uint64_t limit_in(const fs::path& file) {
  std::ifstream in(file);
  std::string text;
  if (!std::getline(in, text)) return unlimited;
  std::uint64_t limit = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), limit);
  return error == std::errc() ? limit : unlimited;
}

std::uint64_t lowest_upwards(const fs::path& mount, fs::path group, const char* file) {
  std::uint64_t lowest = unlimited;
  // Inside a container the group's path may not be visible: then the mount's own files are the group's.
  while (true) {
    lowest = std::min(lowest, limit_in(mount / group.relative_path() / file));
    if (!group.has_relative_path()) return lowest;
    group = group.parent_path();
  }
}

// A control-group line: "0::/user.slice/x" (version 2) or "4:memory:/x" (version 1).
struct GroupLine {
  std::string controllers;
  fs::path path;
};

GroupLine split(const std::string& line) {
  const std::size_t first = line.find(':');
  const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
  if (second == std::string::npos) return {"?", {}};
  return {line.substr(first + 1, second - first - 1), line.substr(second + 1)};
}

std::uint64_t cores_allowed() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
    return static_cast<std::uint64_t>(CPU_COUNT(&set));
  return static_cast<std::uint64_t>(std::max(1L, ::sysconf(_SC_NPROCESSORS_ONLN)));
}

}  // namespace

std::uint64_t control_group_memory(const fs::path& root) {
  std::ifstream groups(root / "proc/self/cgroup");
  std::uint64_t lowest = unlimited;
  std::string line;
  while (std::getline(groups, line)) {
    const GroupLine group = split(line);
    if (group.controllers.empty())
      lowest = std::min(lowest, lowest_upwards(root / "sys/fs/cgroup", group.path, "memory.max"));
    else if ((',' + group.controllers + ',').find(",memory,") != std::string::npos)
      lowest = std::min(lowest,
                        lowest_upwards(root / "sys/fs/cgroup/memory", group.path, "memory.limit_in_bytes"));
  }
  return lowest;
}

Machine measure_machine(const fs::path& temporary, const fs::path& root) {
  Machine machine;
  const auto pages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  const auto page = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PAGESIZE)));
  machine.memory = std::min(pages * page, control_group_memory(root));
  struct statvfs volume {};
  if (::statvfs(temporary.c_str(), &volume) == 0)
    machine.free_disk = checked_mul<std::uint64_t>(volume.f_bavail, volume.f_frsize).value_or(unlimited);
  rlimit files{};
  if (::getrlimit(RLIMIT_NOFILE, &files) == 0) machine.descriptors = files.rlim_cur;
  machine.cores = cores_allowed();
  return machine;
}

Limits default_limits(const Machine& machine) noexcept {
  constexpr std::uint64_t fewest_files = 64;
  constexpr std::uint64_t most_files = 1u << 20;  // "no limit" of descriptors is not an invitation
  Limits limits;
  limits.most.fill(unlimited);
  limits[Resource::memory] = machine.memory / 2;
  limits[Resource::map] = 0;
  limits[Resource::disk] = machine.free_disk - machine.free_disk / 10;
  limits[Resource::file] = std::clamp(machine.descriptors / 4 * 3, fewest_files, most_files);
  limits[Resource::thread] = std::max<std::uint64_t>(machine.cores, 1);
  limits[Resource::throttle] = 0;
  return limits;
}

}  // namespace smalti
