// Log: where a process says what it does. Handed down from main; no globals.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <string_view>

namespace smalti {

enum class Level : std::uint8_t { debug, info, warning, error };

// Thread-safe. A line reaches the sink whole; the sink adds time and level.
class Log {
 public:
  using Sink = std::function<void(Level, std::string_view)>;

  Log() = default;  // says nothing
  explicit Log(Sink sink, Level least = Level::info) : sink_(std::move(sink)), least_(least) {}

  bool wants(Level level) const noexcept { return sink_ && level >= least_; }
  void line(Level, std::string_view text);

  // One line on stderr: "2026-11-22T15:04:05Z smalti[PID] warning: text".
  static Sink stderr_sink();

 private:
  std::mutex mutex_;
  Sink sink_;
  Level least_ = Level::info;
};

}  // namespace smalti
