// NativeClient: a welcomed client, and what its requests do.
#pragma once

#include <memory>
#include <vector>

#include "server/native_session.h"

namespace smalti::server {

// Shared by the coroutines that work for one connection; the visit ends with the last of them.
struct NativeClient {
  NativeClient(NativeHost& h, std::shared_ptr<NativeConnection> c, Leases::Visit v)
      : host(h), connection(std::move(c)), visit(std::move(v)) {}

  NativeHost& host;
  const std::shared_ptr<NativeConnection> connection;
  const Leases::Visit visit;

  Session& session() const noexcept { return visit.session(); }
  // As the client asked for it: its deadline, and stopped when it has gone.
  Call call_for(const wire::native::Meta&) const;
};
using ClientPtr = std::shared_ptr<NativeClient>;

// Answers what is at hand at once, and starts coroutines for the rest. Payloads of a put are read before it
// returns; an error means that the connection is of no more use.
net::Task<void> begin_request(ClientPtr client, wire::native::Frame frame);

// One coroutine a request that waits. They keep count of themselves in connection->running.
// `at`: where in the shared memory the payloads lie, or are to be laid; empty: they go by the stream.
void begin_get(ClientPtr client, wire::native::Meta meta, wire::native::Get get, std::vector<std::uint32_t> at);
net::Task<void> begin_put(ClientPtr client, wire::native::Meta meta, wire::native::Put put,
                          std::vector<std::uint32_t> at);

// Requests about names; false: it is none.
net::Task<bool> begin_named(ClientPtr client, wire::native::Meta meta, wire::native::Message message);

// Done, or failed and why.
void answer(const ClientPtr& client, const wire::native::Meta& meta, Result<void> done);

// Counts a request as running for as long as it lives.
class Running {
 public:
  explicit Running(const ClientPtr& client) : connection_(client->connection) { ++connection_->running; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    --connection_->running;
    connection_->changed.notify();
  }

 private:
  std::shared_ptr<NativeConnection> connection_;
};

}  // namespace smalti::server
