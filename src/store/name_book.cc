#include "store/name_book.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>

#include "store/disk_bytes.h"

namespace smalti {

namespace {

constexpr std::string_view magic = "SMALTI-N";
constexpr std::uint16_t version = 1;
constexpr std::size_t head_bytes = 64;
constexpr std::string_view suffix = ".name", fresh_suffix = ".name-new";

std::string file_name(std::uint64_t number, std::string_view ending = suffix) {
  return fmt::format("{:016x}{}", number, ending);
}

std::optional<std::uint64_t> number_of(std::string_view file, std::string_view ending) {
  std::uint64_t number = 0;
  if (file.size() != 16 + ending.size() || !file.ends_with(ending)) return std::nullopt;
  if (std::from_chars(file.data(), file.data() + 16, number, 16).ptr != file.data() + 16) return std::nullopt;
  return file_name(number, ending) == file ? std::optional(number) : std::nullopt;
}

std::uint64_t sum(std::span<const std::byte> bytes) { return XXH3_64bits(bytes.data(), bytes.size()); }

std::vector<std::byte> encode(std::uint64_t number, std::string_view name,
                              std::span<const std::byte> record) {
  std::vector<std::byte> out(head_bytes + name.size() + record.size());
  const std::span<std::byte> bytes(out);
  std::memcpy(out.data(), magic.data(), magic.size());
  store_at<std::uint16_t>(bytes, 8, version);
  store_at<std::uint32_t>(bytes, 12, static_cast<std::uint32_t>(name.size()));
  store_at<std::uint32_t>(bytes, 16, static_cast<std::uint32_t>(record.size()));
  store_at<std::uint64_t>(bytes, 24, number);
  store_at<std::uint64_t>(bytes, 32, sum(std::as_bytes(std::span(name))));
  store_at<std::uint64_t>(bytes, 40, sum(record));
  store_at<std::uint64_t>(bytes, 56, sum(bytes.first(56)));
  std::memcpy(out.data() + head_bytes, name.data(), name.size());
  if (!record.empty()) std::memcpy(out.data() + head_bytes + name.size(), record.data(), record.size());
  return out;
}

// `name_at_least` is set as soon as the name is known to be whole.
Result<NameEntry> decode(DiskFile& file, std::uint64_t number, std::string* name_at_least) {
  SMALTI_TRY(const std::uint64_t size, file.size());
  std::array<std::byte, head_bytes> head{};
  SMALTI_TRY(std::size_t got, file.read(0, head));
  if (got < head.size() || std::memcmp(head.data(), magic.data(), magic.size()) != 0)
    return fail(Errc::corrupt, "this is no name of Smalti, or its head is damaged");
  if (const auto found = load_at<std::uint16_t>(head, 8); found != version)
    return fail(Errc::incompatible,
                fmt::format("its format is {}, this program knows format {}", found, version));
  const auto name_bytes = load_at<std::uint32_t>(head, 12), record_bytes = load_at<std::uint32_t>(head, 16);
  if (load_at<std::uint64_t>(head, 56) != sum(std::span(head).first(56)) ||
      load_at<std::uint64_t>(head, 24) != number || name_bytes == 0 ||
      name_bytes > NameBook::most_name_bytes || record_bytes > NameBook::most_record_bytes)
    return fail(Errc::corrupt, "its head is damaged");
  NameEntry entry;
  entry.name.resize(name_bytes);
  SMALTI_TRY(got, file.read(head_bytes, std::as_writable_bytes(std::span(entry.name))));
  if (got < name_bytes || load_at<std::uint64_t>(head, 32) != sum(std::as_bytes(std::span(entry.name))))
    return fail(Errc::corrupt, "the name in it is damaged");
  if (name_at_least) *name_at_least = entry.name;
  if (size != head_bytes + std::uint64_t{name_bytes} + record_bytes)
    return fail(Errc::corrupt, fmt::format("it has {} bytes, which is not its length", size));
  entry.bytes.resize(record_bytes);
  SMALTI_TRY(got, file.read(head_bytes + name_bytes, entry.bytes));
  if (got < record_bytes || load_at<std::uint64_t>(head, 40) != sum(entry.bytes))
    return fail(Errc::corrupt, "the record in it is damaged");
  return entry;
}

// For messages: what is not plain text is shown as hex digits.
std::string shown(std::string_view name) {
  std::string out;
  for (const char c : name)
    if (c >= ' ' && c <= '~')
      out += c;
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return out;
}

}  // namespace

Result<std::unique_ptr<NameBook>> NameBook::open(std::shared_ptr<DiskFolder> folder) {
  std::unique_ptr<NameBook> book(new NameBook(std::move(folder)));
  SMALTI_TRY(const auto files, book->folder_->list());
  for (const std::string& file : files) {
    if (const auto number = number_of(file, suffix)) book->note(*number);
    if (number_of(file, fresh_suffix)) SMALTI_CHECK(book->folder_->remove(file));
  }
  return book;
}

void NameBook::note(std::uint64_t number) {
  next_ = std::max(next_, number + 1);
  std::string name;
  auto entry = read(number, &name);
  if (entry && numbers_.emplace(entry->name, number).second) return;
  Error why =
      entry ? Error{Errc::corrupt, fmt::format("{}: another file has the name `{}', too",
                                               (folder_->path() / file_name(number)).string(), shown(name))}
            : std::move(entry.error());
  damaged_.push_back({{name, std::move(why)}, number});
}

Result<NameEntry> NameBook::read(std::uint64_t number, std::string* name_at_least) const {
  std::string name;
  const auto context = [&] {
    std::string out = (folder_->path() / file_name(number)).string();
    if (!name.empty()) out += fmt::format(": the record of `{}' is lost", shown(name));
    return out;
  };
  auto file = folder_->open(file_name(number), DiskFolder::Make::existing);
  if (!file) return pass(std::move(file.error()));
  auto entry = decode(**file, number, &name);
  if (name_at_least) *name_at_least = name;
  if (!entry) return pass(std::move(entry.error()), context());
  return entry;
}

Result<std::vector<NameEntry>> NameBook::all(std::vector<NameDamage>* damaged) const {
  const std::lock_guard lock(mutex_);
  std::vector<NameEntry> out;
  for (const auto& [name, number] : numbers_) {
    auto entry = read(number, nullptr);
    if (entry)
      out.push_back(std::move(*entry));
    else if (damaged)
      damaged->push_back({name, std::move(entry.error())});
  }
  return out;
}

Result<std::vector<std::byte>> NameBook::get(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  const auto found = numbers_.find(name);
  if (found == numbers_.end())
    return fail(Errc::unavailable, fmt::format("there is nothing under the name `{}'", shown(name)));
  SMALTI_TRY(NameEntry entry, read(found->second, nullptr));
  return std::move(entry.bytes);
}

Result<void> NameBook::put(std::string_view name, std::span<const std::byte> record) {
  if (name.empty() || name.size() > most_name_bytes)
    return fail(Errc::invalid, fmt::format("a name has 1 to {} bytes, not {}", most_name_bytes, name.size()));
  if (record.size() > most_record_bytes)
    return fail(Errc::limit, fmt::format("the record of `{}' has {} bytes; {} is the most", shown(name),
                                         record.size(), most_record_bytes));
  const std::lock_guard lock(mutex_);
  const auto known = numbers_.find(name);
  const auto lost = std::find_if(damaged_.begin(), damaged_.end(),
                                 [&](const Damaged& each) { return each.what.name == name; });
  if (known == numbers_.end() && lost == damaged_.end() && numbers_.size() >= most_names)
    return fail(Errc::limit, fmt::format("there are {} names already; delete some", numbers_.size()));
  const std::uint64_t number = known != numbers_.end()  ? known->second
                               : lost != damaged_.end() ? lost->number
                                                        : next_;
  const std::string fresh = file_name(number, fresh_suffix);
  const auto written = [&]() -> Result<void> {
    SMALTI_TRY(const auto file, folder_->open(fresh, DiskFolder::Make::fresh));
    SMALTI_CHECK(file->write(0, encode(number, name, record)));
    return file->sync();
  }();
  if (!written) {
    (void)folder_->remove(fresh);
    return written;
  }
  SMALTI_CHECK(folder_->rename(fresh, file_name(number)));
  next_ = std::max(next_, number + 1);
  if (known == numbers_.end()) {
    numbers_.emplace(name, number);
    if (lost != damaged_.end()) damaged_.erase(lost);  // its file is replaced
  }
  return folder_->sync();
}

Result<void> NameBook::remove(std::string_view name) {
  const std::lock_guard lock(mutex_);
  bool any = false;
  for (auto at = damaged_.begin(); at != damaged_.end();) {
    if (at->what.name != name) {
      ++at;
      continue;
    }
    SMALTI_CHECK(folder_->remove(file_name(at->number)));
    at = damaged_.erase(at);
    any = true;
  }
  if (const auto known = numbers_.find(name); known != numbers_.end()) {
    SMALTI_CHECK(folder_->remove(file_name(known->second)));
    numbers_.erase(known);
    any = true;
  }
  return any ? folder_->sync() : Result<void>();
}

std::vector<NameDamage> NameBook::damaged() const {
  const std::lock_guard lock(mutex_);
  std::vector<NameDamage> out;
  for (const Damaged& each : damaged_) out.push_back(each.what);
  return out;
}

}  // namespace smalti
