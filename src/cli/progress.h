// ProgressBar: how far the work is. On a terminal one line that is rewritten, for work that takes over a
// second; with -monitor always, and line by line where it is no terminal; else nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

#include "smalti/base/call.h"

namespace smalti::cli {

enum class ProgressStyle : std::uint8_t { none, bar, lines };

// What fits: a terminal gets a bar, -monitor at least lines.
ProgressStyle style_for(bool terminal, bool monitor) noexcept;

// "sharpening photo.jpg  [#########           ]  45%", at most `width` columns.
std::string bar_text(std::string_view what, std::uint64_t done, std::uint64_t of, std::size_t width);

// Thread-safe.
class ProgressBar {
 public:
  // `quiet_for`: nothing is shown earlier.
  ProgressBar(int descriptor, ProgressStyle style, Clock::duration quiet_for);
  ~ProgressBar() { clear(); }
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void report(std::string_view what, std::uint64_t done, std::uint64_t of);
  // Removes the bar from the terminal, so that a line of text may follow.
  void clear();

 private:
  void draw(std::string_view text);

  const int descriptor_;
  const ProgressStyle style_;
  const Clock::time_point from_;
  std::mutex mutex_;
  bool drawn_ = false;          // guarded by mutex_
  std::string last_what_;       // guarded by mutex_
  std::uint64_t last_ten_ = 0;  // tenths told of it; guarded by mutex_
};

}  // namespace smalti::cli
