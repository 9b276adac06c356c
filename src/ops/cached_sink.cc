#include "ops/cached_sink.h"

#include <fmt/format.h>

#include <atomic>
#include <optional>

#include "ops/foresight.h"

namespace smalti::ops {

namespace {

constexpr std::chrono::milliseconds progress_pause{150};

std::optional<Sample> sample_of(VipsBandFormat format) {
  switch (format) {
    case VIPS_FORMAT_UCHAR:
      return Sample::u8;
    case VIPS_FORMAT_USHORT:
      return Sample::u16;
    case VIPS_FORMAT_FLOAT:
      return Sample::f32;
    default:
      return std::nullopt;
  }
}

struct Strips {
  const Run& run;
  const Call& call;
  PixelFormat format;
  std::optional<Error> failed;  // touched by one strip at a time, and read when all are done
};

int take_strip(VipsRegion* region, VipsRect* area, void* a) {
  auto& strips = *static_cast<Strips*>(a);
  const Rect rect{area->left,
                  area->top,
                  {static_cast<std::uint32_t>(area->width), static_cast<std::uint32_t>(area->height)}};
  const Pixels pixels{reinterpret_cast<const std::byte*>(VIPS_REGION_ADDR(region, area->left, area->top)),
                      rect.size, static_cast<std::ptrdiff_t>(VIPS_REGION_LSKIP(region)), strips.format};
  Result<void> taken = strips.call.alive();
  if (taken) taken = strips.run.strip(rect, pixels);
  if (taken) return 0;
  if (!strips.failed) strips.failed = std::move(taken.error());
  return -1;
}

}  // namespace

struct Watch::State {
  const Workshop& workshop;
  Call call;
  VipsImage* image;
  std::string what;
  gulong handler = 0;
  std::atomic<Clock::rep> next{0};    // when progress may be told again
  std::atomic<bool> complete{false};  // the last pixel was told
};

Watch::Watch(const Workshop& workshop, const Call& call, VipsImage* image, std::string what)
    : state_(new State{workshop, call, image, std::move(what)}) {
  vips_image_set_progress(image, TRUE);
  using Eval = void (*)(VipsImage*, VipsProgress*, State*);
  const Eval eval = [](VipsImage* of, VipsProgress* progress, State* state) {
    if (!state->call.alive()) vips_image_set_kill(of, TRUE);
    if (!state->workshop.progress) return;
    const auto now = Clock::now().time_since_epoch().count();
    auto next = state->next.load(std::memory_order_relaxed);
    if (now < next && progress->npels < progress->tpels) return;
    const auto later = now + Clock::duration(progress_pause).count();
    if (!state->next.compare_exchange_strong(next, later)) return;
    if (progress->npels >= progress->tpels) state->complete = true;
    state->workshop.progress(state->what, static_cast<std::uint64_t>(progress->npels),
                             static_cast<std::uint64_t>(progress->tpels));
  };
  state_->handler = g_signal_connect(image, "eval", reinterpret_cast<GCallback>(eval), state_.get());
}

// libvips does not count the last rows of a short evaluation in time.
void Watch::finished() const {
  if (state_->complete || !state_->workshop.progress) return;
  const std::uint64_t all =
      static_cast<std::uint64_t>(state_->image->Xsize) * static_cast<std::uint64_t>(state_->image->Ysize);
  state_->workshop.progress(state_->what, all, all);
}

Watch::~Watch() {
  g_signal_handler_disconnect(state_->image, state_->handler);
  vips_image_set_progress(state_->image, FALSE);
  vips_image_set_kill(state_->image, FALSE);
}

tl::unexpected<Error> why(const Call& call, const FlowPtr& flow, Errc code, std::string_view what) {
  const auto alive = call.alive();
  std::optional<Error> first = flow ? flow->take() : std::nullopt;
  if (!alive || first) {
    vips_error_clear();
    return pass(!alive ? alive.error() : *first, what);
  }
  return vips_fail(code, std::string(what));
}

namespace {

constexpr int serial_rows = 16;

// One region from top to bottom on this thread: a decoder has but one order, and workers that wait for their
// turn would each hold strips of it.
int run_serially(const Workshop& workshop, VipsImage* image, Strips& strips) {
  VipsRegion* region = vips_region_new(image);
  int failed = region ? 0 : -1;
  Clock::time_point next = Clock::now() + progress_pause;
  for (int top = 0; failed == 0 && top < image->Ysize; top += serial_rows) {
    VipsRect area{0, top, image->Xsize, std::min(serial_rows, image->Ysize - top)};
    failed = vips_region_prepare(region, &area);
    if (failed == 0) failed = take_strip(region, &area, &strips);
    const bool last = top + serial_rows >= image->Ysize;
    if (!workshop.progress || (Clock::now() < next && !last)) continue;
    next = Clock::now() + progress_pause;
    const auto row = static_cast<std::uint64_t>(image->Xsize);
    workshop.progress(strips.run.what, row * static_cast<std::uint64_t>(area.top + area.height),
                      row * static_cast<std::uint64_t>(image->Ysize));
  }
  if (region) g_object_unref(region);
  return failed;
}

int run_on_workers(const Workshop& workshop, const Call& call, VipsImage* image, Strips& strips) {
  const Watch watch(workshop, call, image, strips.run.what);
  const int failed = vips_sink_disc(image, take_strip, &strips);
  if (failed == 0) watch.finished();
  return failed;
}

}  // namespace

Result<void> run_strips(const Workshop& workshop, const Call& call, const VipsPtr& image, const Run& run) {
  SMALTI_CHECK(call.alive());
  const auto sample = sample_of(image->BandFmt);
  if (!sample || image->Coding != VIPS_CODING_NONE || image->Bands > 255)
    return fail(Errc::unsupported,
                fmt::format("{}: samples of type {} in {} bands are not supported", run.what,
                            vips_enum_nick(VIPS_TYPE_BAND_FORMAT, image->BandFmt), image->Bands));
  if (run.flow) {
    run.flow->take();
    run.flow->adopt(call);
  }
  vips_error_clear();
  Strips strips{run, call, {*sample, static_cast<std::uint8_t>(image->Bands), 0}, {}};
  SMALTI_TRY(const VipsPtr told, told_ahead(image));
  const int failed = run.serial ? run_serially(workshop, told.get(), strips)
                                : run_on_workers(workshop, call, told.get(), strips);
  if (strips.failed) {
    vips_error_clear();
    return pass(std::move(*strips.failed), run.what);
  }
  if (failed == 0) return {};
  auto reason = why(call, run.flow, run.code, run.what);
  if (!run.lenient || reason.value().code != run.code) return reason;
  workshop.log.line(Level::warning, reason.value().what + " (the rest is left black)");
  return {};
}

// Rows that libvips keeps, measured: its decoders' line cache, its encoders' two buffers, and a worker's
// strips.
constexpr std::uint64_t decoder_rows = 640, encoder_rows = 256, worker_rows = 64;

std::uint64_t decoding_bytes(std::uint64_t row_bytes) { return row_bytes * decoder_rows; }

std::uint64_t pipeline_bytes(const Workshop& workshop, const VipsImage* image) {
  const auto samples = static_cast<std::uint64_t>(image->Xsize) * static_cast<std::uint64_t>(image->Bands);
  const std::uint64_t computed =
      samples * (workshop.quantum.depth > 8 ? 2 : 1) * worker_rows * workshop.threads;
  return VIPS_IMAGE_SIZEOF_LINE(image) * encoder_rows + computed;
}

Hold charge_decoding(const Workshop& workshop, const VipsImage* image) {
  return workshop.cache.ledger.charge(Resource::memory, decoding_bytes(VIPS_IMAGE_SIZEOF_LINE(image)));
}

Hold charge_pipeline(const Workshop& workshop, const VipsImage* image) {
  return workshop.cache.ledger.charge(Resource::memory, pipeline_bytes(workshop, image));
}

Result<void> check_size(const Workshop& workshop, std::uint64_t width, std::uint64_t height,
                        std::string_view name) {
  const Ledger& ledger = workshop.cache.ledger;
  const auto refuse = [&](Resource what, std::uint64_t asked) {
    return fail(Errc::limit,
                fmt::format("cache resources exhausted: '{}' is {}x{} pixels, and its {} of {} exceeds the "
                            "limit of {} (raise it with -limit {} or in policy.xml)",
                            name, width, height, name_of(what), asked, ledger.limit(what), name_of(what)));
  };
  if (width > ledger.limit(Resource::width)) return refuse(Resource::width, width);
  if (height > ledger.limit(Resource::height)) return refuse(Resource::height, height);
  constexpr std::uint64_t most = VIPS_MAX_COORD;
  if (width > most || height > most || width == 0 || height == 0)
    return fail(Errc::unsupported,
                fmt::format("'{}' claims {}x{} pixels; the most that can be processed is {} a side", name,
                            width, height, most));
  return {};
}

namespace {

// A cache that is told of when it goes.
struct Watched {
  PixelCache cache;
  CacheWatch watch;
  std::string file;
  std::uint32_t scene;
  bool opened = false;

