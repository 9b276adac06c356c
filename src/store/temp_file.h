// TempFile: a file without a name, which is gone when it is closed, also after a crash.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string_view>
#include <utility>

#include "smalti/base/result.h"

namespace smalti {

// Owns a descriptor. Move-only.
class TempFile {
 public:
  // In this folder and in no other; readable and writable by its owner only. The error names the folder and the cure.
  static Result<TempFile> make(const std::filesystem::path& folder);

  TempFile(TempFile&& other) noexcept : fd_(std::exchange(other.fd_, -1)), folder_(std::move(other.folder_)) {}
  TempFile& operator=(TempFile&&) = delete;
  ~TempFile();

  int fd() const noexcept { return fd_; }
  const std::filesystem::path& folder() const noexcept { return folder_; }

  // Makes sure that the disk has the room of bytes offset .. offset+bytes-1, so that no write to it can lack any. A full
  // disk is Errc::limit; the file is as long as before then.
  Result<void> reserve(std::uint64_t offset, std::uint64_t bytes);
  Result<void> write(std::uint64_t offset, std::span<const std::byte>);
  // How many bytes were read: fewer than asked for only at the end of the file.
  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte>) const;

 private:
  TempFile(int fd, std::filesystem::path folder) : fd_(fd), folder_(std::move(folder)) {}

  int fd_;
  std::filesystem::path folder_;
};

// The error for an operation on tile files of this folder: Errc::limit when the disk is full, else Errc::io.
Error tile_file_error(const std::filesystem::path& folder, std::string_view doing, int sys);

}  // namespace smalti
