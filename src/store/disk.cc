#include "store/disk.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace smalti {

namespace {

namespace fs = std::filesystem;

tl::unexpected<Error> file_error(const fs::path& file, std::string_view doing, int sys) {
  if (sys == ENOSPC || sys == EDQUOT || sys == EFBIG)
    return fail(
        Errc::limit,
        fmt::format("cache resources exhausted: {}: {} (make room on that disk, or set another folder with "
                    "-define cache:persist)",
                    file.string(), doing),
        sys);
  return fail(Errc::io,
              fmt::format("{}: {} (look after this disk and who may write to it)", file.string(), doing),
              sys);
}

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

class RealFile final : public DiskFile {
 public:
  RealFile(Descriptor file, fs::path path) : file_(std::move(file)), path_(std::move(path)) {}

  Result<std::size_t> read(std::uint64_t offset, std::span<std::byte> into) override {
    std::size_t done = 0;
    while (done < into.size()) {
      const ssize_t n =
          ::pread(file_.get(), into.data() + done, into.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return file_error(path_, "cannot be read", errno);
      if (n == 0) break;
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  Result<void> write(std::uint64_t offset, std::span<const std::byte> bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return file_error(path_, "cannot be written", n < 0 ? errno : ENOSPC);
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return {};
  }

  Result<void> resize(std::uint64_t bytes) override {
    while (::ftruncate(file_.get(), static_cast<off_t>(bytes)) != 0)
      if (errno != EINTR) return file_error(path_, "cannot be made another length", errno);
    return {};
  }

  Result<std::uint64_t> size() override {
    struct stat about {};
    if (::fstat(file_.get(), &about) != 0) return file_error(path_, "cannot be looked at", errno);
    return static_cast<std::uint64_t>(about.st_size);
  }

  Result<void> sync() override {
    while (::fdatasync(file_.get()) != 0)
      if (errno != EINTR) return file_error(path_, "did not reach the disk", errno);
    return {};
  }

 private:
  const Descriptor file_;
  const fs::path path_;
};

class RealFolder final : public DiskFolder {
 public:
  RealFolder(Descriptor folder, Descriptor lock, fs::path path)
      : folder_(std::move(folder)), lock_(std::move(lock)), path_(std::move(path)) {}

  Result<std::unique_ptr<DiskFile>> open(const std::string& name, Make make) override {
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (make == Make::fresh ? O_CREAT | O_TRUNC : 0);
    Descriptor file(::openat(folder_.get(), name.c_str(), flags, S_IRUSR | S_IWUSR));
    if (file.get() < 0) return file_error(path_ / name, "cannot be opened", errno);
    return std::unique_ptr<DiskFile>(std::make_unique<RealFile>(std::move(file), path_ / name));
  }

  Result<std::vector<std::string>> list() override {
    std::vector<std::string> names;
    std::error_code bad;
    for (fs::directory_iterator at(path_, bad), end; !bad && at != end; at.increment(bad)) {
      std::error_code gone;
      if (at->is_regular_file(gone) && !at->is_symlink(gone)) names.push_back(at->path().filename().string());
    }
    if (bad) return file_error(path_, "cannot be listed", bad.value());
    return names;
  }

  Result<void> rename(const std::string& from, const std::string& to) override {
    if (::renameat(folder_.get(), from.c_str(), folder_.get(), to.c_str()) == 0) return {};
    return file_error(path_ / to, "cannot be put in place", errno);
  }

  Result<void> remove(const std::string& name) override {
    if (::unlinkat(folder_.get(), name.c_str(), 0) == 0 || errno == ENOENT) return {};
    return file_error(path_ / name, "cannot be removed", errno);
  }

  Result<void> sync() override {
    while (::fsync(folder_.get()) != 0)
      if (errno != EINTR) return file_error(path_, "its list of files did not reach the disk", errno);
    return {};
  }

  const fs::path& path() const override { return path_; }

 private:
  const Descriptor folder_;
  const Descriptor lock_;
  const fs::path path_;
};

Result<void> check_private(int folder, const fs::path& path) {
  struct stat about {};
  if (::fstat(folder, &about) != 0) return file_error(path, "cannot be looked at", errno);
  if (about.st_uid != ::geteuid() || (about.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail(Errc::invalid,
                fmt::format("cache:persist={}: others may write to this folder; give it to the user that the "
                            "server runs as, with mode 0700, or name another",
                            path.string()));
  return {};
}

}  // namespace

Result<std::shared_ptr<DiskFolder>> open_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), S_IRWXU) != 0 && errno != EEXIST)
    return file_error(path, "the folder of cache:persist cannot be made", errno);
  Descriptor folder(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) return file_error(path, "the folder of cache:persist cannot be opened", errno);
  SMALTI_CHECK(check_private(folder.get(), path));
  Descriptor lock(
      ::openat(folder.get(), "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
  if (lock.get() < 0) return file_error(path / "lock", "cannot be opened", errno);
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return file_error(path / "lock", "cannot be locked", errno);
    return fail(Errc::conflict,
                fmt::format("cache:persist={}: another server has this folder; give each a folder of its own",
                            path.string()));
  }
  return std::shared_ptr<DiskFolder>(std::make_shared<RealFolder>(std::move(folder), std::move(lock), path));
}

}  // namespace smalti
