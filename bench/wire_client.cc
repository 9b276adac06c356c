// A client that gets or puts tiles as fast as it can, from servers that run elsewhere, for bench/wire.py and
// bench/link.py. Prints one line of JSON: the rate, CPU seconds a GiB here and of the servers, and latencies.
//
//   smalti_wire_client --hosts HOST:PORT[,...] --secret WORD [--work get|put] [--kib 128|256|384|1024] [--callers N]
//                      [--batch N] [--clients] [--seconds S] [--warm S] [--plain] [--into] [--pids PID,...]
//                      [--share] [--compress auto|none|lz4|zstd] [--pixels PPM|noisy16]
//
// --pixels: tiles of 256x256 pixels of an 8-bit PPM, or of a smooth 16-bit scene with noise, in place of --kib of noise.
// --callers threads each have --batch tiles under way. With --clients each of them is a client of its own, with its
// own connection. --into: a read ends in the caller's buffer, not in a tile. --pids: whose CPU counts as the servers'.
#include <sys/resource.h>

#include <atomic>
#include <barrier>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "client/cluster.h"
#include "net/host_port.h"
#include "net/loop.h"
#include "net/psk.h"
#include "smalti/store/store.h"

namespace smalti {
namespace {

constexpr std::uint32_t across = 16;  // tiles a row, and rows: 32 to 256 MiB, more than caches hold

struct Options {
  std::vector<HostPort> hosts;
  std::string secret = "benchmark";
  bool get = true, plain = false, into = false, own_client = false, share = false;
  std::uint32_t kib = 256, callers = 1, batch = 1;
  double seconds = 1, warm = 0.1;
  Compress compress = Compress::none;
  std::string pixels;
  std::vector<std::string> pids;
};

[[noreturn]] void die(const std::string& what) {
  std::fprintf(stderr, "smalti_wire_client: %s\n", what.c_str());
  std::exit(1);
}

std::vector<std::string> parts(const std::string& list) {
  std::vector<std::string> out;
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    if (end > begin) out.push_back(list.substr(begin, end - begin));
    begin = end + 1;
  }
  return out;
}

Options parse(int argc, char** argv) {
  Options o;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--plain") {
      o.plain = true;
    } else if (word == "--share") {
      o.share = true;
    } else if (word == "--into") {
      o.into = true;
    } else if (word == "--clients") {
      o.own_client = true;
    } else {
      if (++i == argc) die(word + " lacks its value");
      const std::string value = argv[i];
      if (word == "--hosts")
        o.hosts = parse_hosts(value).value();
      else if (word == "--secret")
        o.secret = value;
      else if (word == "--work")
        o.get = value == "get";
      else if (word == "--kib")
        o.kib = static_cast<std::uint32_t>(std::stoul(value));
      else if (word == "--callers")
        o.callers = static_cast<std::uint32_t>(std::stoul(value));
      else if (word == "--batch")
        o.batch = static_cast<std::uint32_t>(std::stoul(value));
      else if (word == "--seconds")
        o.seconds = std::stod(value);
      else if (word == "--warm")
        o.warm = std::stod(value);
      else if (word == "--compress")
        o.compress = value == "auto"   ? Compress::automatic
                     : value == "lz4"  ? Compress::lz4
                     : value == "zstd" ? Compress::zstd
                                       : Compress::none;
      else if (word == "--pixels")
        o.pixels = value;
      else if (word == "--pids")
        o.pids = parts(value);
      else
        die("unknown word " + word);
    }
  }
  return o;
}

ImageSpec spec_of(std::uint32_t kib) {
  const std::map<std::uint32_t, std::pair<PixelFormat, Extent>> known{
      {128, {{Sample::u8, 2, 0}, {256, 256}}},
      {256, {{Sample::u8, 4, 0}, {256, 256}}},
      {384, {{Sample::u16, 3, 0}, {256, 256}}},
      {1024, {{Sample::u8, 4, 0}, {512, 512}}}};
  const auto found = known.find(kib);
  if (found == known.end()) die("tiles are of 128, 256, 384 or 1024 KiB");
  const Extent tile = found->second.second;
  return {{tile.w * across, tile.h * across}, found->second.first, tile};
}

constexpr std::uint32_t side = 256;  // of tiles that are cut from pictures
constexpr std::uint32_t scene = 16 * side;

