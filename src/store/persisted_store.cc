#include "store/persisted_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string_view>
#include <unordered_map>

#include "store/open_files.h"
#include "store/open_images.h"
#include "store/tile_file.h"

namespace smalti {

namespace {

constexpr std::string_view format_file = "format";
constexpr std::string_view format_text = "Smalti image folder, format 1\n";
constexpr std::string_view format_start = "Smalti image folder, format ";

class PersistedStore final : public TileStore {
 public:
  PersistedStore(Ledger& ledger, TileHeap& heap, std::shared_ptr<DiskFolder> folder,
                 const PersistOptions& options)
      : ledger_(ledger),
        folder_(std::move(folder)),
        files_(folder_, ledger, options.open_files),
        parts_{*folder_, files_, ledger, heap, options.waste} {}

  void recover(const ImageId& image, Persisted& found) {
    std::shared_ptr<TileFile> file = TileFile::recover(parts_, image, found.complaints);
    const auto figures = file->figures();
    found.images.push_back({image, file->spec(), figures.tiles, figures.bytes, file->damage()});
    images_.emplace(image, std::move(file));
  }

  Result<void> open(const Call&, const ImageId& image, const ImageSpec& spec) override {
    const std::lock_guard one_at_a_time(opening_);
    if (const auto known = find(image)) {
      SMALTI_CHECK(known->usable());
      if (known->spec() == spec) return {};
      return fail(Errc::conflict, "image " + image.text() + " is open with another geometry; drop it first");
    }
    SMALTI_TRY(std::shared_ptr<TileFile> fresh, TileFile::make(parts_, image, spec));
    const std::unique_lock lock(mutex_);
    images_.emplace(image, std::move(fresh));
    return {};
  }

  void get(const Call& call, std::span<TileGet> batch) override {
    for (TileGet& one : batch) one.got = get(call, one.key);
  }

  void put(const Call& call, std::span<TilePut> batch) override {
    for (TilePut& one : batch) one.put = put(call, one);
  }

  // The name is given up last, so that an image that is opened anew meanwhile has its file to itself.
  Result<void> drop(const Call&, const ImageId& image) override {
    const std::lock_guard one_at_a_time(opening_);
    const auto known = find(image);
    if (!known) return {};
    auto done = known->remove();
    const std::unique_lock lock(mutex_);
    images_.erase(image);
    return done;
  }

  Result<void> sync(const Call&, const std::optional<ImageId>& image) override {
    if (image) {
      const auto known = find(*image);
      return known ? known->sync() : Result<void>();
    }
    Result<void> first;
    for (const auto& each : all())
      if (auto done = each->usable() ? each->sync() : Result<void>(); !done && first) first = std::move(done);
    return first;
  }

  std::vector<TilePut> shed(std::uint64_t) override { return {}; }

  Traits traits() const noexcept override {
    return {.waits = true, .durable = true, .conditional = true, .capacity = ledger_.limit(Resource::disk)};
  }

  void count(const std::function<void(const Count&)>& tell) const override {
    const auto sum = figures({});
    tell({"persisted.tiles", sum.tiles});
    tell({"persisted.bytes", sum.bytes});
    tell({"persisted.gets", gets_.load(std::memory_order_relaxed)});
    tell({"persisted.puts", puts_.load(std::memory_order_relaxed)});
    tell({"persisted.corrupt", corrupt_.load(std::memory_order_relaxed)});
  }

  void use(const std::optional<ImageId>& image,
           const std::function<void(const TierUse&)>& tell) const override {
    const auto sum = figures(image);
    tell({"Persisted", folder_->path().string(), sum.tiles, sum.bytes});
  }

 private:
  using Image = std::shared_ptr<TileFile>;

  Image find(const ImageId& image) const {
    const std::shared_lock lock(mutex_);
    const auto found = images_.find(image);
    return found == images_.end() ? nullptr : found->second;
  }

  std::vector<Image> all() const {
    const std::shared_lock lock(mutex_);
    std::vector<Image> out;
    for (const auto& [id, image] : images_) out.push_back(image);
    return out;
  }

  TileFile::Figures figures(const std::optional<ImageId>& image) const {
    TileFile::Figures sum;
    const std::shared_lock lock(mutex_);
    for (const auto& [id, each] : images_) {
      if (image && *image != id) continue;
      const auto one = each->figures();
      sum.tiles += one.tiles;
      sum.bytes += one.bytes;
    }
    return sum;
  }

