#include "smalti/cache/pixel_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cache/core.h"

namespace smalti {

namespace {

constexpr std::uint64_t least_row_of_tiles =
    4u << 20;  // bytes; lower limits would only make slivers of the tiles
constexpr std::uint64_t most_working_set =
    512u << 20;                               // bytes that strips of columns may raise the working set to
constexpr std::chrono::seconds farewell{10};  // for the store to drop an image

cache::WorkingSetPlan plan_for(const ImageSpec& spec, const CacheOptions& options, const Ledger& ledger) {
  const Grid grid(spec);
  const std::uint64_t tile = spec.tile.area() * spec.format.pixel_bytes();
  const std::uint64_t row = grid.cols() * tile;
  const std::uint64_t stored = spec.stored_bytes();
  cache::WorkingSetPlan plan;
  plan.bound =
      options.working_set != 0 ? options.working_set : std::clamp(3 * row, tile, std::max(tile, stored));
  plan.most = plan.bound;
  if (options.working_set == 0)
    plan.most = std::max(plan.bound, std::min(most_working_set, ledger.limit(Resource::memory) / 2));
  // An image that fits needs no window; one that does not will need it when tiles at rest have filled the
  // memory.
  const bool fits = stored <= ledger.limit(Resource::memory) && stored + row <= ledger.room(Resource::memory);
  if (!fits) plan.reserve = std::min(plan.bound, stored);
  return plan;
}

}  // namespace

ImageSpec spec_for(Extent size, PixelFormat format, const Ledger& ledger) noexcept {
  const std::uint64_t row_of_tiles = std::max(ledger.limit(Resource::memory) / 8, least_row_of_tiles);
  return {size, format, tile_extent_for(size, format, row_of_tiles)};
}

PixelCache::Core::Core(CacheParts shared, const ImageId& name, const ImageSpec& image, const CacheOptions& options,
                       cache::WorkingSetPlan plan, Hold listed)
    : parts(std::move(shared)),
      spec(image),
      grid(image),
      id(name),
      read_ahead(options.read_ahead && parts.store->traits().waits),
      sparse(options.sparse),
      blank(options.blank),
      set(parts.ledger, plan),
      order(grid),
      written_((grid.tiles() + 63) / 64),
      listed_(std::move(listed)) {}

// Nothing that the ledger, the heap or the store own is left when this returns, though a job may still hold
// the object.
void PixelCache::Core::close() {
  closing_.request_stop();
  gate_.close();
  // Best effort: a store that cannot be reached frees the image when its owner's lease ends.
  static_cast<void>(parts.store->drop(Call{}.within(farewell), id));
  memo.clear();
  window.clear();
  for (const cache::DraftPtr& draft : drafts.oldest_first()) drafts.erase(draft);
  set.close();
  listed_.release();
  parts.store.reset();
}

bool PixelCache::Core::is_written(std::uint64_t index) const noexcept {
  return (written_[index / 64].load(std::memory_order_acquire) >> index % 64 & 1) != 0;
}

void PixelCache::Core::mark_written(std::uint64_t index) noexcept {
  written_[index / 64].fetch_or(std::uint64_t{1} << index % 64, std::memory_order_acq_rel);
}

TileKey PixelCache::Core::key(std::uint64_t index) const noexcept {
  return {id, 0, static_cast<std::uint32_t>(index % grid.cols()),
          static_cast<std::uint32_t>(index / grid.cols())};
}

Rect PixelCache::Core::tile_rect(std::uint64_t index) const noexcept { return grid.rect(key(index)); }

std::uint64_t PixelCache::Core::tile_bytes(std::uint64_t index) const noexcept {
  return tile_rect(index).size.area() * spec.format.pixel_bytes();
}

std::string PixelCache::Core::name(std::uint64_t index) const {
  return fmt::format("image {}, tile {},{}", id.text(), index % grid.cols(), index / grid.cols());
}

tl::unexpected<Error> PixelCache::Core::failed_for(Error error, std::uint64_t index) const {
  return error.code == Errc::limit ? pass(std::move(error)) : pass(std::move(error), name(index));
}

tl::unexpected<Error> PixelCache::Core::failed_for_all(Error error) const {
  return error.code == Errc::limit ? pass(std::move(error)) : pass(std::move(error), "image " + id.text());
}

Result<std::shared_ptr<PixelCache::Core>> PixelCache::core_for(CacheParts parts, const ImageId& id,
                                                               const ImageSpec& spec, const CacheOptions& options) {
  SMALTI_CHECK(spec.check());
  SMALTI_CHECK(parts.ledger.fits(Resource::width, spec.size.w));
  SMALTI_CHECK(parts.ledger.fits(Resource::height, spec.size.h));
  Hold listed;
  if (options.listed) {
    SMALTI_TRY(listed, parts.ledger.take(Resource::list_length, 1));
  }
  const cache::WorkingSetPlan plan = plan_for(spec, options, parts.ledger);
  return std::make_shared<Core>(std::move(parts), id, spec, options, plan, std::move(listed));
}

Result<PixelCache> PixelCache::open(CacheParts parts, const ImageId& id, const ImageSpec& spec,
                                    const std::vector<bool>& written, CacheOptions options) {
  SMALTI_TRY(auto core, core_for(std::move(parts), id, spec, options));
  if (written.size() != core->grid.tiles()) {
    core->close();
    return fail(Errc::invalid, fmt::format("image {}: {} tiles are told of, and it has {}", id.text(), written.size(),
                                           core->grid.tiles()));
  }
  if (!options.blank.empty() && options.blank.size() != spec.format.pixel_bytes()) {
    core->close();
    return fail(Errc::invalid, fmt::format("image {}: a blank of {} bytes where a pixel has {}", id.text(),
                                           options.blank.size(), spec.format.pixel_bytes()));
  }
  core->read_only = true;
  for (std::size_t i = 0; i < written.size(); ++i)
    if (written[i]) core->mark_written(i);
  return PixelCache(std::move(core));
}

Result<PixelCache> PixelCache::create(CacheParts parts, const Call& call, const ImageSpec& spec,
                                      CacheOptions options) {
  SMALTI_TRY(auto core, core_for(std::move(parts), ImageId::fresh(), spec, options));
  if (Result<void> opened = core->parts.store->open(call, core->id, spec); !opened) {
    core->close();
    return pass(std::move(opened.error()), fmt::format("an image of {}x{} pixels", spec.size.w, spec.size.h));
  }
  return PixelCache(std::move(core));
}

PixelCache::PixelCache(std::shared_ptr<Core> core) : core_(std::move(core)) {}
PixelCache::PixelCache(PixelCache&&) noexcept = default;

PixelCache& PixelCache::operator=(PixelCache&& other) noexcept {
  if (this != &other) {
    if (core_) core_->close();
    core_ = std::move(other.core_);
  }
  return *this;
}

PixelCache::~PixelCache() {
  if (core_) core_->close();
}

const ImageId& PixelCache::id() const noexcept { return core_->id; }
const std::vector<std::byte>& PixelCache::blank() const noexcept { return core_->blank; }
const ImageSpec& PixelCache::spec() const noexcept { return core_->spec; }

Result<void> PixelCache::read(const Call& call, Rect rect, MutablePixels into, const Outside& outside) const {
  return core_->read(call, rect, into, outside);
}

Result<std::optional<Tile>> PixelCache::view(const Call& call, Rect rect) const {
  return core_->view(call, rect);
}
Result<void> PixelCache::write(const Call& call, Rect rect, Pixels from) {
  return core_->write(call, rect, from);
}
Result<void> PixelCache::sync(const Call& call) { return core_->sync(call); }

void PixelCache::expect(Rect rect) const {
  if (core_->read_ahead) core_->fetch_ahead(core_->grid.span(rect), Core::Hint::told);
}

void PixelCache::expect(Rect rect, Pace pace) const {
  if (core_->read_ahead) core_->plan(rect, pace);
}

CacheCounts PixelCache::counts() const noexcept {
  const cache::AtomicCounts& now = core_->counts;
  return {now.reads,     now.writes,      now.tiles_hot, now.tiles_got,  now.bytes_got, now.tiles_put,
          now.bytes_put, now.window_hits, now.ahead_got, now.ahead_used, now.wait_ns};
}

}  // namespace smalti
