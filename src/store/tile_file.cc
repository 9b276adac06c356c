#include "store/tile_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "store/open_images.h"

namespace smalti {

using namespace tile_file;

namespace {

constexpr std::uint64_t clock_leap = 1ull
                                     << 32;  // over generations that a crash made us forget; twice at most
constexpr std::size_t piece = 1u << 20;      // bytes copied at once

Result<void> write_mark(DiskFile& file, const Mark& mark, std::uint64_t salt) {
  return file.write(mark_at(mark.serial), encode(mark, salt));
}

// Head and one mark; the other mark's place is all zero.
Result<void> begin(DiskFile& file, const Head& head, const Mark& mark) {
  const std::array<std::byte, block> zero{};
  for (std::uint64_t at = 0; at < records_at; at += block) SMALTI_CHECK(file.write(at, zero));
  SMALTI_CHECK(file.write(0, encode(head)));
  return write_mark(file, mark, head.salt);
}

std::uint64_t random_salt() {
  const ImageId random = ImageId::fresh();
  std::uint64_t salt = 0;
  std::copy_n(random.raw.begin(), sizeof salt, reinterpret_cast<std::byte*>(&salt));
  return salt;
}

// Copies pixels as they are: whoever gets them checks them.
Result<void> copy_pixels(DiskFile& from, std::uint64_t from_at, DiskFile& to, std::uint64_t to_at,
                         std::uint64_t bytes) {
  std::vector<std::byte> some(std::min<std::uint64_t>(piece, bytes));
  for (std::uint64_t done = 0; done < bytes;) {
    const auto now = std::span(some).first(std::min<std::uint64_t>(some.size(), bytes - done));
    SMALTI_TRY(const std::size_t got, from.read(from_at + done, now));
    if (got == 0) return fail(Errc::corrupt, "the file ends too early");
    SMALTI_CHECK(to.write(to_at + done, now.first(got)));
    done += got;
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<TileFile>> TileFile::make(Parts parts, const ImageId& image, const ImageSpec& spec) {
  SMALTI_CHECK(spec.check());
  std::unique_ptr<TileFile> out(new TileFile(parts, image));
  out->head_ = {image, spec, random_salt()};
  SMALTI_TRY(out->hold_, parts.ledger.take(Resource::disk, records_at));
  SMALTI_TRY(auto file, parts.files.make(new_name_of(image)));
  if (auto begun = begin(*file, out->head_, Mark{}); !begun) {
    (void)parts.folder.remove(new_name_of(image));
    return pass(std::move(begun.error()));
  }
  parts.files.keep(image, std::move(file));
  return out;
}

std::unique_ptr<TileFile> TileFile::recover(Parts parts, const ImageId& image,
                                            std::vector<std::string>& complaints) {
  std::unique_ptr<TileFile> out(new TileFile(parts, image));
  out->named_ = true;
  if (auto loaded = out->load(complaints); !loaded) {
    out->head_ = {};
    out->broken_ = pass(std::move(loaded.error()), out->place()).value();
    complaints.push_back(out->broken_->what + ": the image is lost unless the file is restored");
  }
  return out;
}

Result<void> TileFile::load(std::vector<std::string>& complaints) {
  SMALTI_TRY(const auto opened, file());
  SMALTI_TRY(const std::uint64_t size, opened->size());
  hold_ = parts_.ledger.charge(Resource::disk, size);
  HeadBytes bytes{};
  SMALTI_TRY(const std::size_t got, opened->read(0, bytes));
  if (got < bytes.size()) return fail(Errc::corrupt, "it ends within its head");
  SMALTI_TRY(head_, decode_head(bytes));
  if (head_.image != image_) return fail(Errc::corrupt, "it holds image " + head_.image.text());
  SMALTI_TRY(Scan found, scan(*opened, head_));
  if (found.whole != size) SMALTI_CHECK(opened->resize(found.whole));
  if (found.end != found.whole) SMALTI_CHECK(opened->resize(found.end));
  // What is cut off must not come back behind what is added next.
  if (found.whole != size || found.end != size) SMALTI_CHECK(opened->sync());
  if (found.cut > 0 && found.damage.empty())
    complaints.push_back(
        fmt::format("{}: {} bytes at its end were never acknowledged and are cut off", place(), found.cut));
  if (!found.damage.empty()) {
    damage_ = fmt::format("{} is damaged: {}", place(), found.damage);
    complaints.push_back(damage_ + "; what is lost is an error to whoever asks for it");
  }
  incomplete_ = found.incomplete;
  doubt_ = found.doubt;
  serial_ = found.mark.serial;
  synced_end_ = found.mark.end;
  end_ = found.end;
  clock_ = found.clock + clock_leap + random_salt() % clock_leap;
  records_ = found.records;
  replacing_ = found.replacing;
  index_ = std::move(found.index);
  for (const auto& [cell, at] : index_) {
    bytes_ += at.pixel_bytes;
    stored_ += (record_bytes + at.pixel_bytes + record_bytes - 1) / record_bytes * record_bytes;
  }
  return {};
}

Result<void> TileFile::usable() const {
  if (broken_) return pass(*broken_);
  return {};
}

tl::unexpected<Error> TileFile::damaged(const TileKey& key, std::string_view how) const {
  return fail(Errc::corrupt, fmt::format("{}: {} is damaged: {}; put the image again, or restore the file",
                                         text(key), place(), how));
}

Result<std::shared_ptr<DiskFile>> TileFile::file() { return parts_.files.get(image_, file_name()); }

Result<std::optional<Tile>> TileFile::get(const TileKey& key) {
  SMALTI_CHECK(usable());
  std::shared_ptr<DiskFile> from;
  Place at;
  {
    const std::lock_guard lock(mutex_);
    const auto found = index_.find(cell_of(key));
    if (found == index_.end()) {
      if (incomplete_ && !removed_)
        return damaged(key, "records were lost, and this tile may be one of them");
      return std::optional<Tile>();
    }
    at = found->second;
    if (at.offset < doubt_)
      return damaged(key, "records were lost, and a newer one of this tile may be one of them");
    SMALTI_TRY(from, file());
  }
  RecordBytes head{};
  SMALTI_TRY(std::size_t got, from->read(at.offset, head));
  const auto record = got < head.size() ? std::nullopt : decode_record(head, head_.salt, at.offset);
  if (!record || record->cell != cell_of(key) || record->pixel_bytes() != at.pixel_bytes)
    return damaged(key, "its record is not the one that was written");
  SMALTI_TRY(TileDraft draft, TileDraft::make(record->size, record->format, parts_.heap));
  SMALTI_TRY(got, from->read(at.offset + record_bytes, draft.bytes()));
  if (got < draft.bytes().size()) return damaged(key, "it ends within the tile");
  const Tile tile = std::move(draft).freeze();
  if (tile.computed_checksum() != record->checksum)
    return damaged(key, "the tile's bytes are not those that were written");
  return std::optional<Tile>(tile.marked_with(record->checksum));
}

// Beyond the limit only for what will free as much soon, when the file is written anew.
Result<Hold> TileFile::room_for(std::uint64_t bytes, bool frees) {
  Hold hold;
  if (parts_.ledger.try_take(Resource::disk, bytes, hold)) return hold;
  if (!frees || waste() > stored_ + parts_.waste) return pass(parts_.ledger.exhausted(Resource::disk, bytes));
  return parts_.ledger.charge(Resource::disk, bytes);
}

Result<void> TileFile::append(DiskFile& to, const Record& record, const Tile& tile) {
  SMALTI_CHECK(to.write(record.offset, encode(record, head_.salt)));
  SMALTI_CHECK(to.write(record.offset + record_bytes, tile.bytes()));
  const std::uint64_t padding = record.stored_bytes() - record_bytes - record.pixel_bytes();
  const RecordBytes zero{};
  return padding == 0
             ? Result<void>()
             : to.write(record.offset + record.stored_bytes() - padding, std::span(zero).first(padding));
}

Result<Generation> TileFile::put(const TilePut& one) {
  SMALTI_CHECK(usable());
  if (one.tile.charge() > std::numeric_limits<std::uint32_t>::max())
    return fail(Errc::invalid, fmt::format("{} has more than 4 GiB", text(one.key)));
  bool wasteful = false;
  Record record;
  {
    const std::lock_guard writing(writing_);
    if (failed_) return pass(*failed_);
    std::optional<Place> old;
    std::shared_ptr<DiskFile> to;
    {
      const std::lock_guard lock(mutex_);
      if (removed_) return not_open(one.key);
      if (const auto found = index_.find(cell_of(one.key)); found != index_.end()) old = found->second;
      SMALTI_TRY(to, file());
    }
    if (one.only_if && static_cast<std::uint64_t>(*one.only_if) != (old ? old->generation : 0))
      return fail(Errc::conflict, fmt::format("{} was changed by another writer", text(one.key)));
    if (!one.tile && !old) return Generation::none;
    record = {.taken_away = !one.tile,
              .replaces = old.has_value(),
              .cell = cell_of(one.key),
              .generation = clock_ + 1,
              .offset = end_};
    if (one.tile) {
      record.size = one.tile.pixels().size;
      record.format = one.tile.pixels().format;
      record.checksum = one.tile.checksum();
    }
    SMALTI_TRY(Hold hold,
               room_for(record.stored_bytes(), !one.tile || (old && old->pixel_bytes >= one.tile.charge())));
    if (auto done = append(*to, record, one.tile); !done) {
      (void)to->resize(end_);
      return pass(std::move(done.error()));
    }
    hold_.add(std::move(hold));
    end_ += record.stored_bytes();
    ++clock_;
    ++records_;
    replacing_ += record.replaces;
    const std::lock_guard lock(mutex_);
    if (old) {
      bytes_ -= old->pixel_bytes;
      stored_ -= (record_bytes + old->pixel_bytes + record_bytes - 1) / record_bytes * record_bytes;
    }
    if (one.tile) {
      index_[record.cell] = {record.offset, record.generation,
                             static_cast<std::uint32_t>(record.pixel_bytes())};
      bytes_ += record.pixel_bytes();
      stored_ += record.stored_bytes();
    } else {
      index_.erase(record.cell);
    }
    wasteful = waste() > stored_ + parts_.waste;
  }
  if (wasteful) rewrite();
  return one.tile ? Generation{record.generation} : Generation::none;
}

Result<void> TileFile::sync() {
  SMALTI_CHECK(usable());
  const std::lock_guard syncing(syncing_);
  std::shared_ptr<DiskFile> to;
  Mark mark;
  {
    const std::lock_guard writing(writing_);
    if (failed_) return pass(*failed_);
    mark = {serial_ + 1, end_, clock_, records_, replacing_};
    if (named_ && synced_end_ == end_) return {};
    const std::lock_guard lock(mutex_);
    if (removed_) return {};
    SMALTI_TRY(to, file());
  }
  auto done = to->sync();
  if (done) done = write_mark(*to, mark, head_.salt);
  if (done) done = to->sync();
  if (done && !named_) done = put_in_place();
  if (!done) {
    // The system may have given up on the pages that failed, and would call the next sync a success.
    const std::lock_guard writing(writing_);
    failed_ = done.error();
    return done;
  }
  serial_ = mark.serial;
  synced_end_ = mark.end;
  return {};
}

Result<void> TileFile::put_in_place() {
  {
    const std::lock_guard lock(mutex_);
    SMALTI_CHECK(parts_.folder.rename(new_name_of(image_), name_of(image_)));
    named_ = true;
  }
  return parts_.folder.sync();
}

Result<void> TileFile::remove() {
  const std::scoped_lock all(syncing_, writing_, mutex_);
  removed_ = true;
  index_.clear();
  bytes_ = stored_ = 0;
  parts_.files.forget(image_);
  auto done = parts_.folder.remove(file_name());
  hold_.release();
  return done;
}

TileFile::Figures TileFile::figures() const {
  const std::lock_guard lock(mutex_);
  return {index_.size(), bytes_};
}

std::uint64_t TileFile::waste() const { return end_ - records_at - stored_; }

void TileFile::rewrite() {
  const std::scoped_lock both(syncing_, writing_);
  const std::uint64_t now = waste();
  if (now <= std::max(stored_ + parts_.waste, 2 * waste_found_) || failed_ || incomplete_ || removed_) return;
  if (rewrite_now()) {
    waste_found_ = 0;
    return;
  }
  waste_found_ = now;  // the old file is as good as before
  (void)parts_.folder.remove(copy_name_of(image_));
}

// Into a second file, which takes the place of the first when it is whole and on the disk. REQUIRES: syncing_
// and writing_.
Result<void> TileFile::rewrite_now() {
  Hold hold = parts_.ledger.charge(Resource::disk, records_at + stored_);
  SMALTI_TRY(const auto from, file());
  SMALTI_TRY(const auto to, parts_.files.make(copy_name_of(image_)));
  std::vector<std::pair<Cell, Place>> order(index_.begin(), index_.end());
  std::sort(order.begin(), order.end(),
            [](const auto& a, const auto& b) { return a.second.offset < b.second.offset; });
  Mark mark{.serial = serial_ + 1, .clock = clock_, .records = order.size()};
  SMALTI_CHECK(begin(*to, head_, mark));
  Index index;
  for (const auto& [cell, at] : order) {
    RecordBytes head{};
    SMALTI_TRY(const std::size_t got, from->read(at.offset, head));
    auto record = got < head.size() ? std::nullopt : decode_record(head, head_.salt, at.offset);
    if (!record || record->cell != cell) return fail(Errc::corrupt, "a record is damaged");
    record->offset = mark.end;
    record->replaces = false;
    SMALTI_CHECK(to->write(mark.end, encode(*record, head_.salt)));
    SMALTI_CHECK(
        copy_pixels(*from, at.offset + record_bytes, *to, mark.end + record_bytes, record->pixel_bytes()));
    index[cell] = {mark.end, at.generation, at.pixel_bytes};
    mark.end += record->stored_bytes();
  }
  SMALTI_CHECK(to->resize(mark.end));
  SMALTI_CHECK(write_mark(*to, mark, head_.salt));
  SMALTI_CHECK(to->sync());
  {
    const std::lock_guard lock(mutex_);
    SMALTI_CHECK(parts_.folder.rename(copy_name_of(image_), file_name()));
    parts_.files.keep(image_, to);
    index_ = std::move(index);
  }
  if (named_)
    if (auto done = parts_.folder.sync(); !done) failed_ = std::move(done.error());
  hold_ = std::move(hold);
  end_ = synced_end_ = mark.end;
  serial_ = mark.serial;
  records_ = mark.records;
  replacing_ = 0;
  return {};
}

}  // namespace smalti
