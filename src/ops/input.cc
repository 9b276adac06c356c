#include "ops/input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace smalti::ops {

namespace {

// Copies a pipe to an unlinked file, since headers are read before pixels and some formats seek.
Result<int> spool(const Call& call, int pipe, const std::string& name, const std::string& temporary) {
  const int file = ::open(temporary.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0)
    return fail(Errc::io,
                fmt::format("'{}' is a pipe, and no temporary file can be made in '{}'", name, temporary),
                errno);
  std::vector<std::byte> buffer(1 << 18);
  for (;;) {
    Result<void> alive = call.alive();
    const ssize_t got = alive ? ::read(pipe, buffer.data(), buffer.size()) : -1;
    if (got < 0 && alive && errno == EINTR) continue;
    ssize_t put = 0;
    for (; got > 0 && put < got;) {
      const ssize_t n = ::write(file, buffer.data() + put, static_cast<std::size_t>(got - put));
      if (n < 0 && errno != EINTR) break;
      if (n > 0) put += n;
    }
    if (got == 0) return file;
    if (got < 0 || put < got) {
      const int failed = errno;
      ::close(file);
      if (!alive) return pass(std::move(alive.error()), name);
      return fail(Errc::io, fmt::format("copying '{}' to a temporary file in '{}'", name, temporary), failed);
    }
  }
}

}  // namespace

Result<std::shared_ptr<const InputFile>> InputFile::open(const Call& call, const std::string& path,
                                                         const std::string& temporary) {
  const bool standard = path == "-";
  const std::string name = standard ? "standard input" : path;
  int fd = standard ? ::dup(0) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return fail(Errc::io, fmt::format("unable to open image '{}'", name), errno);
  struct stat st {};
  const auto refuse = [&](std::string_view why, int sys) {
    ::close(fd);
    return fail(Errc::io, fmt::format("unable to open image '{}'{}", name, why), sys);
  };
  if (::fstat(fd, &st) != 0) return refuse("", errno);
  if (S_ISDIR(st.st_mode)) return refuse(": it is a folder, not a file", 0);
  std::string open_by = path;
  if (!S_ISREG(st.st_mode)) {
    auto spooled = spool(call, fd, name, temporary);
    ::close(fd);
    if (!spooled) return pass(std::move(spooled.error()));
    fd = *spooled;
    if (::fstat(fd, &st) != 0) return refuse("", errno);
  }
  if (standard || open_by.empty() || !S_ISREG(st.st_mode) || st.st_nlink == 0)
    open_by = fmt::format("/proc/self/fd/{}", fd);
  if (st.st_size <= 0) return refuse(": the file is empty", 0);
  return std::shared_ptr<const InputFile>(
      new InputFile(fd, name, open_by, static_cast<std::uint64_t>(st.st_size)));
}

InputFile::~InputFile() { ::close(fd_); }

bool InputFile::read(std::uint64_t offset, std::span<std::byte> into) const noexcept {
  if (offset > size_ || into.size() > size_ - offset) return false;
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t got =
        ::pread(fd_, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    done += static_cast<std::size_t>(got);
  }
  return true;
}

std::vector<std::byte> InputFile::peek(std::uint64_t offset, std::size_t most) const {
  if (offset >= size_) return {};
  std::vector<std::byte> out(static_cast<std::size_t>(std::min<std::uint64_t>(most, size_ - offset)));
  if (!read(offset, out)) out.clear();
  return out;
}

template <class T>
std::optional<T> Bytes::number(std::uint64_t at) const noexcept {
  std::array<std::byte, sizeof(T)> raw;
  if (!file_.read(at, raw)) return std::nullopt;
  T value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) {
    const auto byte = static_cast<T>(raw[little_ ? sizeof(T) - 1 - i : i]);
    value = static_cast<T>((sizeof(T) > 1 ? static_cast<std::uint64_t>(value) << 8 : 0) | byte);
  }
  return value;
}

std::optional<std::uint8_t> Bytes::u8(std::uint64_t at) const noexcept { return number<std::uint8_t>(at); }
std::optional<std::uint16_t> Bytes::u16(std::uint64_t at) const noexcept { return number<std::uint16_t>(at); }
std::optional<std::uint32_t> Bytes::u32(std::uint64_t at) const noexcept { return number<std::uint32_t>(at); }
std::optional<std::uint64_t> Bytes::u64(std::uint64_t at) const noexcept { return number<std::uint64_t>(at); }

}  // namespace smalti::ops
