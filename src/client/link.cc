#include "client/link.h"

#include <fmt/format.h>

#include <algorithm>
#include <asio/post.hpp>
#include <utility>

#include "client/connection.h"

namespace smalti::client {

using namespace wire::native;

namespace {

constexpr std::size_t batch_requests = 64;
constexpr std::uint64_t batch_bytes = 4u << 20;  // of payload, gathered in one write
constexpr std::uint64_t long_request = 1u << 20;  // of payload, so that answers flow while others are under way
// What passes in shared memory is copied by one side, then by the other: at the same time only in small requests.
constexpr std::uint64_t short_request = 256u << 10;
constexpr unsigned most_attempts = 2;
constexpr std::chrono::seconds between_extra_attempts{1};

}  // namespace

Link::Link(net::Loop& loop, TileHeap& heap, Log& log, LinkOptions options)
    : loop_(loop),
      heap_(heap),
      log_(log),
      options_(std::move(options)),
      coding_(options_.compress, heap),
      look_out_timer_(loop.executor()),
      usual_(Clock::duration(options_.stall_floor / 4).count()),
      tasks_(loop) {}

Link::~Link() {
  auto closing = [](Link* self) -> net::Task<void> {
    self->shut();
    co_return Result<void>();
  };
  const auto closed = loop_.run(closing(this));
  if (!closed) log_.line(Level::debug, closed.error().what);
  tasks_.wait();
}

void Link::submit(std::vector<RequestPtr> requests) {
  asio::post(loop_.executor(), [this, requests = std::move(requests)]() mutable { accept(std::move(requests)); });
}

Identity Link::identity() const {
  const std::lock_guard lock(identity_mutex_);
  return identity_;
}

std::uint64_t Link::request_bytes() const noexcept { return shares_ ? short_request : long_request; }

void Link::accept(std::vector<RequestPtr> requests) {
  for (const RequestPtr& request : requests)
    if (shut_ || !to_be_packed(request)) enqueue(request);
  owe();
  tend();
}

// From now on the server is watched, if it owes an answer.
void Link::owe() {
  if (quiet_since_ == 0 && owed()) quiet_since_ = Clock::now().time_since_epoch().count();
  if (watch_ && !looking_out_ && owed()) {
    looking_out_ = true;
    tasks_.spawn(look_out());
  }
}

void Link::enqueue(const RequestPtr& request) {
  if (shut_)
    finish(request, named({Errc::cancelled, "the client is shutting down"}));
  else
    queue_.push_back(request);
}

void Link::tend() {
  if (shut_ || queue_.empty()) return;
  if (!connections_.empty() && std::all_of(connections_.begin(), connections_.end(), [](auto& c) { return c->dead; }))
    return;  // the last of them to end connects anew
  bool ready = false;
  for (const ConnectionPtr& connection : connections_) {
    ready = ready || connection->ready;
    connection->wake.cancel();
  }
  const bool more = connections_.size() < std::max(options_.connections, 1u) && Clock::now() >= no_more_before_;
  if (connections_.empty() || (ready && more)) connect_one();
}

void Link::connect_one() {
  const bool alone = connections_.empty();
  connections_.push_back(std::make_shared<Connection>(loop_.executor()));
  connections_.back()->alone = alone;
  tasks_.spawn(live(connections_.back()));
}

void Link::finish(const RequestPtr& request, std::optional<Error> error) {
  if (std::exchange(request->counted, false)) coding_.end(request->coder, request->weight, Clock::now());
  request->failed = std::move(error);
  request->answered_epoch = identity_.epoch;
  request->over = true;
  if (request->latch) request->latch->done();
}

// What must not be sent, or not any more.
std::optional<Error> Link::hindrance(const Request& request) const {
  if (request.abandoned) return Error{Errc::cancelled, "nobody waits for the answer"};
  if (request.attempts >= most_attempts || (request.attempts > 0 && !request.repeatable))
    return named({Errc::unavailable, "the connection was lost before the answer came"});
  if (request.epoch != 0 && request.epoch != identity_.epoch)
    return named({Errc::unavailable, "the server restarted in the middle"});
  if (auto alive = request.call.alive(); !alive) return alive.error();
  return std::nullopt;
}

std::vector<RequestPtr> Link::next_batch(Connection& connection) {
  std::vector<RequestPtr> batch = std::move(connection.pings);
  connection.pings.clear();
  std::uint64_t bytes = 0, to_lay = 0;
  while (!queue_.empty() && batch.size() < batch_requests && bytes < batch_bytes && to_lay < short_request) {
    RequestPtr request = queue_.front();
    if (auto hindered = hindrance(*request)) {
      queue_.pop_front();
      finish(request, std::move(hindered));
      continue;
    }
    if (connection.in_flight > 0 && connection.in_flight + request->weight > connection.most_in_flight) break;
    queue_.pop_front();
    bytes += request->weight;
    if (connection.shared && !request->payloads.empty()) to_lay += request->weight;
    connection.in_flight += request->weight;
    batch.push_back(std::move(request));
  }
  return batch;
}

void Link::lost(const ConnectionPtr& connection, const Error& error) {
  const bool was_ready = connection->ready || connection->superseded;
  connection->end();
  connection->ready = false;
  std::erase(connections_, connection);
  const auto sent = std::move(connection->sent);
  connection->sent.clear();
  // What was put here may still lie unread in the broken connection. Only a connection that is alone is known to come
  // behind it, so the others end, too.
  for (const auto& [number, request] : sent)
    if (was_ready && !shut_ && std::holds_alternative<Put>(request->message))
      for (const ConnectionPtr& other : connections_) {
        other->superseded = true;
        other->end();
      }
  for (const auto& [number, request] : sent) {
    const bool asks_for_life = !request->latch && (std::holds_alternative<Ping>(request->message) ||
                                                   std::holds_alternative<Share>(request->message));
    if (shut_ || asks_for_life || hindrance(*request))
      finish(request, error);
    else
      queue_.push_front(request);
  }
  if (!was_ready) no_more_before_ = Clock::now() + between_extra_attempts;
  // Where even connecting failed there is no point in trying again for what waits now.
  if (shut_ || (!was_ready && connections_.empty())) {
    const auto waiting = std::move(queue_);
    queue_.clear();
    for (const RequestPtr& request : waiting) finish(request, error);
  }
  if (!shut_) log_.line(Level::debug, error.what);
  if (!was_ready && connections_.empty()) tell(LinkEvent::Kind::lost, error);
  if (!owed()) quiet_since_ = 0;
  tend();
  if (was_ready && connections_.empty() && watch_ && !shut_) connect_one();  // is it gone?
}

void Link::shut() {
  shut_ = true;
  look_out_timer_.cancel();
  const auto waiting = std::move(queue_);
  queue_.clear();
  for (const RequestPtr& request : waiting) finish(request, named({Errc::cancelled, "the client is shutting down"}));
  for (const ConnectionPtr& connection : connections_) {
    connection->leaving = true;
    if (connection->ready && !stalled_) {
      connection->wake.cancel();
      connection->beat.cancel();
    } else {
      connection->end();
    }
  }
}

Error Link::named(Error error) const {
  if (error.what.rfind(options_.host.text(), 0) != 0) error.what = fmt::format("{}: {}", options_.host.text(), error.what);
  return error;
}

// A welcome: who is there, and is it who was there before?
Result<void> Link::meet(const Welcome& welcome) {
  if (const std::string differ = differences(options_.attributes, welcome.attributes); !differ.empty())
    return pass(named({Errc::incompatible, "the server is incompatible: " + differ}));
  if (identity_.epoch != 0 && identity_.server == welcome.server && identity_.incarnation == welcome.incarnation)
    return {};  // written by this thread only
  {
    const std::lock_guard lock(identity_mutex_);
    identity_ = {welcome.server, welcome.incarnation, identity_.epoch + 1, welcome.durable};
  }
  if (identity_.epoch > 1) tell(LinkEvent::Kind::restarted, named({Errc::unavailable, "the server restarted"}));
  return {};
}

}  // namespace smalti::client
