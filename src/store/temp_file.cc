#include "store/temp_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

namespace smalti {

namespace {

// For file systems without nameless files.
int make_and_unlink(const std::filesystem::path& folder) {
  std::string name = (folder / "smalti-XXXXXX").string();
  const int fd = ::mkostemp(name.data(), O_CLOEXEC);  // mode 0600
  if (fd >= 0) ::unlink(name.c_str());
  return fd;
}

}  // namespace

Error tile_file_error(const std::filesystem::path& folder, std::string_view doing, int sys) {
  const bool full = sys == ENOSPC || sys == EDQUOT || sys == EFBIG;
  const std::string_view cure = full ? "make room there, or set another folder with -define registry:temporary-path"
                                     : "set another folder with -define registry:temporary-path";
  return fail(full ? Errc::limit : Errc::io,
              fmt::format("{}tile file in {}: {} ({})", full ? "cache resources exhausted: " : "", folder.string(), doing,
                          cure),
              sys)
      .value();
}

Result<TempFile> TempFile::make(const std::filesystem::path& folder) {
  int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, S_IRUSR | S_IWUSR);
  if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) fd = make_and_unlink(folder);
  if (fd < 0) return pass(tile_file_error(folder, "cannot be made", errno));
  return TempFile(fd, folder);
}

TempFile::~TempFile() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> TempFile::reserve(std::uint64_t offset, std::uint64_t bytes) {
  int failed = 0;
  do {
    failed = ::posix_fallocate(fd_, static_cast<off_t>(offset), static_cast<off_t>(bytes));
  } while (failed == EINTR);
  if (failed == 0) return {};
  if (::ftruncate(fd_, static_cast<off_t>(offset)) != 0) failed = errno;
  return pass(tile_file_error(folder_, fmt::format("no room for {} bytes more", bytes), failed));
}

Result<void> TempFile::write(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return pass(tile_file_error(folder_, "cannot be written", n < 0 ? errno : EIO));
    bytes = bytes.subspan(static_cast<std::size_t>(n));
    offset += static_cast<std::uint64_t>(n);
  }
  return {};
}

Result<std::size_t> TempFile::read(std::uint64_t offset, std::span<std::byte> into) const {
  std::size_t done = 0;
  while (done < into.size()) {
    const ssize_t n = ::pread(fd_, into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return pass(tile_file_error(folder_, "cannot be read", errno));
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

}  // namespace smalti
