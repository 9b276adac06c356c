#include "cli/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>

namespace smalti::cli {

namespace {

constexpr std::size_t bar_width = 24;  // columns between the brackets

std::size_t terminal_width(int descriptor) {
  winsize size{};
  if (::ioctl(descriptor, TIOCGWINSZ, &size) == 0 && size.ws_col > 20) return size.ws_col;
  return 80;
}

std::uint64_t share(std::uint64_t done, std::uint64_t of, std::uint64_t parts) {
  if (of == 0) return 0;
  return static_cast<std::uint64_t>(static_cast<double>(std::min(done, of)) / static_cast<double>(of) *
                                    static_cast<double>(parts));
}

}  // namespace

ProgressStyle style_for(bool terminal, bool monitor) noexcept {
  if (terminal) return ProgressStyle::bar;
  return monitor ? ProgressStyle::lines : ProgressStyle::none;
}

std::string bar_text(std::string_view what, std::uint64_t done, std::uint64_t of, std::size_t width) {
  const std::size_t filled = share(done, of, bar_width);
  const std::string tail =
      fmt::format("  [{:#<{}}{: <{}}] {:>3}%", "", filled, "", bar_width - filled, share(done, of, 100));
  const std::size_t room = width > tail.size() ? width - tail.size() : 0;
  return fmt::format("{}{}", what.substr(0, room), tail);
}

ProgressBar::ProgressBar(int descriptor, ProgressStyle style, Clock::duration quiet_for)
    : descriptor_(descriptor), style_(style), from_(Clock::now() + quiet_for) {}

void ProgressBar::report(std::string_view what, std::uint64_t done, std::uint64_t of) {
  if (style_ == ProgressStyle::none || Clock::now() < from_) return;
  const std::lock_guard lock(mutex_);
  if (style_ == ProgressStyle::bar) {
    draw("\r\x1b[K" + bar_text(what, done, of, terminal_width(descriptor_) - 1));
    drawn_ = true;
    return;
  }
  const std::uint64_t ten = share(done, of, 10);
  if (what == last_what_ && ten == last_ten_) return;
  last_what_ = what;
  last_ten_ = ten;
  draw(fmt::format("{}: {} of {}, {}% complete\n", what, done, of, share(done, of, 100)));
}

void ProgressBar::clear() {
  const std::lock_guard lock(mutex_);
  if (drawn_) draw("\r\x1b[K");
  drawn_ = false;
}

void ProgressBar::draw(std::string_view text) {
  [[maybe_unused]] const ssize_t written = ::write(descriptor_, text.data(), text.size());
}

}  // namespace smalti::cli
