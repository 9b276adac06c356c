#include "house/probe.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include "smalti/base/call.h"
#include "wire/magick_talk.h"

extern char** environ;

namespace smalti::house {

namespace fs = std::filesystem;
namespace magick = wire::magick;
using magick::Dialect;
using magick::Key;

namespace {

constexpr std::string_view throwaway_secret = "probe";
constexpr auto tls_record = std::byte{0x16};
constexpr int slice_ms = 20;  // between two looks at whether the client still lives

class Fd {
 public:
  explicit Fd(int fd = -1) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_;
};

// A private folder with the secret in it, gone afterwards.
class Folder {
 public:
  static Result<Folder> make() {
    std::string name = (fs::temp_directory_path() / "smalti-probe-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr)
      return fail(Errc::io, fmt::format("cannot make a folder {}", name), errno);
    Folder folder(name);
    std::ofstream policy(folder.path_ / "policy.xml");
    policy << "<policymap>\n  <policy domain=\"cache\" name=\"shared-secret\" value=\"" << throwaway_secret
           << "\"/>\n</policymap>\n";
    return folder;
  }
  Folder(Folder&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  ~Folder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  const fs::path& path() const noexcept { return path_; }

 private:
  explicit Folder(fs::path path) : path_(std::move(path)) {}
  fs::path path_;
};

// The program at work. Dies with this object.
class Child {
 public:
  static Result<Child> run(const std::string& program, const fs::path& folder, std::uint16_t port);
  Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  bool lives() noexcept {
    if (pid_ > 0 && ::waitpid(pid_, nullptr, WNOHANG) != 0) pid_ = -1;
    return pid_ > 0;
  }

 private:
  explicit Child(pid_t pid) noexcept : pid_(pid) {}
  pid_t pid_;
};

Result<Child> Child::run(const std::string& program, const fs::path& folder, std::uint16_t port) {
  // Larger than any tier it is left, so that its pixels go to us; white, so that a sample shows its greatest
  // value.
  std::vector<std::string> words{program,   "-limit",  "memory",
                                 "1KiB",    "-limit",  "map",
                                 "1KiB",    "-limit",  "disk",
                                 "1KiB",    "-define", fmt::format("registry:cache:hosts=127.0.0.1:{}", port),
                                 "-size",   "64x32",   "xc:white",
                                 "-negate", "-negate", (folder / "out.ppm").string()};
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  const std::string path = folder.string();
  std::vector<std::string> settings{"MAGICK_CONFIGURE_PATH=" + path, "SMALTI_CONFIGURE_PATH=" + path};
  for (char** each = environ; *each != nullptr; ++each) {
    const std::string_view entry(*each);
    if (!entry.starts_with("MAGICK_") && !entry.starts_with("SMALTI_")) settings.emplace_back(entry);
  }
  std::vector<char*> envp;
  for (std::string& setting : settings) envp.push_back(setting.data());
  envp.push_back(nullptr);
  posix_spawn_file_actions_t files;
  ::posix_spawn_file_actions_init(&files);
  const std::string words_file = (folder / "stderr").string();
  ::posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  ::posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
  ::posix_spawn_file_actions_addopen(&files, STDERR_FILENO, words_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                     0600);
  pid_t pid = -1;
  const int error = ::posix_spawnp(&pid, program.c_str(), &files, nullptr, argv.data(), envp.data());
  ::posix_spawn_file_actions_destroy(&files);
  if (error != 0) return fail(Errc::invalid, fmt::format("{} cannot be run", program), error);
  return Child(pid);
}

// One run of the client, met by one greeting.
class Encounter {
 public:
  Encounter(Child child, Fd listener, Clock::time_point deadline)
      : child_(std::move(child)), listener_(std::move(listener)), deadline_(deadline) {}

  // False where it never connected.
  bool meet(magick::Bytes greeting) {
    if (!ready(listener_.get())) return false;
    peer_ = Fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    say(greeting);
    return static_cast<bool>(peer_);
  }
  // More of what it says; false at its end.
  bool hear() {
    if (!ready(peer_.get())) return false;
    std::array<std::byte, 65536> some;
    const ssize_t got = ::recv(peer_.get(), some.data(), some.size(), 0);
    if (got <= 0) return false;
    heard.insert(heard.end(), some.begin(), some.begin() + got);
    return true;
  }
  bool hear(std::size_t bytes) {
    while (heard.size() < bytes)
      if (!hear()) return false;
    return true;
  }
  void say(magick::Bytes bytes) { (void)::send(peer_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  void skip(std::size_t bytes) {
    heard.erase(heard.begin(), heard.begin() + static_cast<std::ptrdiff_t>(bytes));
  }

  std::vector<std::byte> heard;

 private:
  bool ready(int fd) {
    while (Clock::now() < deadline_) {
      const bool lives = child_.lives();  // looked at first: what it said before it died is still there
      pollfd one{fd, POLLIN, 0};
      if (::poll(&one, 1, slice_ms) > 0) return true;
      if (!lives) return false;
    }
    return false;
  }

  Child child_;
  Fd listener_;
  Fd peer_;
  Clock::time_point deadline_;
};

class Prober {
 public:
  Prober(const std::string& program, const Folder& folder, Clock::time_point deadline)
      : program_(program), folder_(folder), deadline_(deadline) {}

  Result<Probed> run();

 private:
  Result<std::optional<Encounter>> meet(magick::Bytes greeting);
  Result<std::optional<Probed>> try_dialect(const Dialect&);
  Result<Probed> converse(Encounter&, const Dialect&, const Key&);
  Result<Probed> ask_silent();
  tl::unexpected<Error> not_a_client() const;

  const std::string& program_;
  const Folder& folder_;
  Clock::time_point deadline_;
};

void draw(std::span<std::byte> into) {
  while (::getrandom(into.data(), into.size(), 0) < 0 && errno == EINTR) {
  }
}

Result<std::optional<Encounter>> Prober::meet(magick::Bytes greeting) {
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in here{};
  here.sin_family = AF_INET;
  here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof here;
  if (!listener || ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&here), size) != 0 ||
      ::listen(listener.get(), 8) != 0 ||
      ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&here), &size) != 0)
    return fail(Errc::io, "no port of this host is to be had", errno);
  SMALTI_TRY(Child child, Child::run(program_, folder_.path(), ntohs(here.sin_port)));
  Encounter encounter(std::move(child), std::move(listener), deadline_);
  if (!encounter.meet(greeting)) return std::optional<Encounter>();
  return std::optional<Encounter>(std::move(encounter));
}

tl::unexpected<Error> Prober::not_a_client() const {
  std::ifstream file(folder_.path() / "stderr");
  std::string said{std::istreambuf_iterator<char>(file), {}};
  said = said.substr(0, std::min<std::size_t>(said.find('\n'), 200));
  return fail(Errc::invalid, fmt::format("{} did not come to a pixel server{}{}", program_,
                                         said.empty() ? "" : "; it said: ", said));
}

// Serves it until it has stored something that is not zero. Reads get zeros: its picture does not matter.
Result<Probed> Prober::converse(Encounter& client, const Dialect& dialect, const Key& key) {
  Probed probed{.dialect = dialect};
  magick::Talk talk(dialect.family(), key);
  while (true) {
    const magick::Step step = talk.next(client.heard);
    if (step.kind == magick::Step::Kind::more) {
      if (!client.hear()) return probed;
      continue;
    }
    client.skip(step.used);
    if (step.kind == magick::Step::Kind::open) client.say(talk.opened(true));
    if (step.kind == magick::Step::Kind::destroy || step.kind == magick::Step::Kind::refuse) return probed;
    if (step.kind != magick::Step::Kind::transfer) continue;
    probed.sample_bytes = talk.shape().sample_bytes();
    if (!step.access.write) {
      client.say(std::vector<std::byte>(step.access.length));
      continue;
    }
    if (!client.hear(step.access.length)) return probed;
    const auto payload = std::span(client.heard).first(step.access.length);
    if (std::ranges::any_of(payload, [](std::byte b) { return b != std::byte{0}; })) {
      probed.floating = probed.sample_bytes >= 4 && std::ranges::any_of(payload, [](std::byte b) {
                          return b != std::byte{0} && b != std::byte{0xff};
                        });
      return probed;
    }
    client.skip(step.access.length);
  }
}

Result<std::optional<Probed>> Prober::try_dialect(const Dialect& dialect) {
  const Secret secret(throwaway_secret);
  SMALTI_TRY(const auto greeter, magick::Greeter::make(dialect, secret, draw));
  SMALTI_TRY(auto client, meet(greeter.greeting()));
  if (!client) return not_a_client();
  while (true) {
    const magick::Arrival arrival = greeter.judge(client->heard);
    if (arrival.kind == magick::Arrival::Kind::admitted) {
      client->skip(arrival.used);
      SMALTI_TRY(const Probed probed, converse(*client, dialect, greeter.key()));
      return std::optional(probed);
    }
    if (arrival.kind != magick::Arrival::Kind::more || !client->hear()) return std::optional<Probed>();
  }
}

// It took the greeting and said nothing: a client that expects its own build's signature. Likely builds
// first.
Result<Probed> Prober::ask_silent() {
  for (const char* text : {"s", "s:hdri", "s:im6", "s:q8", "s:im6:hdri", "s:q8:hdri", "s:im6:q8", "s:q32",
                           "s:q32:hdri", "s:masks64", "s:masks64:hdri", "s:interface=11",
                           "s:hdri:interface=11", "s:im6:interface=8", "s:q64", "s:q64:hdri"}) {
    SMALTI_TRY(const Dialect dialect, magick::parse_dialect(text));
    SMALTI_TRY(const auto probed, try_dialect(dialect));
    if (probed) return *probed;
  }
  return fail(
      Errc::unsupported,
      fmt::format("{} comes to a pixel server, but answers no greeting that is known here", program_));
}

Result<Probed> Prober::run() {
  const Secret secret(throwaway_secret);
  std::array<std::byte, 16> nonce;
  draw(nonce);
  nonce[0] = nonce[8] = std::byte{1};
  SMALTI_TRY(auto client, meet(nonce));
  if (!client) return not_a_client();
  if (!client->hear(9)) {
    if (client->heard.size() < 8) return ask_silent();
  }
  Key answer;
  std::ranges::copy(std::span(client->heard).first(answer.size()), answer.begin());
  SMALTI_TRY(const Key n16, magick::answer_to(secret, nonce));
  SMALTI_TRY(const Key n8, magick::answer_to(secret, std::span(nonce).first(8)));
  if (answer == n16 || answer == n8) {
    client.reset();
    SMALTI_TRY(const Dialect dialect, magick::parse_dialect(answer == n16 ? "n16" : "n8"));
    SMALTI_TRY(const auto probed, try_dialect(dialect));
    if (probed) return *probed;
    return not_a_client();
  }
  // Only now: one answer in 256 begins as TLS does.
  if (client->heard[0] == tls_record) return Probed{};
  const auto build = magick::build_behind(std::span(client->heard).subspan(1), nonce);
  if (client->heard[0] != static_cast<std::byte>(magick::Command::open) || !build)
    return fail(Errc::unsupported,
                fmt::format("{} answers a pixel server in a way that is not known here", program_));
  Dialect dialect{magick::Handshake::l, *build};
  dialect.build.family = client->hear(magick::open_bytes_im7) ? magick::Family::im7 : magick::Family::im6;
  client.reset();
  SMALTI_TRY(const auto probed, try_dialect(dialect));
  if (probed) return *probed;
  return not_a_client();
}

std::string samples_of(const Probed& probed) {
  if (probed.sample_bytes == 0) return "";
  return fmt::format(", with samples of {} bits{}", probed.sample_bytes * 8,
                     probed.floating ? ", floating point" : "");
}

}  // namespace

Result<Probed> probe_client(const std::string& program, std::chrono::milliseconds patience) {
  SMALTI_TRY(const Folder folder, Folder::make());
  return Prober(program, folder, Clock::now() + patience).run();
}

std::string advice(const std::string& program, const Probed& probed, std::uint16_t port) {
  if (!probed.dialect) return fmt::format("{} is Smalti itself: every port serves it\n", program);
  const Dialect& dialect = *probed.dialect;
  std::string ports = fmt::format("{}", port);
  std::string define;
  std::uint16_t own = port;
  if (dialect.handshake == magick::Handshake::n8) {
    own = static_cast<std::uint16_t>(port + 1);
    ports += fmt::format(",{}", own);
    define = "-define cache:magick=n16,n8 ";
  } else if (!dialect.proves_the_client()) {
    own = static_cast<std::uint16_t>(port + 1);
    ports += fmt::format(",{}", own);
    define = fmt::format("-define cache:magick=n16,{} ", text_of(dialect));
  }
  std::string text =
      fmt::format("{} speaks ImageMagick's handshake {}{}.\n", program, text_of(dialect), samples_of(probed));
  if (!dialect.proves_the_client())
    text +=
        "That handshake proves nothing about a client: whoever reaches the port can use it. So it serves "
        "this host\n"
        "only, unless -define cache:allow=NETWORK,... names others.\n";
  text += fmt::format(
      "With the same shared-secret in both policies, start the server with\n"
      "  smalti {}-distribute-cache {}\n"
      "and the client with\n"
      "  {} -limit memory 1GiB -limit map 2GiB -limit disk 4GiB -define "
      "registry:cache:hosts=127.0.0.1:{} INPUT ... OUTPUT\n",
      define, ports, program, own);
  return text;
}

}  // namespace smalti::house
