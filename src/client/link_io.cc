// A connection's life: connect, greet, then one coroutine reads, one writes, and one keeps the server talking.
#include <fmt/format.h>

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>
#include <functional>
#include <optional>

#include "client/connection.h"
#include "net/connector.h"
#include "net/tls.h"

namespace smalti::client {

using namespace wire::native;
using net::Bytes;
using net::Task;

namespace {

constexpr std::uint64_t default_in_flight = 16u << 20;
constexpr std::chrono::milliseconds shortest_ping{20};
constexpr std::chrono::milliseconds longest_ping{10000};
constexpr std::chrono::milliseconds longest_watched_ping{1000};
constexpr std::chrono::milliseconds longest_goodbye{500};

tl::unexpected<Error> nonsense(std::string_view what) {
  return fail(Errc::corrupt, fmt::format("the server's answer makes no sense: {}", what));
}

std::uint32_t millis_left(const Call& call) {
  if (call.deadline == Clock::time_point::max()) return 0;
  const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(call.deadline - Clock::now()).count();
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(left, 1, std::numeric_limits<std::uint32_t>::max()));
}

}  // namespace

asio::awaitable<void> rest(asio::steady_timer* timer, Clock::time_point when) {
  timer->expires_at(when);
  asio::error_code ignored;
  auto token = asio::redirect_error(asio::use_awaitable, ignored);
  co_await timer->async_wait(token);
}

asio::awaitable<void> Link::live(ConnectionPtr connection) {
  auto up = co_await establish(connection);
  if (!up || connection->dead) {
    Error error = up ? Error{Errc::cancelled, "the client is shutting down"} : std::move(up.error());
    if (error.code == Errc::timeout) error.code = Errc::unavailable;  // it is the server that was late, not the caller
    lost(connection, named(std::move(error)));
    co_return;
  }
  connection->ready = true;
  ++traffic_.connects;
  if (connection->ends.one_host && options_.share) ask_to_share(*connection);
  tasks_.spawn(send_all(connection));
  tasks_.spawn(keep_alive(connection));
  tend();
  auto ended = co_await read_all(connection);
  lost(connection, named(std::move(ended.error())));
}

Task<void> Link::establish(ConnectionPtr connection) {
  const auto deadline = Clock::now() + options_.connect;
  auto tcp = co_await net::connect(options_.host, deadline, connection->connecting.get_token());
  if (!tcp) co_return pass(std::move(tcp.error()));
  if ((*tcp)->within_one_host()) coding_.within_one_host();
  const auto give_up = [raw = tcp->get()] { raw->close(); };
  std::optional<std::stop_callback<std::function<void()>>> when_stopped;
  when_stopped.emplace(connection->connecting.get_token(), give_up);
  connection->ends = net::ends_of((*tcp)->descriptor());
  auto secure = co_await net::secure_client(std::move(*tcp), options_.psk, deadline);
  when_stopped.reset();
  if (!secure && secure.error().code == Errc::unauthorized)
    co_return fail(Errc::unauthorized, fmt::format("{}: authentication failed; is cache:shared-secret the same here "
                                                   "and there?", options_.host.text()));
  if (!secure) co_return pass(std::move(secure.error()));
  net::SecureStream* encrypted = secure->get();
  connection->stream = std::move(*secure);

  auto welcomed = co_await greet(connection, deadline);
  if (!welcomed) co_return pass(std::move(welcomed.error()));
  if (!*welcomed) co_return Result<void>();
  auto plain = co_await encrypted->plain(deadline);
  if (!plain) co_return pass(std::move(plain.error()));
  connection->stream = std::move(*plain);
  co_return Result<void>();
}

