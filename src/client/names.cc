#include "client/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>

#include "client/name_lock.h"
#include "client/survey.h"

namespace smalti::client {

namespace native = wire::native;

namespace {

constexpr std::chrono::milliseconds reading_patience{1500};  // with a server that says nothing
constexpr std::chrono::seconds sweeping_patience{3};
constexpr int most_tries = 8;  // a reader begins anew when the version it chose went before it was held

// The tiles that there are.
std::vector<bool> written_of(const Placing& placing, const Grid& grid) {
  std::vector<bool> written(grid.tiles(), true);
  for (const Placing::Run& run : placing.exceptions)
    if (run.holders.empty())
      std::fill_n(written.begin() + static_cast<std::ptrdiff_t>(run.first), run.tiles, false);
  return written;
}

// Where its servers are now, some of which may have moved since; those of them that have tiles.
std::vector<HostPort> addresses_now(Placing& placing, const Scouts& scouts) {
  std::vector<bool> holds(placing.servers.size(), !placing.first);
  for (std::uint32_t i = 0; placing.first && i < placing.replicas; ++i)
    holds[(*placing.first + i) % placing.ruled] = true;
  for (const Placing::Run& run : placing.exceptions)
    for (const std::uint32_t holder : run.holders) holds[holder] = true;
  std::vector<HostPort> hosts;
  for (std::size_t i = 0; i < placing.servers.size(); ++i) {
    Placing::Server& server = placing.servers[i];
    if (const auto known = scouts.find(server.id)) server.address = scouts.host(*known);
    if (holds[i]) hosts.push_back(server.address);
  }
  return hosts;
}

class Writer final : public NameWriter {
 public:
  Writer(std::unique_ptr<NameLock> lock, std::shared_ptr<Cluster> store) : lock_(std::move(lock)), store_(std::move(store)) {}

  std::shared_ptr<TileStore> store() const override { return store_; }
  Result<void> commit(const Call&, const ImageId&, const ImageSpec&, std::uint32_t depth,
                      std::vector<std::byte> sidecar) override;

 private:
  std::unique_ptr<NameLock> lock_;
  std::shared_ptr<Cluster> store_;
};

Result<void> Writer::commit(const Call& call, const ImageId& image, const ImageSpec& spec, std::uint32_t depth,
                            std::vector<std::byte> sidecar) {
  SMALTI_TRY(Placing placing, store_->describe(image));
  const Grid grid(spec);
  native::NameRecord record;
  record.image = image;
  record.spec = spec;
  record.created = static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count());
  const std::vector<bool> written = written_of(placing, grid);
  for (std::uint64_t i = 0; i < written.size(); ++i) {
    if (!written[i]) continue;
    ++record.tiles;
    const auto col = static_cast<std::uint32_t>(i % grid.cols()), row = static_cast<std::uint32_t>(i / grid.cols());
    record.bytes += grid.rect(col, row).size.area() * spec.format.pixel_bytes();
  }
  record.replicas = placing.replicas;
  record.whole = placing.first.has_value();
  record.depth = depth;
  std::vector<std::string> holders;
  store_->use(image, [&holders](const TierUse& use) {
    if (use.tiles > 0) holders.push_back(use.place);
  });
  return lock_->commit(call, std::move(record), {std::move(placing), std::move(sidecar)}, holders);
}

// An image of which more copies may be made can have them on any server that is listed.
void add_listed(std::vector<HostPort>& hosts, const std::vector<HostPort>& listed) {
  for (const HostPort& host : listed)
    if (std::find(hosts.begin(), hosts.end(), host) == hosts.end()) hosts.push_back(host);
}

}  // namespace

// Outlives Names where a store does.
class Names::Counters {
 public:
  void begin(Cluster* store) {
    const std::lock_guard lock(mutex_);
    open_.push_back(store);
  }
  void end(Cluster* store) {
    const std::lock_guard lock(mutex_);
    add(*store, ended_);
    std::erase(open_, store);
  }
  std::map<std::string, std::uint64_t> sum() const {
    const std::lock_guard lock(mutex_);
    auto all = ended_;
    for (const Cluster* store : open_) add(*store, all);
    return all;
  }

 private:
  static void add(const Cluster& store, std::map<std::string, std::uint64_t>& to) {
    store.count([&to](const Count& count) { to[count.name] += count.value; });
  }
  mutable std::mutex mutex_;
  // Guarded by mutex_, both.
  std::vector<Cluster*> open_;
  std::map<std::string, std::uint64_t> ended_;
};

std::shared_ptr<Cluster> Names::counted(std::unique_ptr<Cluster> store) const {
  counters_->begin(store.get());
  return {store.release(), [counters = counters_](Cluster* ended) {
            counters->end(ended);
            delete ended;
          }};
}

