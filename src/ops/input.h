// InputFile: the bytes of a picture to read, bounded at every access.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "smalti/base/call.h"

namespace smalti::ops {

// Open as long as it lives. Thread-safe: every read carries its own offset.
class InputFile {
 public:
  // `path` "-" is standard input. What cannot seek (a pipe) is first copied to an unlinked file in
  // `temporary`. Missing, unreadable, a directory, empty: errors that name the file, with code io.
  static Result<std::shared_ptr<const InputFile>> open(const Call&, const std::string& path,
                                                       const std::string& temporary);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& name() const noexcept { return name_; }  // for people
  const std::string& path() const noexcept { return path_; }  // for libraries that open by themselves
  std::uint64_t size() const noexcept { return size_; }       // bytes

  // Fills all of `into`, or says false: the file ends before, or cannot be read.
  bool read(std::uint64_t offset, std::span<std::byte> into) const noexcept;
  // What there is of at most `most` bytes.
  std::vector<std::byte> peek(std::uint64_t offset, std::size_t most) const;

 private:
  InputFile(int fd, std::string name, std::string path, std::uint64_t size)
      : fd_(fd), name_(std::move(name)), path_(std::move(path)), size_(size) {}

  int fd_;
  std::string name_;
  std::string path_;
  std::uint64_t size_;
};

// Numbers from hostile bytes. nullopt: the file ends before.
class Bytes {
 public:
  Bytes(const InputFile& file, bool little) noexcept : file_(file), little_(little) {}
  std::optional<std::uint8_t> u8(std::uint64_t at) const noexcept;
  std::optional<std::uint16_t> u16(std::uint64_t at) const noexcept;
  std::optional<std::uint32_t> u32(std::uint64_t at) const noexcept;
  std::optional<std::uint64_t> u64(std::uint64_t at) const noexcept;

 private:
  template <class T>
  std::optional<T> number(std::uint64_t at) const noexcept;
  const InputFile& file_;
  bool little_;
};

}  // namespace smalti::ops
