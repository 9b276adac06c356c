// Real servers in this process, on loopback.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "client/cluster.h"
#include "net/loop.h"
#include "server/server.h"
#include "smalti/policy/limits.h"
#include "smalti/store/stores.h"
#include "test/store/faulty.h"
#include "test/store/rotting.h"

namespace smalti::test {

inline Secret our_secret() { return Secret("open sesame"); }

inline const net::Psk& our_key() {
  static const net::Psk key{our_secret()};
  return key;
}

struct RealServerOptions {
  Limits limits;
  bool plain = false;
  std::uint16_t port = 0;
  std::filesystem::path state;  // empty: another server after each start
  std::optional<FaultPlan> faults;  // of its store
  bool rots = false;                // its memory may go bad
  bool share = true;                // memory, with clients on this host
};

class RealServer {
 public:
  explicit RealServer(RealServerOptions options) : options_(std::move(options)), ledger_(options_.limits) { start(); }
  ~RealServer() { stop(); }

  HostPort host() const { return {"127.0.0.1", options_.port}; }
  Server& server() { return *server_; }
  std::uint64_t tiles() const { return ask(true); }
  std::uint64_t bytes() const { return ask(false); }

  // REQUIRES: it may rot.
  RottingStore& memory() { return *rotting_; }

  // As if it had been killed: its tiles are gone, and the same port answers again.
  void restart() {
    stop();
    start();
  }
  void stop() {
    if (server_) server_->drain(std::chrono::seconds(0));
    server_.reset();
    store_.reset();
    EXPECT_EQ(ledger_.used(Resource::memory), 0u) << "a server that ends gives back everything";
  }

 private:
  void start() {
    if (options_.rots) {
      auto rotting = std::make_shared<RottingStore>(memory_store(ledger_), heap_);
      rotting_ = rotting.get();
      store_ = std::move(rotting);
    } else
      store_ = options_.faults ? faulty_store(memory_store(ledger_), *options_.faults) : memory_store(ledger_);
    ServerOptions options;
    options.address = "127.0.0.1";
    options.port = options_.port;
    options.secret = our_secret();
    options.key = our_key();
    options.plain = options_.plain;
    options.state = options_.state;
    options.grace = std::chrono::seconds(5);
    if (!options_.share) options.shared_bytes = 0;
    auto listening = Server::listen({loop_, store_, ledger_, heap_, waiters_, log_, {}}, options);
    ASSERT_TRUE(listening) << listening.error().what;
    server_ = std::move(*listening);
    options_.port = server_->port();
  }
  std::uint64_t ask(bool tiles) const {
    std::uint64_t sum = 0;
    if (store_) store_->use({}, [&](const TierUse& use) { sum += tiles ? use.tiles : use.bytes; });
    return sum;
  }

  RealServerOptions options_;
  Ledger ledger_;
  TileHeap heap_;
  Log log_;
  net::Loop loop_;
  Pool waiters_{4};
  std::shared_ptr<TileStore> store_;
  RottingStore* rotting_ = nullptr;
  std::unique_ptr<Server> server_;
};

}  // namespace smalti::test