// True: both sides end encryption now.
Task<bool> Link::greet(ConnectionPtr connection, Clock::time_point deadline) {
  Connection* own = connection.get();
  const std::vector<std::byte> hello =
      encode({}, Hello{options_.attributes, options_.session, !options_.encrypt, "smalti", connection->alone});
  const std::array<Bytes, 1> frame{Bytes(hello)};
  const std::span<const Bytes> parts(frame);
  auto sent = co_await own->stream->write(parts, deadline);
  if (!sent) co_return pass(std::move(sent.error()));
  auto answer = co_await next_frame(own, deadline);
  if (!answer) co_return pass(std::move(answer.error()));
  if (auto* refused = std::get_if<Refused>(&answer->message)) {
    const std::string differ = differences(options_.attributes, refused->attributes);
    if (refused->code == Errc::incompatible && !differ.empty())
      co_return fail(Errc::incompatible, "the server is incompatible: " + differ);
    co_return fail(refused->code, refused->text);
  }
  const auto* welcome = std::get_if<Welcome>(&answer->message);
  if (!welcome) co_return nonsense(name_of(answer->message));
  if (welcome->plain && options_.encrypt) co_return nonsense("it wants to talk in clear");
  auto met = meet(*welcome);
  if (!met) co_return pass(std::move(met.error()));
  own->most_in_flight = welcome->in_flight_bytes > 0 ? welcome->in_flight_bytes : default_in_flight;
  const std::chrono::milliseconds grace(welcome->grace_millis > 0 ? welcome->grace_millis : 30000u);
  const auto longest = watch_ ? longest_watched_ping : longest_ping;
  own->ping_every = std::clamp(std::min(grace, options_.answer) / 3, shortest_ping, longest);
  co_return welcome->plain;
}

asio::awaitable<void> Link::keep_alive(ConnectionPtr connection) {
  while (!connection->dead) {
    const auto next = Clock::now() + (connection->leaving ? longest_goodbye : connection->ping_every);
    const bool was_leaving = connection->leaving;
    co_await rest(&connection->beat, next);
    if (was_leaving) connection->end();
    if (!connection->dead && !connection->leaving) ping(connection);
  }
}

asio::awaitable<void> Link::send_all(ConnectionPtr connection) {
  while (!connection->dead) {
    auto batch = next_batch(*connection);
    if (connection->leaving) {
      co_await say_goodbye(connection.get());
      co_return;
    }
    if (batch.empty()) {
      constexpr auto until_woken = Clock::time_point::max();
      co_await rest(&connection->wake, until_woken);
      continue;
    }
    auto sent = co_await send_batch(connection.get(), std::move(batch));
    if (!sent && !connection->dead) connection->stream->close();  // the reader sees it, and cleans up
    if (connection->shared) co_await net::yield();                // what is answered meanwhile gives its room back
  }
}

// The session's images may be freed now; the server need not wait for the grace.
asio::awaitable<void> Link::say_goodbye(Connection* connection) {
  const std::vector<std::byte> goodbye = encode({}, Goodbye{true, ""});
  const std::array<Bytes, 1> frame{Bytes(goodbye)};
  const std::span<const Bytes> parts(frame);
  const auto deadline = Clock::now() + longest_goodbye;
  auto sent = co_await connection->stream->write(parts, deadline);
  if (!sent) log_.line(Level::debug, sent.error().what);
  connection->end();
}

Task<void> Link::send_batch(Connection* connection, std::vector<RequestPtr> batch) {
  std::vector<std::vector<std::byte>> heads;
  std::vector<Bytes> parts;
  heads.reserve(batch.size());
  std::uint64_t bytes = 0;
  for (const RequestPtr& request : batch) {
    request->prepare();
    ++request->attempts;
    const std::uint64_t number = connection->next_number++;
    connection->sent.emplace(number, request);
    const auto laid = connection->shared ? connection->shared->lay(number, *request) : std::nullopt;
    const Meta meta{number, request->call.trace, millis_left(request->call)};
    heads.push_back(encode(meta, laid ? *laid : request->message));
    parts.emplace_back(heads.back());
    for (const Tile& tile : request->payloads)
      if (tile && !laid) parts.push_back(tile.bytes());
    if (laid) traffic_.shared += request->weight;
    for (const Tile& tile : request->payloads) bytes += tile ? tile.charge() : 0;
    bytes += heads.back().size();
    traffic_.put_tiles += request->payloads.size();
  }
  traffic_.requests += batch.size();
  traffic_.sent += bytes;
  const auto deadline = Clock::now() + options_.answer;
  co_return co_await connection->stream->write(parts, deadline);
}

