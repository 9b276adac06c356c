#include "ops/out_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

namespace smalti::ops {

namespace {

// Where a chain of symbolic links ends; the end itself need not exist.
std::string resolved(std::string path) {
  for (int links = 0; links < 40; ++links) {
    char to[4096];
    const ssize_t n = ::readlink(path.c_str(), to, sizeof to - 1);
    if (n < 0) return path;
    const std::string target(to, static_cast<std::size_t>(n));
    const auto slash = path.rfind('/');
    path = target.front() == '/' || slash == std::string::npos ? target : path.substr(0, slash + 1) + target;
  }
  return path;
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  return slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
}

std::string hidden_name(const std::string& path) {
  std::uint64_t random = 0;
  if (::getrandom(&random, sizeof random, 0) != sizeof random)
    random = static_cast<std::uint64_t>(::getpid());
  const auto slash = path.rfind('/');
  const std::string base = slash == std::string::npos ? path : path.substr(slash + 1);
  return fmt::format("{}/.{}.{:016x}.part", folder_of(path), base.substr(0, 200), random);
}

}  // namespace

// What seeks into a pipe writes into an unnamed file first.
Result<void> OutFile::gather_in(const std::string& folder) {
  if (folder.empty() || ::lseek(fd_, 0, SEEK_CUR) >= 0) return {};
  const int file = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) return keep(fmt::format(": no temporary file can be made in '{}'", folder), errno);
  pipe_ = std::exchange(fd_, file);
  return {};
}

Result<void> OutFile::pour() {
  const int from = fd_;
  std::vector<std::byte> buffer(1 << 18);
  if (::lseek(from, 0, SEEK_SET) < 0) return keep("", errno);
  for (;;) {
    const std::int64_t got = read(buffer);
    if (got <= 0) return state_;
    fd_ = pipe_;
    (void)write(std::span(buffer).first(static_cast<std::size_t>(got)));
    fd_ = from;
  }
}

Result<std::unique_ptr<OutFile>> OutFile::create(const std::string& path, const std::string& gather) {
  const auto refuse = [&](std::string_view what, int sys) {
    return fail(Errc::io, fmt::format("unable to write image '{}'{}", path, what), sys);
  };
  if (path.empty()) return refuse(": it has no name", 0);
  if (path == "-") {
    const int out = ::dup(1);
    if (out < 0) return refuse("", errno);
    std::unique_ptr<OutFile> file(new OutFile(out, "standard output"));
    file->direct_ = true;
    SMALTI_CHECK(file->gather_in(gather));
    return file;
  }
  const std::string target = resolved(path);
  struct stat st {};
  const bool there = ::stat(target.c_str(), &st) == 0;
  if (there && S_ISDIR(st.st_mode)) return refuse(": it is a folder", 0);
  if (there && ::access(target.c_str(), W_OK) != 0) return refuse("", errno);
  if (there && !S_ISREG(st.st_mode)) {
    const int out = ::open(target.c_str(), O_WRONLY | O_CLOEXEC);
    if (out < 0) return refuse("", errno);
    std::unique_ptr<OutFile> file(new OutFile(out, target));
    file->direct_ = true;
    SMALTI_CHECK(file->gather_in(gather));
    return file;
  }
  const std::string folder = folder_of(target);
  int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
  std::string temporary;
  if (fd < 0 && errno != EACCES && errno != ENOENT && errno != EROFS && errno != ENOSPC) {
    temporary = hidden_name(target);
    fd = ::open(temporary.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
  }
  if (fd < 0) return refuse(fmt::format(": no file can be made in the folder '{}'", folder), errno);
  std::unique_ptr<OutFile> file(new OutFile(fd, target));
  file->temporary_ = std::move(temporary);
  // A replaced file keeps its permissions; who may not set them keeps the usual ones.
  if (there) (void)!::fchmod(fd, st.st_mode & 07777);
  return file;
}

OutFile::~OutFile() {
  if (fd_ >= 0) ::close(fd_);
  if (pipe_ >= 0) ::close(pipe_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> OutFile::keep(std::string what, int sys) {
  if (state_) state_ = fail(Errc::io, fmt::format("unable to write image '{}'{}", target_, what), sys);
  return state_;
}

Result<void> OutFile::write(std::span<const std::byte> bytes) {
  while (state_ && !bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return keep("", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return state_;
}

std::int64_t OutFile::seek(std::int64_t offset, int whence) {
  const off_t at = state_ ? ::lseek(fd_, offset, whence) : -1;
  if (at < 0) (void)keep(": this format needs a file that can be rewound, not a pipe", errno);
  return at;
}

std::int64_t OutFile::read(std::span<std::byte> into) {
  for (;;) {
    const ssize_t n = state_ ? ::read(fd_, into.data(), into.size()) : -1;
    if (n < 0 && state_ && errno == EINTR) continue;
    if (n < 0) (void)keep("", errno);
    return n;
  }
}

// A file without a name gets a hidden one first, since only a rename replaces what is there.
Result<void> OutFile::name_it() {
  const std::string hidden = hidden_name(target_);
  const std::string self = fmt::format("/proc/self/fd/{}", fd_);
  if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, hidden.c_str(), AT_SYMLINK_FOLLOW) != 0)
    return keep(": it cannot be given its name", errno);
  temporary_ = hidden;
  return {};
}

Result<void> OutFile::commit() {
  if (!state_) return state_;
  if (pipe_ >= 0) SMALTI_CHECK(pour());
  if (!direct_ && temporary_.empty()) SMALTI_CHECK(name_it());
  const int fd = std::exchange(fd_, -1);
  // Some file systems tell only now that the disk is full.
  if (::close(fd) != 0 && errno != EINTR) return keep("", errno);
  if (direct_) return {};
  if (::rename(temporary_.c_str(), target_.c_str()) != 0) return keep("", errno);
  temporary_.clear();
  return {};
}

}  // namespace smalti::ops
