// Complaints: what the log says of strangers, who may come in floods and would fill the disk with it.
#pragma once

#include <cstdint>
#include <string>

#include "smalti/base/call.h"
#include "smalti/base/log.h"

namespace smalti::server {

// Used on one loop only. At most `most` lines a second; the next one after a flood says how many were left
// out.
class Complaints {
 public:
  explicit Complaints(Log& log, std::uint32_t most = 20) : log_(log), most_(most) {}

  void say(const std::string& text, Clock::time_point now = Clock::now()) {
    if (now - since_ >= std::chrono::seconds(1)) {
      if (left_out_ > 0)
        log_.line(Level::warning, std::to_string(left_out_) + " more such connections were not worth a line");
      since_ = now;
      said_ = left_out_ = 0;
    }
    if (said_ >= most_) {
      ++left_out_;
      return;
    }
    ++said_;
    log_.line(Level::warning, text);
  }

 private:
  Log& log_;
  const std::uint32_t most_;
  Clock::time_point since_{};
  std::uint32_t said_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace smalti::server
