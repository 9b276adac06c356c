#include "server/magick_door.h"

#include <fmt/format.h>

#include <array>
#include <asio/async_result.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <system_error>
#include <thread>

namespace smalti {

using server::Guest;
using wire::magick::Arrival;

namespace {

constexpr std::string_view ask_the_probe =
    "`smalti -probe-client PROGRAM' tells which port an ImageMagick client needs";

Error too_little(const std::string& peer, std::size_t heard, Error error) {
  if (error.code != Errc::timeout && error.code != Errc::unavailable) return error;
  error.what = fmt::format("{}: closed: {} after {} bytes of a handshake; {}", peer,
                           error.code == Errc::timeout ? "silent" : "gone", heard, ask_the_probe);
  return error;
}

// Runs the work on a thread of its own; resumes on the loop once it is done. False where there was no thread
// to be had.
asio::awaitable<bool> on_a_thread(std::function<void()> work) {
  auto executor = co_await asio::this_coro::executor;
  std::jthread thread;  // joined when the coroutine resumes, which is the last the thread asks for
  auto start = [&thread, executor, work = std::move(work)](auto handler) {
    auto shared = std::make_shared<decltype(handler)>(std::move(handler));
    const auto resume = [executor, shared](bool done) {
      asio::post(executor, [shared, done] { std::move (*shared)(done); });
    };
    try {
      thread = std::jthread([work, resume] {
        work();
        resume(true);
      });
    } catch (const std::system_error&) {
      resume(false);
    }
  };
  co_return co_await asio::async_initiate<const asio::use_awaitable_t<>, void(bool)>(start,
                                                                                     asio::use_awaitable);
}

}  // namespace

MagickDoor::MagickDoor(CacheParts cache, Log& log, MagickOptions options, unsigned cores)
    : cores_(cores), parts_{std::move(cache), log, cores_, options}, complaints_(log) {}

server::GuestHandler MagickDoor::handler() {
  return [this](Guest guest) { return receive(std::move(guest)); };
}

// What the guest sent beyond its answer. Errc::unauthorized tells all that can be known of why it is refused.
net::Task<std::vector<std::byte>> MagickDoor::admit(Guest& guest) {
  std::array<std::byte, 64> heard;
  std::size_t size = 0;
  Arrival arrival;
  while (arrival.kind == Arrival::Kind::more) {
    auto got = co_await guest.stream->read_some(std::span(heard).subspan(size), guest.deadline);
    if (got && *got == 0) got = fail(Errc::unavailable, "");
    if (!got) co_return tl::unexpected<Error>(too_little(guest.stream->peer(), size, std::move(got.error())));
    size += *got;
    arrival = guest.greeter.judge(std::span(heard).first(size));
  }
  if (arrival.kind == Arrival::Kind::admitted)
    co_return std::vector<std::byte>(heard.begin() + static_cast<std::ptrdiff_t>(arrival.used),
                                     heard.begin() + static_cast<std::ptrdiff_t>(size));
  if (arrival.status) {
    const auto status = wire::magick::encode_status(false);
    const std::array<net::Bytes, 1> parts{net::Bytes(status)};
    const std::span<const net::Bytes> gathered(parts);
    (void)co_await guest.stream->write(gathered, guest.deadline);
  }
  co_return fail(Errc::unauthorized,
                 fmt::format("{}: closed: {}; {}", guest.stream->peer(), arrival.why, ask_the_probe));
}

asio::awaitable<void> MagickDoor::receive(Guest guest) {
  auto first = co_await admit(guest);
  if (!first) {
    refuse(first.error().what);
    co_return;
  }
  const std::shared_ptr<net::DirectSocket> socket = net::DirectSocket::over(*guest.stream);
  if (!socket) co_return;
  if (!guest.admitted([socket] { socket->shut(); })) {
    refuse(
        fmt::format("{}: closed: too many clients from its address (cache:max-dpc-clients)", socket->peer()));
    co_return;
  }
  std::function<void()> work = [this, socket, greeter = guest.greeter, waiting = std::move(*first)] {
    MagickSession(parts_, *socket, greeter, waiting).run();
  };
  const bool served = co_await on_a_thread(std::move(work));
  if (!served)
    refuse(
        fmt::format("{}: closed: the system has no thread left for it; allow fewer connections with -define "
                    "cache:max-dpc-clients",
                    socket->peer()));
}

}  // namespace smalti
