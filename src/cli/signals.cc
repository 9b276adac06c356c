#include "cli/signals.h"

#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdint>

namespace smalti::cli {

namespace {

bool ignored(int number) {
  struct sigaction action {};
  return ::sigaction(number, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

}  // namespace

Signals::Signals() {
  // A peer that goes away is an error of its connection, not the end of the process.
  ::signal(SIGPIPE, SIG_IGN);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  if (!ignored(SIGHUP)) sigaddset(&set, SIGHUP);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signals_ = ::signalfd(-1, &set, SFD_CLOEXEC);
  done_ = ::eventfd(0, EFD_CLOEXEC);
  watcher_ = std::thread([this] { watch(signals_, done_); });
}

Signals::~Signals() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t told = ::write(done_, &one, sizeof one);
  watcher_.join();
  ::close(signals_);
  ::close(done_);
}

void Signals::watch(int descriptor, int done) {
  while (true) {
    std::array<pollfd, 2> both{{{descriptor, POLLIN, 0}, {done, POLLIN, 0}}};
    if (::poll(both.data(), both.size(), -1) < 0) continue;
    if (both[1].revents != 0) return;
    signalfd_siginfo info{};
    if (::read(descriptor, &info, sizeof info) != static_cast<ssize_t>(sizeof info)) continue;
    const int number = static_cast<int>(info.ssi_signo);
    int none = 0;
    if (!caught_.compare_exchange_strong(none, number)) ::_exit(128 + number);
    source_.request_stop();
  }
}

}  // namespace smalti::cli