void Names::count(const std::function<void(const Count&)>& tell) const {
  for (const auto& [name, value] : counters_->sum()) tell({name, value});
}

Names::Names(net::Loop& loop, TileHeap& heap, Log& log, ClusterOptions options)
    : loop_(loop), heap_(heap), log_(log), options_(std::move(options)), counters_(std::make_shared<Counters>()) {
  if (!options_.key) options_.key = net::Psk(options_.secret);  // derived once for all that this makes
}

// A version of the same image says where its tiles are now, under the lock; unless the name was written meanwhile.
Remember Names::remember(const std::string& name, const native::NameRecord& record,
                         const std::vector<std::byte>& sidecar) const {
  return [&loop = loop_, &heap = heap_, &log = log_, options = options_, name, record, sidecar](
             const Call& call, Placing placing, const std::vector<std::string>& holders, bool copied) -> Result<void> {
    auto scouts = std::make_unique<Scouts>(loop, heap, log, options);
    SMALTI_TRY(const auto lock, NameLock::take(call, std::move(scouts), log, name, NameLock::For::mending));
    const native::NameRecord* version = lock->latest_version();
    if (!version || version->image != record.image || (!copied && !lock->keepers_differ())) return {};
    SMALTI_CHECK(lock->commit(call, record, {std::move(placing), sidecar}, holders));
    log.line(Level::info, fmt::format("`dpc:{}': its servers know where its copies are now", name));
    return {};
  };
}

// What a writer left that died before it was done. A version of the same image takes its place, so that it can come no more.
void Names::sweep(const Call& call, const std::string& name, const native::NameRecord& record,
                  const std::vector<std::byte>& sidecar, const Cluster& store) const {
  std::vector<std::string> holders;
  store.use(record.image, [&holders](const TierUse& use) {
    if (use.tiles > 0) holders.push_back(use.place);
  });
  auto placing = store.describe(record.image);
  if (!placing) return;
  const auto swept = remember(name, record, sidecar)(call.within(sweeping_patience), std::move(*placing), holders, true);
  if (!swept) log_.line(Level::debug, swept.error().what);  // the next reader tries again
}

// The same where the name has no image: the version on its way is outvoted by a deletion.
Result<void> Names::cancel(const Call& call, const std::string& name) const {
  auto scouts = std::make_unique<Scouts>(loop_, heap_, log_, options_);
  SMALTI_TRY(const auto lock, NameLock::take(call, std::move(scouts), log_, name, NameLock::For::cancelling));
  if (lock->latest_version() || !lock->left_over()) return {};  // somebody was faster
  SMALTI_CHECK(lock->commit_deletion(call));
  log_.line(Level::info, fmt::format("`dpc:{}': what a write left that was not finished is freed", name));
  return {};
}

Result<void> Names::free_left_over(const Call& call, const std::string& name) {
  SMALTI_CHECK(native::check_name(name));
  Scouts scouts(loop_, heap_, log_, options_);
  SMALTI_TRY(const Survey survey, take_survey(call, scouts, name, reading_patience));
  if (!survey.left_over()) return {};
  const auto best = latest(survey.answers());
  if (!best || survey.answers()[*best].state->deleted) return cancel(call, name);
  SMALTI_TRY(const NamedImage image, open(call, name));
  return image.store->drop(call, image.record.image);
}

Result<std::uint64_t> Names::repair(const Call& call, const std::string& name) {
  std::shared_ptr<Cluster> store;
  SMALTI_TRY(const NamedImage image, open(call, name, store));
  auto done = store->restore(call, image.record.image);
  static_cast<void>(store->drop(call, image.record.image));
  if (!done) return pass(std::move(done.error()), fmt::format("`dpc:{}'", name));
  return done;
}

Result<NamedImage> Names::open(const Call& call, const std::string& name) {
  std::shared_ptr<Cluster> store;
  return open(call, name, store);
}