// A smooth scene of three channels with the noise of a sensor: a standard deviation of 200 of 65535.
std::vector<std::byte> noisy_scene() {
  std::mt19937 random(1);
  std::normal_distribution<float> noise(0, 200);
  std::vector<std::uint16_t> samples(std::size_t{scene} * scene * 3);
  for (std::uint32_t y = 0, i = 0; y < scene; ++y)
    for (std::uint32_t x = 0; x < scene; ++x)
      for (int c = 0; c < 3; ++c) {
        const float smooth = 30000.0f + 9000.0f * std::sin(static_cast<float>(x) / 300.0f + static_cast<float>(c)) +
                             9000.0f * std::cos(static_cast<float>(y) / 200.0f);
        samples[i++] = static_cast<std::uint16_t>(std::clamp(smooth + noise(random), 0.0f, 65535.0f));
      }
  std::vector<std::byte> out(samples.size() * 2);
  std::memcpy(out.data(), samples.data(), out.size());
  return out;
}

struct Picture {
  Extent size;
  PixelFormat format;
  std::vector<std::byte> pixels;
};

Picture picture_of(const std::string& name) {
  if (name == "noisy16") return {{scene, scene}, {Sample::u16, 3, 0}, noisy_scene()};
  std::ifstream in(name, std::ios::binary);
  std::string magic;
  std::uint32_t w = 0, h = 0, most = 0;
  in >> magic >> std::ws;
  for (std::string comment; in.peek() == '#';) std::getline(in, comment);
  in >> w >> h >> most;
  in.get();
  if (magic != "P6" || most != 255 || w < side || h < side) die(name + " is no 8-bit PPM of some size");
  Picture out{{w, h}, {Sample::u8, 3, 0}, std::vector<std::byte>(std::size_t{w} * h * 3)};
  in.read(reinterpret_cast<char*>(out.pixels.data()), static_cast<std::streamsize>(out.pixels.size()));
  if (!in) die(name + " is cut short");
  return out;
}

// Nanoseconds on a core, of all threads of a process.
double cpu_of(const std::string& pid) {
  double sum = 0;
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + pid + "/task", gone)) {
    double ns = 0;
    std::ifstream(task.path() / "schedstat") >> ns;
    sum += ns;
  }
  return sum / 1e9;
}

double cpu_of(const std::vector<std::string>& pids) {
  double sum = 0;
  for (const std::string& pid : pids) sum += cpu_of(pid);
  return sum;
}

double cpu_here() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

struct Bench {
  explicit Bench(const Options& o)
      : options(o), spec(o.pixels.empty() ? spec_of(o.kib) : ImageSpec{}), key(Secret(o.secret)) {
    if (!key.key()) die("no key");
    if (o.pixels.empty())
      add_noise();
    else
      cut(picture_of(o.pixels));
    for (std::uint32_t n = 0; n < (o.own_client ? o.callers : 1); ++n) add_client();
  }

  void add_noise() {
    auto draft = TileDraft::make(spec.tile, spec.format, heap).value();
    std::mt19937_64 noise(1);  // nothing that could be compressed
    for (std::size_t i = 0; i + 8 <= draft.bytes().size(); i += 8) {
      const std::uint64_t word = noise();
      std::memcpy(draft.bytes().data() + i, &word, 8);
    }
    some.push_back(std::move(draft).freeze());
  }

  void cut(const Picture& picture) {
    spec = {{side * across, side * across}, picture.format, {side, side}};
    const std::size_t pixel = picture.format.pixel_bytes(), row = side * pixel;
    for (std::uint32_t top = 0; top + side <= picture.size.h; top += side)
      for (std::uint32_t left = 0; left + side <= picture.size.w; left += side) {
        auto draft = TileDraft::make(spec.tile, spec.format, heap).value();
        for (std::uint32_t y = 0; y < side; ++y)
          std::memcpy(draft.bytes().data() + y * row,
                      picture.pixels.data() + ((std::size_t{top} + y) * picture.size.w + left) * pixel, row);
        some.push_back(std::move(draft).freeze());
      }
  }
  const Tile& tile_of(std::uint32_t n) const { return some[n % some.size()]; }

