#include "house/caretaker.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "client/names.h"

namespace smalti::house {

namespace {

constexpr std::chrono::milliseconds first_pause{4000};
constexpr std::chrono::milliseconds longest_pause{300'000};  // where others cannot be asked for long
constexpr std::chrono::seconds patience{10};                 // for one name

// All servers of an image find what was left at about the same time: half the pause up to one and a half.
std::chrono::milliseconds somewhat(std::chrono::milliseconds pause) {
  const auto dice = std::to_integer<int>(ImageId::fresh().raw[0]);
  return pause / 2 + pause * dice / 256;
}

}  // namespace

Caretaker::Caretaker(House& house, const std::vector<std::unique_ptr<Server>>& servers)
    : house_(house), servers_(servers), thread_([this](const std::stop_token& stop) { work(stop); }) {}

Caretaker::~Caretaker() = default;

void Caretaker::work(const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  auto pause = first_pause;
  while (true) {
    {
      std::unique_lock lock(mutex);
      never.wait_for(lock, stop, somewhat(pause), [] { return false; });
    }
    if (stop.stop_requested()) return;
    Call call;
    call.stop = stop;
    bool done = true;
    for (const auto& server : servers_)
      for (const server::LeftOver& left : server->left_over()) done = look(left, call.within(patience)) && done;
    pause = done ? first_pause : std::min(2 * pause, longest_pause);
  }
}

// True: it was found out what becomes of it.
bool Caretaker::look(const server::LeftOver& left, const Call& call) {
  auto hosts = parse_hosts(fmt::format("{}", fmt::join(left.servers, ",")));
  if (!hosts || hosts->empty()) return false;
  const auto names = names_on(house_, std::move(*hosts));
  const auto freed = names->free_left_over(call, left.name);
  if (!freed) house_.log.line(Level::debug, freed.error().what);
  return freed.has_value();
}

}  // namespace smalti::house
