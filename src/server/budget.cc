#include "server/budget.h"

#include <algorithm>
#include <asio/redirect_error.hpp>
#include <asio/use_awaitable.hpp>

namespace smalti::server {

bool Budget::try_take(std::uint64_t bytes, Share& into) {
  if (!turns_.empty() || !fits(bytes)) return false;
  used_ += bytes;
  into = Share(*this, bytes);
  return true;
}

asio::awaitable<Budget::Share> Budget::take(std::uint64_t bytes) {
  Share share;
  if (try_take(bytes, share)) co_return share;
  const auto turn = turns_.emplace(turns_.end(), bytes, false, asio::steady_timer(executor_));
  struct Leave {
    Leave(Budget& b, std::list<Turn>::iterator t) : budget(b), turn(t) {}
    ~Leave() { budget.leave(turn); }
    Budget& budget;
    std::list<Turn>::iterator turn;
  };
  const Leave leave(*this, turn);
  while (!turn->granted) {
    turn->timer.expires_after(patience_);
    asio::error_code woken;
    auto token = asio::redirect_error(asio::use_awaitable, woken);
    co_await turn->timer.async_wait(token);
    if (woken || turn->granted) continue;
    for (const auto& [who, press] : watched_) press(patience_);
  }
  share = Share(*this, bytes);
  co_return share;
}

void Budget::leave(std::list<Turn>::iterator turn) {
  turns_.erase(turn);
  give(0);  // whoever stood behind may be next
}

void Budget::give(std::uint64_t bytes) noexcept {
  used_ -= bytes;
  for (Turn& turn : turns_) {
    if (turn.granted) continue;
    if (!fits(turn.bytes)) break;
    used_ += turn.bytes;
    turn.granted = true;
    turn.timer.cancel();
  }
}

}  // namespace smalti::server
