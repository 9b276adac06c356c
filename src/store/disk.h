// DiskFolder and DiskFile: the file operations that durability rests on, as an object, so that a test can put
// a disk in their place that forgets what was not synced.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "smalti/base/result.h"

namespace smalti {

// Thread-safe, as far as calls do not touch the same bytes. Closes when it dies.
class DiskFile {
 public:
  virtual ~DiskFile() = default;
  // How many bytes were read: fewer than asked for only at the end of the file.
  virtual Result<std::size_t> read(std::uint64_t offset, std::span<std::byte>) = 0;
  // A full disk is Errc::limit; part of it may be written then.
  virtual Result<void> write(std::uint64_t offset, std::span<const std::byte>) = 0;
  virtual Result<void> resize(std::uint64_t bytes) = 0;
  virtual Result<std::uint64_t> size() = 0;
  // What was written and the file's length survive a crash from here on; its name may not: see
  // DiskFolder::sync.
  virtual Result<void> sync() = 0;
};

// One folder without folders in it. Names are plain file names. Thread-safe. Errors name the file and the
// cure.
class DiskFolder {
 public:
  enum class Make : std::uint8_t { existing, fresh };

  virtual ~DiskFolder() = default;
  // fresh: an empty file, readable by its owner only; one of that name is emptied.
  virtual Result<std::unique_ptr<DiskFile>> open(const std::string& name, Make) = 0;
  virtual Result<std::vector<std::string>> list() = 0;  // files only, in any order
  virtual Result<void> rename(const std::string& from,
                              const std::string& to) = 0;    // replaces `to`, whole or not at all
  virtual Result<void> remove(const std::string& name) = 0;  // absent is fine
  virtual Result<void> sync() = 0;  // names that were made, changed and removed stay so after a crash
  virtual const std::filesystem::path& path() const = 0;
};

// Makes the folder where it is missing (0700). Locks it until the object dies: another process that has it,
// and a folder that others may write to, are errors that name the folder and say what to do.
Result<std::shared_ptr<DiskFolder>> open_folder(const std::filesystem::path&);

}  // namespace smalti
