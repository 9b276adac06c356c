#include "store/tile_scan.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <vector>

namespace smalti::tile_file {

namespace {

constexpr std::size_t piece = 1u << 20;    // bytes read at once in search of a record, or to check pixels
constexpr std::size_t first_piece = 4096;  // of a search

bool all_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

class Scanner {
 public:
  Scanner(DiskFile& file, const Head& head, std::uint64_t size)
      : file_(file), salt_(head.salt), size_(size) {}

  Result<Scan> run() {
    SMALTI_CHECK(read_marks());
    SMALTI_CHECK(vouched());
    SMALTI_CHECK(tail());
    out_.whole = at_;
    judge();
    out_.whole = std::min(out_.whole, gap_at_);
    out_.end = at_;
    out_.cut = size_ > out_.whole ? size_ - out_.whole : 0;
    out_.clock = std::max(out_.mark.clock, last_generation_);
    return std::move(out_);
  }

 private:
  Result<void> read_marks() {
    for (const std::uint64_t serial : {0u, 1u}) {
      MarkBytes bytes{};
      SMALTI_TRY(const std::size_t got, file_.read(mark_at(serial), bytes));
      const auto mark = decode_mark(bytes, salt_);
      if (mark && mark->serial % 2 == serial) {
        if (!marked_ || mark->serial > out_.mark.serial) out_.mark = *mark;
        marked_ = true;
      } else if (got < bytes.size() || !all_zero(bytes)) {
        mark_damaged_ = true;
      }
    }
    if (!marked_) out_.mark = Mark{};
    return {};
  }

  // Up to where the mark vouches for it: what is not a record there is damage, and the next one is looked
  // for.
  Result<void> vouched() {
    const std::uint64_t until = std::min(out_.mark.end, size_);
    while (at_ < until) {
      SMALTI_TRY(const auto record, record_at(at_));
      if (record && at_ + record->stored_bytes() <= out_.mark.end) {
        if (at_ + record->stored_bytes() > size_) break;
        take(*record);
        continue;
      }
      const std::uint64_t from = at_;
      SMALTI_CHECK(search(until));
      lost(from, at_);
    }
    if (size_ < out_.mark.end) gap(std::max(at_, size_));  // truncated
    return {};
  }

  // What no mark vouches for counts up to the first that is not whole, pixels included.
  Result<void> tail() {
    while (at_ < size_) {
      SMALTI_TRY(const auto record, record_at(at_));
      if (!record || at_ + record->stored_bytes() > size_) break;
      if (!record->taken_away) {
        SMALTI_TRY(const std::uint64_t sum, pixels_sum(*record));
        if (sum != record->checksum) break;
      }
      take(*record);
      ++tail_records_;
      tail_replacing_ += record->replaces;
    }
    return {};
  }

  void judge() {
    const bool unsure = !marked_ || (mark_damaged_ && at_ < size_);
    const bool miscounted = marked_ && records_ - tail_records_ != out_.mark.records;
    if (marked_) {
      out_.incomplete = miscounted || unsure;
      if (replacing_ - tail_replacing_ != out_.mark.replacing) out_.doubt = std::max(last_lost_, records_at);
      if (miscounted && last_lost_ == 0) out_.doubt = at_;
    }
    if (unsure) {
      out_.incomplete = true;
      gap(at_);
      out_.doubt = at_;
    }
    if (mark_damaged_) add("a mark is damaged");
    if (!marked_) add("no mark is left that says how far it was written");
    out_.records = out_.mark.records + tail_records_ + unsure;
    out_.replacing = out_.mark.replacing + tail_replacing_ + unsure;
  }

  void take(const Record& record) {
    ++records_;
    replacing_ += record.replaces;
    last_generation_ = record.generation;
    if (record.taken_away)
      out_.index.erase(record.cell);
    else
      out_.index[record.cell] = {at_, record.generation, static_cast<std::uint32_t>(record.pixel_bytes())};
    at_ += record.stored_bytes();
  }

