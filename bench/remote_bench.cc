// Getting and putting tiles of 192 KiB and 384 KiB over loopback, from one server in this process: encrypted and in clear,
// one at a time and in batches, from one thread and from four. `sent` is a bare stream of the same bytes, with nothing but
// a socket (and TLS) in between: what the protocol and the store cost shows against it.
//
//   cmake --preset bench && cmake --build --preset bench --target smalti_remote_bench && build/bench/smalti_remote_bench
//
// CPU is that of the whole process, client and server together.
#include <benchmark/benchmark.h>

#include <cstring>
#include <mutex>
#include <vector>

#include "client/cluster.h"
#include "net/connector.h"
#include "net/listener.h"
#include "net/loop.h"
#include "net/tls.h"
#include "server/server.h"
#include "smalti/policy/limits.h"
#include "smalti/store/stores.h"

namespace smalti {
namespace {

constexpr std::uint32_t tiles = 256;  // 48 or 96 MiB: more than caches hold

const net::Psk& key() {
  static const net::Psk derived{Secret("bench")};
  return derived;
}

ImageSpec spec_of(std::int64_t kib) {
  return {{256 * 16, 256 * 16}, {kib == 192 ? Sample::u8 : Sample::u16, 3, 0}, {256, 256}};
}

// A server and a client of it.
struct Bed {
  explicit Bed(bool encrypt) {
    Limits limits;
    limits.most.fill(unlimited);
    ledger = std::make_unique<Ledger>(limits);
    served = memory_store(*ledger);
    ServerOptions serving;
    serving.address = "127.0.0.1";
    serving.port = 0;
    serving.secret = Secret("bench");
    serving.key = key();
    serving.plain = !encrypt;
    server = Server::listen({server_loop, served, *ledger, server_heap, waiters, log, {}}, serving).value();
    ClusterOptions options;
    options.hosts = {{"127.0.0.1", server->port()}};
    options.secret = Secret("bench");
    options.key = key();
    options.encrypt = encrypt;
    store = cluster_store(loop, heap, log, options);
  }

  void fill(const ImageSpec& spec) {
    image = ImageId::fresh();
    if (!store->open({}, image, spec)) std::abort();
    for (std::uint32_t n = 0; n < tiles; ++n)
      if (!put_one(*store, {}, key_of(n), tile(spec))) std::abort();
  }
  TileKey key_of(std::uint32_t n) const { return {image, 0, n % 16, n / 16 % 16}; }
  Tile tile(const ImageSpec& spec) {
    auto draft = TileDraft::make(spec.tile, spec.format, heap).value();
    std::memset(draft.bytes().data(), 7, draft.bytes().size());
    return std::move(draft).freeze();
  }

  Log log;
  std::unique_ptr<Ledger> ledger;
  TileHeap server_heap{64u << 20};
  TileHeap heap{64u << 20};
  net::Loop server_loop;
  net::Loop loop;
  Pool waiters{4};
  std::shared_ptr<TileStore> served;
  std::unique_ptr<Server> server;
  StorePtr store;
  ImageId image;
};

enum Work { getting, putting };

// Arguments: KiB a tile, encrypted, tiles a batch.
template <Work work>
void remote(benchmark::State& state) {
  static std::unique_ptr<Bed> bed;
  const ImageSpec spec = spec_of(state.range(0));
  if (state.thread_index() == 0) {
    bed = std::make_unique<Bed>(state.range(1) != 0);
    bed->fill(spec);
  }
  const auto batch = static_cast<std::uint32_t>(state.range(2));
  std::uint32_t n = static_cast<std::uint32_t>(state.thread_index()) * 64;
  Tile tile;
  for (auto _ : state) {
    if (!tile) tile = bed->tile(spec);
    if (work == getting) {
      std::vector<TileGet> gets;
      for (std::uint32_t i = 0; i < batch; ++i) gets.push_back({bed->key_of(n++)});
      bed->store->get({}, gets);
      for (const TileGet& get : gets)
        if (!get.got || !*get.got) std::abort();
    } else {
      std::vector<TilePut> puts;
      for (std::uint32_t i = 0; i < batch; ++i) puts.push_back({bed->key_of(n++), tile});
      bed->store->put({}, puts);
      for (const TilePut& put : puts)
        if (!put.put) std::abort();
    }
  }
  state.SetBytesProcessed(state.iterations() * state.range(2) * state.range(0) << 10);
  if (state.thread_index() == 0) bed.reset();
}

struct Ends {
  std::unique_ptr<net::Stream> from, to;
};

// A connected pair on two loops, encrypted or not.
Ends connected(net::Loop& here, net::Loop& there, bool encrypt) {
  auto listener = net::Listener::open(there, {.address = "127.0.0.1"}).value();
  auto from = here.run(net::connect({"127.0.0.1", listener->port()}, Clock::time_point::max())).value();
  auto to = there.run(listener->accept()).value();
  if (!encrypt) return {std::move(from), std::move(to)};
  Ends ends;
  std::jthread other([&] {
    ends.to = there.run(net::secure_server(std::move(to), key(), Clock::time_point::max())).value();
  });
  ends.from = here.run(net::secure_client(std::move(from), key(), Clock::time_point::max())).value();
  other.join();
  return ends;
}

net::Task<void> send_bytes(net::Stream* stream, net::Bytes bytes, int times) {
  const std::array<net::Bytes, 1> one{bytes};
  const std::span<const net::Bytes> parts(one);
  for (int i = 0; i < times; ++i) {
    auto sent = co_await stream->write(parts, Clock::time_point::max());
    if (!sent) co_return pass(std::move(sent.error()));
  }
  co_return Result<void>();
}

net::Task<void> take_bytes(net::Stream* stream, std::uint64_t bytes) {
  std::vector<std::byte> into(1u << 20);
  while (bytes > 0) {
    const auto space = std::span(into).first(std::min<std::uint64_t>(into.size(), bytes));
    auto got = co_await stream->read_some(space, Clock::time_point::max());
    if (!got) co_return pass(std::move(got.error()));
    bytes -= *got;
  }
  co_return Result<void>();
}

void sent(benchmark::State& state) {
  net::Loop here, there;
  Ends ends = connected(here, there, state.range(1) != 0);
  const std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)) << 10, std::byte{7});
  constexpr int times = 64;
  for (auto _ : state) {
    std::jthread other([&] { (void)there.run(take_bytes(ends.to.get(), bytes.size() * times)); });
    (void)here.run(send_bytes(ends.from.get(), bytes, times));
  }
  state.SetBytesProcessed(state.iterations() * times * state.range(0) << 10);
}

void common(benchmark::internal::Benchmark* b) { b->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMicrosecond); }

void sizes(benchmark::internal::Benchmark* b) {
  for (const int kib : {192, 384})
    for (const int encrypt : {0, 1})
      for (const int batch : {1, 16}) b->Args({kib, encrypt, batch});
  b->ArgNames({"KiB", "tls", "batch"});
  common(b);
}

void streams(benchmark::internal::Benchmark* b) {
  for (const int encrypt : {0, 1}) b->Args({384, encrypt});
  b->ArgNames({"KiB", "tls"});
  common(b);
}

BENCHMARK(sent)->Apply(streams);
BENCHMARK(remote<getting>)->Name("get")->Apply(sizes);
BENCHMARK(remote<putting>)->Name("put")->Apply(sizes);
BENCHMARK(remote<getting>)->Name("get")->Apply(sizes)->Threads(4);
BENCHMARK(remote<putting>)->Name("put")->Apply(sizes)->Threads(4);

}  // namespace
}  // namespace smalti
