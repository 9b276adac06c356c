#include "client/coding.h"

#include <algorithm>

#include "wire/tile_coding.h"

namespace smalti::client {

namespace {

// A window: enough to tell rates apart, and short beside a job that is worth it.
constexpr std::uint64_t window_bytes = 4u << 20;
constexpr std::chrono::milliseconds window_time{5};
constexpr std::uint64_t first_patience = 64u << 20;
constexpr std::uint64_t most_patience = 16ull << 30;
constexpr double worth_it = 0.9;          // of the time without
constexpr double slow_enough = 1.0;       // nanoseconds a byte; on faster links no coder is even tried
constexpr std::size_t most_images = 256;  // whose trials are remembered
constexpr std::array coders{wire::native::Coder::lz4, wire::native::Coder::zstd};

double nanoseconds(Clock::duration span) {
  return static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(span).count());
}

}  // namespace

// The coder that ought to be the quickest, if any is quicker than none. Coding, sending and decoding overlap.
Coding::Coder Coding::promising(const ImageId& image) const {
  const auto known = images_.find(image);
  if (one_host_ || known == images_.end() || pace_.raw < slow_enough) return Coder::none;
  Coder best = Coder::none;
  double least = pace_.raw * worth_it;
  for (std::size_t i = 0; i < coders.size(); ++i) {
    const Trial& trial = known->second[i];
    const double pace = std::max({trial.share * pace_.raw, trial.code, trial.decode});
    if (pace >= least) continue;
    least = pace;
    best = coders[i];
  }
  return best;
}

void Coding::within_one_host() {
  const std::lock_guard lock(mutex_);
  one_host_ = true;
}

Coding::Coder Coding::begin(const ImageId& image, Clock::time_point now) {
  if (wish_ != Compress::automatic)
    return wish_ == Compress::lz4 ? Coder::lz4 : wish_ == Compress::zstd ? Coder::zstd : Coder::none;
  const std::lock_guard lock(mutex_);
  if (active_++ == 0) busy_since_ = now;
  const Coder coder = promising(image);
  return coding_ != trying_ ? coder : Coder::none;
}

void Coding::end(Coder coder, std::uint64_t bytes, Clock::time_point now) {
  if (wish_ != Compress::automatic) return;
  const std::lock_guard lock(mutex_);
  bytes_ += bytes;
  if (coder != Coder::none) coded_bytes_ += bytes;
  const auto busy = busy_ + (now - busy_since_);
  if (--active_ == 0) busy_ = busy;
  if (bytes_ < window_bytes || busy < window_time) return;
  close_window(nanoseconds(busy), now);
}

// REQUIRES: mutex_ is held.
void Coding::close_window(double span, Clock::time_point now) {
  const double pace = span / static_cast<double>(bytes_);
  const bool coded = coded_bytes_ * 10 >= bytes_ * 9;
  const bool raw = coded_bytes_ * 10 <= bytes_;
  const std::uint64_t moved = bytes_;
  bytes_ = coded_bytes_ = 0;
  busy_ = {};
  busy_since_ = now;
  if (coded) pace_.coded = pace;
  if (raw) pace_.raw = pace;
  // Mixed windows say nothing: the way was changed within them.
  if (trying_ && (coding_ ? raw : coded)) {
    trying_ = false;
    const bool better = pace_.coded < pace_.raw * 0.97;
    patience_ = better == coding_ ? std::min(patience_ * 4, most_patience) : first_patience;
    coding_ = better;
    to_other_ = patience_;
    return;
  }
  if (trying_ && raw && !coding_) trying_ = false;  // nothing was promising after all
  if (patience_ == 0 && pace_.raw > 0) patience_ = first_patience, to_other_ = 0;
  to_other_ -= std::min(to_other_, moved);
  if (coding_ && coded && pace_.coded > pace_.raw) to_other_ = 0;  // others want the cores by now, perhaps
  if (to_other_ == 0 && patience_ > 0) trying_ = true;
}

bool Coding::curious(const ImageId& image) const {
  if (wish_ != Compress::automatic) return false;
  const std::lock_guard lock(mutex_);
  return !one_host_ && pace_.raw >= slow_enough && !images_.contains(image);
}

void Coding::try_on(const ImageId& image, const Tile& tile) {
  {
    const std::lock_guard lock(mutex_);
    if (images_.size() >= most_images) images_.clear();
    if (!images_.emplace(image, Trials{}).second) return;  // another thread is at it
  }
  const auto bytes = static_cast<double>(tile.charge());
  Trials trials;
  for (std::size_t i = 0; i < coders.size(); ++i) {
    const auto begun = Clock::now();
    const auto coded = wire::native::encode_tile(tile, coders[i], heap_);
    const auto between = Clock::now();
    if (!coded || !*coded) continue;
    const auto again = wire::native::decode_tile(coded->bytes(), tile.pixels().size, tile.pixels().format, heap_);
    if (!again) continue;
    const double code = nanoseconds(between - begun) / bytes;
    trials[i] = {code, nanoseconds(Clock::now() - between) / bytes, static_cast<double>(coded->charge()) / bytes};
  }
  const std::lock_guard lock(mutex_);
  images_[image] = trials;
}

}  // namespace smalti::client
