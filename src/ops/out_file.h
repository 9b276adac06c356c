// OutFile: a file that appears under its name only when it is whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "smalti/base/result.h"

namespace smalti::ops {

// One writer, one thread at a time. Destroyed before commit(), it leaves nothing: neither a temporary file
// nor a changed target. Where the file system can, the file has no name at all until then, so that not even a
// killed process leaves one.
class OutFile {
 public:
  // `path` "-" is standard output. A target that is no regular file (a device, a pipe) is written directly. A
  // symbolic link stays one: what it points to is replaced. Fails with io when the folder or an existing
  // target cannot be written.
  // `gather`: a folder in which what goes to a pipe is gathered until it is whole, for who seeks; or empty.
  static Result<std::unique_ptr<OutFile>> create(const std::string& path, const std::string& gather = {});
  ~OutFile();
  OutFile(const OutFile&) = delete;
  OutFile& operator=(const OutFile&) = delete;

  // Each keeps the first error, names the target in it, and returns it again.
  Result<void> write(std::span<const std::byte> bytes);
  // As lseek and read; -1 after an error.
  std::int64_t seek(std::int64_t offset, int whence);
  std::int64_t read(std::span<std::byte> into);
  // The file takes its name. REQUIRES: no write failed.
  Result<void> commit();

  const Result<void>& state() const noexcept { return state_; }
  const std::string& target() const noexcept { return target_; }

 private:
  OutFile(int fd, std::string target) : fd_(fd), target_(std::move(target)) {}
  Result<void> keep(std::string what, int sys);
  Result<void> name_it();
  Result<void> gather_in(const std::string& folder);
  Result<void> pour();

  int fd_;
  std::string target_;     // as asked for, links resolved
  std::string temporary_;  // its name until commit; empty: it has none
  bool direct_ = false;    // no temporary file: the target itself is open
  int pipe_ = -1;          // where all goes in the end, while fd_ is a file without a name
  Result<void> state_;
};

}  // namespace smalti::ops