  Result<std::optional<Tile>> get(const Call& call, const TileKey& key) {
    if (call.reach == Reach::hot) return fail(Errc::would_wait, "images on disk have to be waited for");
    const auto image = find(key.image);
    if (!image) return std::optional<Tile>();
    gets_.fetch_add(1, std::memory_order_relaxed);
    auto got = image->get(key);
    if (!got && got.error().code == Errc::corrupt) corrupt_.fetch_add(1, std::memory_order_relaxed);
    return got;
  }

  Result<Generation> put(const Call& call, const TilePut& one) {
    if (call.reach == Reach::hot) return fail(Errc::would_wait, "images on disk have to be waited for");
    const auto image = find(one.key.image);
    if (!image) return not_open(one.key);
    puts_.fetch_add(1, std::memory_order_relaxed);
    return image->put(one);
  }

  Ledger& ledger_;
  const std::shared_ptr<DiskFolder> folder_;
  OpenFiles files_;
  const TileFile::Parts parts_;
  std::atomic<std::uint64_t> gets_{0}, puts_{0}, corrupt_{0};

  std::mutex opening_;  // an image's file is made or removed; taken before mutex_
  mutable std::shared_mutex mutex_;
  std::unordered_map<ImageId, Image> images_;  // guarded by mutex_
};

std::optional<ImageId> image_of(std::string_view file, std::string_view suffix) {
  ImageId image;
  if (file.size() != 2 * image.raw.size() + suffix.size() || !file.ends_with(suffix)) return std::nullopt;
  for (std::size_t i = 0; i < image.raw.size(); ++i) {
    unsigned value = 0;
    const char* first = file.data() + 2 * i;
    if (std::from_chars(first, first + 2, value, 16).ptr != first + 2) return std::nullopt;
    image.raw[i] = static_cast<std::byte>(value);
  }
  if (image.text() != file.substr(0, file.size() - suffix.size())) return std::nullopt;  // capitals, say
  return image;
}

Result<void> write_format(DiskFolder& folder) {
  SMALTI_TRY(const auto file, folder.open(std::string(format_file), DiskFolder::Make::fresh));
  SMALTI_CHECK(file->write(0, std::as_bytes(std::span(format_text))));
  SMALTI_CHECK(file->sync());
  return folder.sync();
}

// A crash may have left it empty or torn before anything else was kept; another format is not ours to touch.
Result<void> check_format(DiskFolder& folder, const std::vector<std::string>& names) {
  if (std::find(names.begin(), names.end(), format_file) == names.end()) return write_format(folder);
  std::array<std::byte, 64> bytes{};
  std::size_t got = 0;
  {
    SMALTI_TRY(const auto file, folder.open(std::string(format_file), DiskFolder::Make::existing));
    SMALTI_TRY(got, file->read(0, bytes));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), got);
  if (text == format_text) return {};
  if (text.starts_with(format_start) && text.ends_with('\n'))
    return fail(Errc::incompatible, fmt::format("cache:persist={}: this folder says `{}', this program knows "
                                                "format 1; use the program that wrote "
                                                "it, or name another folder",
                                                folder.path().string(), text.substr(0, text.size() - 1)));
  return write_format(folder);
}

}  // namespace

Result<Persisted> open_persisted(Ledger& ledger, TileHeap& heap, std::shared_ptr<DiskFolder> folder,
                                 PersistOptions options) {
  SMALTI_TRY(const auto names, folder->list());
  SMALTI_CHECK(check_format(*folder, names));
  Persisted out;
  auto store = std::make_unique<PersistedStore>(ledger, heap, folder, options);
  for (const std::string& name : names) {
    if (const auto image = image_of(name, ".tiles")) store->recover(*image, out);
    // Never synced, or not yet the image's file.
    if (image_of(name, ".new") || image_of(name, ".copy")) SMALTI_CHECK(folder->remove(name));
  }
  SMALTI_TRY(out.names, NameBook::open(std::move(folder)));
  for (const NameDamage& each : out.names->damaged()) out.complaints.push_back(each.why.what);
  out.store = std::move(store);
  return out;
}

Result<Persisted> open_persisted(Ledger& ledger, TileHeap& heap, const std::filesystem::path& folder,
                                 PersistOptions options) {
  SMALTI_TRY(auto opened, open_folder(folder));
  return open_persisted(ledger, heap, std::move(opened), options);
}

}  // namespace smalti
