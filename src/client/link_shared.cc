// Tiles in memory that a server on this host shares with us.
#include <fmt/format.h>

#include <utility>

#include "client/connection.h"
#include "wire/copy_sum.h"

namespace smalti::client {

using namespace wire::native;

// Where it cannot be tiles go by the stream, so that nobody need be told.
void Link::ask_to_share(Connection& connection) {
  auto shared = SharedLink::open();
  if (!shared) return log_.line(Level::debug, named(std::move(shared.error())).what);
  auto asking = std::make_shared<Request>();
  asking->message = shared->offer(connection.ends);
  connection.shared.emplace(std::move(*shared));
  connection.pings.push_back(std::move(asking));
}

void Link::begin_to_share(Connection& connection, const Request& asked) {
  const auto taken = asked.failed ? Result<void>(pass(Error(*asked.failed))) : connection.shared->take();
  if (!taken) {
    connection.shared.reset();
    return log_.line(Level::debug, named(taken.error()).what);
  }
  if (shares_.exchange(true)) return;
  log_.line(Level::info, fmt::format("{}: on this host: tiles pass in shared memory", options_.host.text()));
}

// Copied before anything is verified: the server might still change it.
Result<void> Link::take_shared(Connection& connection, std::uint64_t number, Request& request, Tiles& tiles) {
  for (TileAnswer& answer : tiles.answers) {
    SMALTI_TRY(Arrived * arrived, expected_tile(request, answer));
    if (!arrived) continue;
    const auto laid = connection.shared ? connection.shared->find(number, answer.index, answer.bytes) : std::nullopt;
    if (!laid)
      return fail(Errc::corrupt, "the server's answer makes no sense: a tile in memory that was not asked for there");
    SMALTI_TRY(TileDraft draft, TileDraft::make(request.expected[answer.index], request.format, heap_));
    arrived->verified = wire::copy_and_sum(draft.bytes(), *laid) == answer.checksum;
    traffic_.received += laid->size();
    arrived->got = std::optional<Tile>(std::move(draft).freeze().marked_with(answer.checksum));
  }
  if (connection.shared && !connection.shared->alive())
    return fail(Errc::unavailable, "the server has closed the connection in the middle of a tile");
  return {};
}

}  // namespace smalti::client
