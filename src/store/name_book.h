// NameBook: small records under names, kept on disk: what a server knows of its named images.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "smalti/base/result.h"
#include "store/disk.h"

namespace smalti {

struct NameEntry {
  std::string name;
  std::vector<std::byte> bytes;
};

// A record that cannot be read any more.
struct NameDamage {
  std::string name;  // empty: not even that can be read
  Error why;         // names the file
};

// Thread-safe. Each call waits for the disk: never on a network loop. What put() and remove() acknowledged
// survives a crash; of one that was under way, all or nothing.
class NameBook {
 public:
  static constexpr std::size_t most_name_bytes = 4096;
  static constexpr std::size_t most_record_bytes = 16u << 20;
  static constexpr std::size_t most_names = 1u << 20;

  // REQUIRES: the folder is this process's alone. Removes what a crash left half-written. Fails only when the
  // folder cannot be listed; damaged records are told by damaged().
  static Result<std::unique_ptr<NameBook>> open(std::shared_ptr<DiskFolder> folder);

  // Every name and its record, by name. Records that got damaged since are told in `damaged` where it is not
  // null.
  Result<std::vector<NameEntry>> all(std::vector<NameDamage>* damaged = nullptr) const;
  Result<std::vector<std::byte>> get(std::string_view name) const;  // unavailable: no such name
  // Replaces the record. The name may hold any bytes but must not be empty.
  Result<void> put(std::string_view name, std::span<const std::byte> record);
  // Also of a damaged record. Absent is fine.
  Result<void> remove(std::string_view name);

  // What open() found damaged and neither put() nor remove() has mended since.
  std::vector<NameDamage> damaged() const;

 private:
  explicit NameBook(std::shared_ptr<DiskFolder> folder) : folder_(std::move(folder)) {}
  void note(std::uint64_t number);
  Result<NameEntry> read(std::uint64_t number, std::string* name_at_least) const;

  struct Damaged {
    NameDamage what;
    std::uint64_t number = 0;
  };

  const std::shared_ptr<DiskFolder> folder_;
  mutable std::mutex mutex_;
  // All below is guarded by mutex_.
  std::map<std::string, std::uint64_t, std::less<>> numbers_;  // of the file that has a name's record
  std::vector<Damaged> damaged_;
  std::uint64_t next_ = 1;
};

}  // namespace smalti
