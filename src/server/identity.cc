#include "server/identity.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <system_error>
#include <utility>

namespace smalti::server {

namespace {

using wire::native::Id;
constexpr int most_alike = 64;  // servers of one port on one host
constexpr std::size_t digits = 2 * sizeof(Id);

std::optional<Id> parse(std::string_view text) {
  Id id{};
  if (text.size() < digits) return std::nullopt;
  for (std::size_t i = 0; i < id.size(); ++i) {
    unsigned value = 0;
    const char* first = text.data() + 2 * i;
    if (std::from_chars(first, first + 2, value, 16).ptr != first + 2) return std::nullopt;
    id[i] = static_cast<std::byte>(value);
  }
  return id;
}

// What the file says, or `fresh` written to it. False: errno tells.
bool read_or_write(int file, const Id& fresh, Id& id) {
  std::array<char, digits> text{};
  const ssize_t got = ::pread(file, text.data(), text.size(), 0);
  if (got < 0) return false;
  if (const auto known = parse({text.data(), static_cast<std::size_t>(got)})) {
    id = *known;
    return true;
  }
  const std::string line = ImageId{fresh}.text() + "\n";
  if (::ftruncate(file, 0) != 0) return false;
  const ssize_t put = ::pwrite(file, line.data(), line.size(), 0);
  if (put >= 0 && put != static_cast<ssize_t>(line.size())) errno = ENOSPC;
  if (put != static_cast<ssize_t>(line.size()) || ::fsync(file) != 0) return false;
  id = fresh;
  return true;
}

}  // namespace

Identity::Identity() : id_(ImageId::fresh().raw) {
  const Id random = ImageId::fresh().raw;
  std::memcpy(&incarnation_, random.data(), sizeof incarnation_);
}

Identity::Identity(Identity&& other) noexcept
    : id_(other.id_), incarnation_(other.incarnation_), lock_(std::exchange(other.lock_, -1)) {}

Identity::~Identity() {
  if (lock_ >= 0) ::close(lock_);
}

Identity Identity::claim(const std::filesystem::path& folder, std::uint16_t port, Log& log) {
  Identity self;
  if (folder.empty()) return self;
  std::error_code ignored;
  std::filesystem::create_directories(folder, ignored);
  std::filesystem::path path;
  for (int n = 1; n <= most_alike; ++n) {
    path = folder / (n == 1 ? fmt::format("server-id-{}", port) : fmt::format("server-id-{}-{}", port, n));
    const int file = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (file < 0) break;
    if (::flock(file, LOCK_EX | LOCK_NB) != 0) {
      const bool taken = errno == EWOULDBLOCK;
      ::close(file);
      if (taken) continue;
      break;
    }
    if (read_or_write(file, self.id_, self.id_)) {
      self.lock_ = file;
      return self;
    }
    const int sys = errno;
    ::close(file);
    errno = sys;
    break;
  }
  log.line(Level::warning,
           fmt::format("{}: the server's id cannot be kept ({}); clients will take a restart of this "
                       "server for another server",
                       path.string(), std::strerror(errno)));
  return self;
}

}  // namespace smalti::server