Task<Frame> Link::next_frame(Connection* connection, Clock::time_point deadline) {
  while (true) {
    auto frame = connection->decoder.next();
    if (!frame) co_return pass(std::move(frame.error()));
    if (*frame) co_return std::move(**frame);
    const auto space = connection->decoder.space();
    auto got = co_await connection->stream->read_some(space, deadline);
    if (!got) co_return pass(std::move(got.error()));
    if (*got == 0) co_return fail(Errc::unavailable, "the server has closed the connection");
    connection->decoder.filled(*got);
    traffic_.received += *got;
    heard(*connection);
  }
}

Task<void> Link::read_all(ConnectionPtr connection) {
  while (true) {
    const auto deadline = Clock::now() + options_.answer;
    auto frame = co_await next_frame(connection.get(), deadline);
    if (!frame && frame.error().code == Errc::timeout)
      co_return fail(Errc::unavailable, fmt::format("the server has said nothing for {} s",
                                                    static_cast<double>(options_.answer.count()) / 1000));
    if (!frame) co_return pass(std::move(frame.error()));
    auto taken = co_await take(connection.get(), &*frame);
    if (!taken) co_return pass(std::move(taken.error()));
  }
}

Task<void> Link::take(Connection* connection, Frame* frame) {
  if (const auto* goodbye = std::get_if<Goodbye>(&frame->message))
    co_return fail(Errc::unavailable, goodbye->text.empty() ? "the server says goodbye" : goodbye->text);
  if (auto* failed = std::get_if<Failed>(&frame->message); failed && frame->meta.request == 0)
    co_return pass(std::move(failed->error));  // about the conversation itself
  const auto found = connection->sent.find(frame->meta.request);
  if (found == connection->sent.end()) co_return nonsense("an answer to nothing");
  const RequestPtr request = found->second;  // kept alive while payloads arrive
  if (auto* tiles = std::get_if<Tiles>(&frame->message)) {
    auto taken = co_await take_tiles(connection, request.get(), tiles);
    if (!taken) co_return pass(std::move(taken.error()));
  } else if (frame->body_bytes > 0) {
    if (!std::holds_alternative<Look>(request->message)) co_return nonsense("details that nobody asked for");
    request->body.resize(frame->body_bytes);
    auto taken = co_await take_payload(connection, request->body);
    if (!taken) co_return pass(std::move(taken.error()));
    request->answer = std::move(frame->message);
  } else if (auto* laid = std::get_if<SharedTiles>(&frame->message)) {
    auto taken = take_shared(*connection, frame->meta.request, *request, laid->tiles);
    if (!taken) co_return pass(std::move(taken.error()));
  } else {
    auto taken = take_answer(*request, frame->message);
    if (!taken) co_return pass(std::move(taken.error()));
  }
  if (request->unanswered > 0) co_return Result<void>();
  connection->sent.erase(frame->meta.request);
  if (connection->shared) connection->shared->give_back(frame->meta.request);
  if (std::holds_alternative<Share>(request->message)) begin_to_share(*connection, *request);
  connection->in_flight -= request->weight;
  if (!to_be_unpacked(request)) finish(request, std::move(request->failed));
  if (!owed()) quiet_since_ = 0;
  if (!queue_.empty()) connection->wake.cancel();
  co_return Result<void>();
}