  Watched(PixelCache made, CacheWatch told, std::string name, std::uint32_t number)
      : cache(std::move(made)), watch(std::move(told)), file(std::move(name)), scene(number) {}
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;
  ~Watched() {
    if (opened && watch) watch(CacheEvent::closing, file, scene, cache);
  }
  void open() {
    opened = true;
    if (watch) watch(CacheEvent::opened, file, scene, cache);
  }
};

}  // namespace

std::shared_ptr<const PixelCache> watched(const Workshop& workshop, PixelCache cache, std::string file,
                                          std::uint32_t scene) {
  auto made = std::make_shared<Watched>(std::move(cache), workshop.watch, std::move(file), scene);
  made->open();
  return std::shared_ptr<const PixelCache>(made, &made->cache);
}

Result<std::shared_ptr<const PixelCache>> sink(const Workshop& workshop, const Call& call,
                                               const VipsPtr& image, const Run& run, std::string file,
                                               std::uint32_t scene) {
  const auto sample = sample_of(image->BandFmt);
  if (!sample || image->Bands > 255)
    return fail(Errc::unsupported,
                fmt::format("{}: samples of type {} in {} bands are not supported", run.what,
                            vips_enum_nick(VIPS_TYPE_BAND_FORMAT, image->BandFmt), image->Bands));
  const ImageSpec spec =
      spec_for({static_cast<std::uint32_t>(image->Xsize), static_cast<std::uint32_t>(image->Ysize)},
               {*sample, static_cast<std::uint8_t>(image->Bands), 0}, workshop.cache.ledger);
  // list-length bounds the images of a command's list; what lies between two steps is none of them.
  auto created = PixelCache::create(workshop.cache, call, spec, {.listed = false, .sparse = run.sparse});
  if (!created) return pass(std::move(created.error()), run.what);
  auto watched = std::make_shared<Watched>(std::move(*created), workshop.watch, std::move(file), scene);
  PixelCache& cache = watched->cache;
  Run into = run;
  into.strip = [&](Rect rect, Pixels pixels) { return cache.write(call, rect, pixels); };
  SMALTI_CHECK(run_strips(workshop, call, image, into));
  if (auto synced = cache.sync(call); !synced) return pass(std::move(synced.error()), run.what);
  watched->open();
  return std::shared_ptr<const PixelCache>(watched, &cache);
}

}  // namespace smalti::ops
