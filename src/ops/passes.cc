#include "ops/passes.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <utility>

#include "ops/cached_sink.h"

namespace smalti::ops {

namespace {

CacheCounts difference(const CacheCounts& now, const CacheCounts& before) {
  CacheCounts out;
  for (auto field :
       {&CacheCounts::reads, &CacheCounts::writes, &CacheCounts::tiles_hot, &CacheCounts::tiles_got,
        &CacheCounts::bytes_got, &CacheCounts::tiles_put, &CacheCounts::bytes_put, &CacheCounts::window_hits,
        &CacheCounts::ahead_got, &CacheCounts::ahead_used, &CacheCounts::wait_ns})
    out.*field = now.*field - before.*field;
  return out;
}

// Seconds that this machine's cores were idle since it started, summed: the first line of /proc/stat is "cpu", then user,
// nice, system, idle and iowait in ticks.
std::optional<double> cores_idle() {
  std::ifstream file("/proc/stat");
  std::string cpu;
  double user = 0, nice = 0, system = 0, idle = 0, disk = 0;
  if (!(file >> cpu >> user >> nice >> system >> idle >> disk) || cpu != "cpu") return std::nullopt;
  return (idle + disk) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

// The rows of the source that are under way at a time, and what decoder and encoder keep.
std::uint64_t streaming_bytes(const Workshop& workshop, const PictureState& state) {
  const ImageSpec& source = state.cache->spec();
  const double scale = std::max(1.0, static_cast<double>(source.size.h) / state.image->Ysize);
  const std::uint64_t line = source.size.w * source.format.pixel_bytes();
  constexpr double rows_in_hand = 192;  // of the result
  return static_cast<std::uint64_t>(rows_in_hand * scale) * line + decoding_bytes(line) +
         pipeline_bytes(workshop, state.image.get());
}

}  // namespace

Passing::Passing(const Workshop& workshop, const PictureState& state, std::string into)
    : workshop_(workshop), state_(state), into_(std::move(into)), from_(Clock::now()) {
  if (!workshop_.passed) return;
  idle_before_ = cores_idle();
  if (state_.cache) before_ = state_.cache->counts();
  for (const WorkPtr& work : state_.works) computed_before_.push_back(work->nanoseconds);
}

void Passing::told() const {
  if (!workshop_.passed) return;
  Pass pass;
  pass.file = state_.file;
  pass.scene = state_.scene;
  pass.into = into_;
  pass.seconds = std::chrono::duration<double>(Clock::now() - from_).count();
  pass.threads = std::max(1u, workshop_.threads);
  if (const auto idle = cores_idle(); idle && idle_before_) pass.cores_idle = std::max(0.0, *idle - *idle_before_);
  for (std::size_t i = 0; i < state_.works.size(); ++i)
    pass.operators.push_back(
        {state_.works[i]->what,
         static_cast<double>(state_.works[i]->nanoseconds - computed_before_[i]) * 1e-9});
  pass.cached = state_.cache != nullptr;
  pass.streamed = state_.once;
  if (pass.cached) pass.reading = difference(state_.cache->counts(), before_);
  if (pass.cached && state_.streams) pass.could_stream_in = streaming_bytes(workshop_, state_);
  workshop_.passed(pass);
}

}  // namespace smalti::ops