  void add_client() {
    ClusterOptions cluster;
    cluster.hosts = options.hosts;
    cluster.secret = Secret(options.secret);
    cluster.key = key;
    cluster.encrypt = !options.plain;
    cluster.compress = options.compress;
    cluster.share = options.share;
    cluster.placement = options.hosts.size() > 1 ? Placement::sharded : Placement::round_robin;
    if (options.own_client) cluster.connections = 1;
    stores.push_back(cluster_store(loop, heap, log, cluster));
    images.push_back(ImageId::fresh());
    if (auto opened = stores.back()->open({}, images.back(), spec); !opened) die(opened.error().what);
    std::vector<TilePut> puts;
    for (std::uint32_t n = 0; n < tiles(); ++n) puts.push_back({key_of(stores.size() - 1, n), tile_of(n)});
    stores.back()->put({}, puts);
    for (const TilePut& put : puts)
      if (!put.put) die(put.put.error().what);
  }

  // Many clients share the memory that one alone would fill.
  std::uint32_t tiles() const { return options.own_client ? std::max(across * across / options.callers, 8u) : across * across; }
  TileKey key_of(std::size_t client, std::uint32_t n) const {
    n %= tiles();
    return {images[client], 0, n % across, n / across};
  }

  void work(std::uint32_t caller, std::barrier<>& start, std::vector<float>& latencies) {
    const std::size_t client = options.own_client ? caller : 0;
    TileStore& store = *stores[client];
    std::vector<std::byte> mine(options.into ? tile_of(0).charge() : 0);
    std::uint32_t n = caller * (tiles() / options.callers);
    start.arrive_and_wait();
    while (!stop) {
      const auto before = Clock::now();
      if (options.get) {
        std::vector<TileGet> gets;
        for (std::uint32_t i = 0; i < options.batch; ++i) gets.push_back({key_of(client, n++)});
        store.get({}, gets);
        for (const TileGet& get : gets) {
          if (!get.got) die(get.got.error().what);
          if (!*get.got) die("a tile is absent");
          if (options.into) std::memcpy(mine.data(), (**get.got).bytes().data(), mine.size());
        }
      } else {
        std::vector<TilePut> puts;
        for (std::uint32_t i = 0; i < options.batch; ++i) puts.push_back({key_of(client, n), tile_of(n)}), ++n;
        store.put({}, puts);
        for (const TilePut& put : puts)
          if (!put.put) die(put.put.error().what);
      }
      done += options.batch;
      latencies.push_back(std::chrono::duration<float, std::micro>(Clock::now() - before).count());
    }
  }

  void run() {
    std::vector<std::vector<float>> latencies(options.callers);
    for (auto& one : latencies) one.reserve(1u << 18);
    std::barrier<> start(options.callers + 1);
    std::vector<std::jthread> threads;
    for (std::uint32_t n = 0; n < options.callers; ++n)
      threads.emplace_back([&, n] { work(n, start, latencies[n]); });
    start.arrive_and_wait();
    std::this_thread::sleep_for(std::chrono::duration<double>(options.warm));
    const auto began = Clock::now();
    const double own = cpu_here(), theirs = cpu_of(options.pids);
    const std::uint64_t before = done;
    std::this_thread::sleep_for(std::chrono::duration<double>(options.seconds));
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    const double gib = static_cast<double>(done - before) * static_cast<double>(tile_of(0).charge()) / (1u << 30);
    const double own_cpu = cpu_here() - own, their_cpu = cpu_of(options.pids) - theirs;
    stop = true;
    threads.clear();
    std::vector<float> all;
    for (const auto& one : latencies) all.insert(all.end(), one.begin(), one.end());
    std::sort(all.begin(), all.end());
    const auto at = [&](double part) {
      return static_cast<double>(all[static_cast<std::size_t>(part * static_cast<double>(all.size() - 1))]);
    };
    std::printf("{\"rate\": %.4f, \"cpu\": %.4f, \"server_cpu\": %.4f, \"p50\": %.1f, \"p99\": %.1f, \"p99.9\": %.1f}\n",
                gib / seconds, own_cpu / gib, their_cpu / gib, at(0.5), at(0.99), at(0.999));
  }

  const Options options;
  ImageSpec spec;
  const net::Psk key;
  Log log;
  TileHeap heap{64u << 20};
  net::Loop loop{net::Loop::Lent::to_callers};
  std::vector<Tile> some;  // which the image is made of
  std::vector<StorePtr> stores;
  std::vector<ImageId> images;
  std::atomic<std::uint64_t> done = 0;
  std::atomic<bool> stop = false;
};

}  // namespace
}  // namespace smalti

int main(int argc, char** argv) {
  const smalti::Options options = smalti::parse(argc, argv);
  if (options.hosts.empty()) smalti::die("--hosts is needed");
  smalti::Bench(options).run();
}