  void lost(std::uint64_t from, std::uint64_t until) {
    last_lost_ = until;
    if (++holes_ <= 8) add(fmt::format("bytes {} to {} are no records any more", from, until));
  }
  // Nothing is ever put into these bytes, so that the next scan, too, sees that something was lost before
  // them.
  void gap(std::uint64_t from) {
    const std::uint64_t until = (from + record_bytes - 1) / record_bytes * record_bytes + record_bytes;
    gap_at_ = std::min(gap_at_, at_);
    lost(at_, until);
    at_ = until;
  }
  void add(std::string_view what) {
    if (!out_.damage.empty()) out_.damage += "; ";
    out_.damage += what;
  }

  // Generations grow along the file: what stood there in an earlier life is no record.
  Result<std::optional<Record>> record_at(std::uint64_t offset) {
    if (offset < window_at_ || offset + record_bytes > window_at_ + window_bytes_) {
      SMALTI_TRY(window_bytes_, file_.read(offset, window_));
      window_at_ = offset;
    }
    const std::size_t in = offset - window_at_;
    if (window_bytes_ < in + record_bytes) return std::optional<Record>();
    auto record = decode_record(std::span<const std::byte, record_bytes>(window_.data() + in, record_bytes),
                                salt_, offset);
    if (record && record->generation <= last_generation_) record.reset();
    return record;
  }

  // Leaves at_ at the next record before `until`, or there. Reads little at first: where every other record is
  // damaged each search ends at once.
  Result<void> search(std::uint64_t until) {
    std::vector<std::byte> bytes;
    std::uint64_t at = at_ + record_bytes;
    for (std::size_t most = first_piece; at < until; most = std::min(2 * most, piece)) {
      bytes.resize(std::min<std::uint64_t>(most, until - at));
      SMALTI_TRY(const std::size_t got, file_.read(at, bytes));
      if (got < record_bytes) break;
      for (std::size_t in = 0; in + record_bytes <= got; in += record_bytes) {
        const auto record = decode_record(
            std::span<const std::byte, record_bytes>(bytes.data() + in, record_bytes), salt_, at + in);
        if (!record || record->generation <= last_generation_ || at + in + record->stored_bytes() > until)
          continue;
        at_ = at + in;
        return {};
      }
      at += got / record_bytes * record_bytes;
    }
    at_ = until;
    return {};
  }

  Result<std::uint64_t> pixels_sum(const Record& record) {
    const std::unique_ptr<XXH3_state_t, XXH_errorcode (*)(XXH3_state_t*)> state(XXH3_createState(),
                                                                                &XXH3_freeState);
    XXH3_64bits_reset(state.get());
    std::vector<std::byte> bytes(std::min<std::uint64_t>(piece, record.pixel_bytes()));
    for (std::uint64_t done = 0; done < record.pixel_bytes();) {
      const auto into =
          std::span(bytes).first(std::min<std::uint64_t>(bytes.size(), record.pixel_bytes() - done));
      SMALTI_TRY(const std::size_t got, file_.read(record.offset + record_bytes + done, into));
      if (got < into.size()) return record.checksum + 1;
      XXH3_64bits_update(state.get(), into.data(), into.size());
      done += into.size();
    }
    return XXH3_64bits_digest(state.get());
  }

  DiskFile& file_;
  const std::uint64_t salt_;
  const std::uint64_t size_;
  Scan out_;
  bool marked_ = false, mark_damaged_ = false;
  std::uint64_t at_ = records_at;
  std::uint64_t last_generation_ = 0;
  std::uint64_t records_ = 0, replacing_ = 0, tail_records_ = 0, tail_replacing_ = 0;
  std::uint64_t last_lost_ = 0, holes_ = 0;
  std::uint64_t gap_at_ = ~std::uint64_t{0};
  std::array<std::byte, 4096> window_{};
  std::uint64_t window_at_ = 0;
  std::size_t window_bytes_ = 0;
};

}  // namespace

Result<Scan> scan(DiskFile& file, const Head& head) {
  SMALTI_TRY(const std::uint64_t size, file.size());
  return Scanner(file, head, size).run();
}

}  // namespace smalti::tile_file