Result<NamedImage> Names::open(const Call& call, const std::string& name, std::shared_ptr<Cluster>& store) {
  SMALTI_CHECK(native::check_name(name));
  std::optional<ImageId> last;
  for (int tries = 0;; ++tries) {
    Scouts scouts(loop_, heap_, log_, options_);
    SMALTI_TRY(Survey survey, take_survey(call, scouts, name, reading_patience));
    const auto decided = survey.decide(call, scouts, name);
    if (!decided && survey.left_over())
      if (auto freed = cancel(call.within(sweeping_patience), name); !freed) log_.line(Level::debug, freed.error().what);
    SMALTI_TRY(const native::Register version, decided);
    SMALTI_TRY(Details details, decode_details(survey.details(), version.record.spec));
    NamedImage out;
    out.record = version.record;
    ClusterOptions options = options_;
    options.hosts = addresses_now(details.placing, scouts);
    options.replicas = details.placing.replicas;
    if (options.replicas > 1) add_listed(options.hosts, options_.hosts);
    store = counted(make_cluster(loop_, heap_, log_, options));
    auto adopted = store->adopt(call, version.record.image, version.record.spec, details.placing,
                                remember(name, version.record, details.sidecar));
    if (adopted) {
      if (survey.left_over()) sweep(call, name, version.record, details.sidecar, *store);
      if (!survey.all_heard()) store->look_after(version.record.image);
      out.written = written_of(details.placing, Grid(version.record.spec));
      out.sidecar = std::move(details.sidecar);
      out.store = store;
      return out;
    }
    // Somebody may have written the name meanwhile; then the old pixels are gone, and the new ones are there.
    const bool again = adopted.error().code == Errc::unavailable && last != version.record.image && tries < most_tries;
    if (!again) return pass(std::move(adopted.error()), fmt::format("`dpc:{}'", name));
    last = version.record.image;
  }
}

Result<std::unique_ptr<NameWriter>> Names::write(const Call& call, const std::string& name) {
  SMALTI_CHECK(native::check_name(name));
  auto scouts = std::make_unique<Scouts>(loop_, heap_, log_, options_);
  SMALTI_TRY(auto lock, NameLock::take(call, std::move(scouts), log_, name, NameLock::For::writing));
  ClusterOptions options = options_;
  options.for_names = true;
  std::shared_ptr<Cluster> store = counted(make_cluster(loop_, heap_, log_, options));
  return std::unique_ptr<NameWriter>(std::make_unique<Writer>(std::move(lock), std::move(store)));
}

Result<void> Names::erase(const Call& call, const std::string& name, bool forced) {
  SMALTI_CHECK(native::check_name(name));
  auto scouts = std::make_unique<Scouts>(loop_, heap_, log_, options_);
  SMALTI_TRY(auto lock, NameLock::take(call, std::move(scouts), log_, name,
                                                 forced ? NameLock::For::forced_deleting : NameLock::For::deleting));
  return lock->commit_deletion(call);
}

namespace {

void tell_name(std::map<std::string, NameLine>& lines, std::map<std::string, native::Register>& latest_of,
               const native::NamesPage::Line& told) {
  NameLine& line = lines[told.name];
  line.name = told.name;
  if (!told.state.holder.empty()) line.writer = told.state.holder;
  line.unfinished = line.unfinished || told.state.pinned > told.state.number;
  line.deleted = line.deleted || (told.state.number != 0 && !told.state.deleted);  // once the latest is known to be deleted
  native::Register& best = latest_of[told.name];
  if (told.state.number == 0 || later(best, told.state)) return;
  if (later(told.state, best)) {
    best = told.state;
    line.record = told.state.record;
    line.held_bytes = 0;
    line.reached = 0;
  }
  line.held_bytes += told.state.held_bytes;
  ++line.reached;
}

}  // namespace

Result<Listing> Names::list(const Call& call) {
  Scouts scouts(loop_, heap_, log_, options_);
  Listing out;
  SMALTI_TRY(const auto uses, scouts.ask(call, scouts.all(), native::Use{}, {}, 2 * reading_patience));
  std::map<std::string, NameLine> lines;
  std::map<std::string, native::Register> latest_of;
  for (std::size_t n = 0; n < scouts.size(); ++n) {
    ServerLine& server = out.servers.emplace_back();
    server.address = scouts.address(n);
    server.failed = uses[n].failed;
    if (server.failed) continue;
    server.id = scouts.identity(n).server;
    server.durable = scouts.identity(n).durable;
    server.use = uses[n].request->report;
    const bool again = std::any_of(out.servers.begin(), out.servers.end() - 1,
                                   [&](const ServerLine& other) { return !other.failed && other.id == server.id; });
    std::string after;
    for (bool more = true; more;) {
      SMALTI_TRY(const auto replies, scouts.ask(call, {n}, native::ListNames{after}));
      const auto* page = replies[0].failed ? nullptr : std::get_if<native::NamesPage>(&*replies[0].request->answer);
      if (!page) {
        server.failed = replies[0].failed;
        break;
      }
      server.quota = page->quota;
      server.used = page->used;
      server.names += page->lines.size();
      for (const auto& line : page->lines)
        if (!again) tell_name(lines, latest_of, line);
      more = page->more && !page->lines.empty();
      if (more) after = page->lines.back().name;
    }
  }
  for (auto& [name, line] : lines) {
    const native::Register& best = latest_of[name];
    line.keepers = best.record.keepers.size();
    line.deleted = line.deleted && best.deleted;
    if (!best.deleted || line.unfinished || line.deleted) out.names.push_back(std::move(line));
  }
  return out;
}

}  // namespace smalti::client