// Everything but tiles.
Result<void> Link::take_answer(Request& request, Message& message) {
  if (auto* failed = std::get_if<Failed>(&message)) {
    request.failed = named(std::move(failed->error));
    request.unanswered = 0;
    return {};
  }
  const bool put = std::holds_alternative<Put>(request.message);
  if (auto* done = std::get_if<PutDone>(&message)) {
    if (!put) return nonsense("a put's answer to something else");
    for (PutAnswer& answer : done->answers) {
      if (answer.index >= request.answered.size() || request.answered[answer.index])
        return nonsense("two answers to one item");
      request.answered[answer.index] = true;
      request.puts[answer.index] = std::move(answer.put);
      --request.unanswered;
    }
    return {};
  }
  const bool counted = put || std::holds_alternative<Get>(request.message);
  if (auto* report = std::get_if<UseReport>(&message); report && std::holds_alternative<Use>(request.message)) {
    request.report = std::move(*report);
    return {};
  }
  if (std::holds_alternative<Done>(message) && !counted) return {};
  const bool looked = std::holds_alternative<Look>(request.message) && std::holds_alternative<Register>(message);
  const bool listed = std::holds_alternative<ListNames>(request.message) && std::holds_alternative<NamesPage>(message);
  if (looked || listed) {
    request.answer = std::move(message);
    return {};
  }
  return nonsense(name_of(message));
}

// Where a present tile is to go; nullptr where there is none.
Result<Arrived*> Link::expected_tile(Request& request, TileAnswer& answer) {
  if (!std::holds_alternative<Get>(request.message)) return nonsense("tiles that nobody asked for");
  if (answer.index >= request.gets.size() || request.gets[answer.index].answered)
    return nonsense("two answers to one item");
  Arrived& arrived = request.gets[answer.index];
  arrived.answered = true;
  --request.unanswered;
  if (answer.state == TileAnswer::State::failed) arrived.got = pass(named(std::move(answer.error)));
  if (answer.state != TileAnswer::State::present) return nullptr;
  const Extent size = request.expected[answer.index];
  if (answer.bytes != size.area() * request.format.pixel_bytes()) return nonsense("a tile of another size");
  ++traffic_.got_tiles;
  return &arrived;
}

Task<void> Link::take_tiles(Connection* connection, Request* request, Tiles* tiles) {
  for (TileAnswer& answer : tiles->answers) {
    auto expected = expected_tile(*request, answer);
    if (!expected) co_return pass(std::move(expected.error()));
    if (!*expected) continue;
    Arrived& arrived = **expected;
    const Extent size = request->expected[answer.index];
    if (answer.coded != 0) {
      arrived.checksum = answer.checksum;
      arrived.coded.resize(answer.coded);
      const std::span<std::byte> coded_into(arrived.coded);
      auto whole = co_await take_payload(connection, coded_into);
      if (!whole) co_return pass(std::move(whole.error()));
      continue;
    }
    auto draft = TileDraft::make(size, request->format, heap_);
    if (!draft) co_return pass(std::move(draft.error()));
    const auto into = draft->bytes();
    auto whole = co_await take_payload(connection, into);
    if (!whole) co_return pass(std::move(whole.error()));
    arrived.got = std::optional<Tile>(std::move(*draft).freeze().marked_with(answer.checksum));
  }
  co_return Result<void>();
}

Task<void> Link::take_payload(Connection* connection, std::span<std::byte> into) {
  auto rest_of_it = connection->decoder.claim(into);
  while (!rest_of_it.empty()) {
    const auto deadline = Clock::now() + options_.answer;
    auto got = co_await connection->stream->read_some(rest_of_it, deadline, rest_of_it.size());
    if (!got) co_return pass(std::move(got.error()));
    if (*got == 0) co_return fail(Errc::unavailable, "the server has closed the connection in the middle of a tile");
    rest_of_it = rest_of_it.subspan(*got);
    traffic_.received += *got;
    heard(*connection);
  }
  co_return Result<void>();
}

}  // namespace smalti::client
