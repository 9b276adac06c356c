#include "server/magick_door.h"

#include <fmt/format.h>

#include <array>
#include <atomic>
#include <system_error>

namespace smalti {

using wire::magick::Arrival;
using wire::magick::Greeter;

namespace {

constexpr std::string_view ask_the_probe =
    "`smalti -probe-client PROGRAM' tells which port an ImageMagick client needs";

tl::unexpected<Error> too_little(const net::TcpStream& stream, std::size_t heard, Error error) {
  if (error.code != Errc::timeout && error.code != Errc::unavailable) return pass(std::move(error));
  return fail(error.code, fmt::format("{}: {} after {} bytes of a handshake; {}", stream.peer(),
                                      error.code == Errc::timeout ? "silent" : "gone", heard, ask_the_probe));
}

}  // namespace

struct MagickDoor::Served {
  Served(MagickClient admitted, std::shared_ptr<void> until) : client(std::move(admitted)), until_end(std::move(until)) {}
  MagickClient client;  // its socket is gone once it is over; guarded by the door's mutex
  std::shared_ptr<void> until_end;
  std::atomic<bool> over{false};
  std::jthread thread;
};

MagickDoor::MagickDoor(CacheParts cache, Log& log, MagickOptions options, unsigned cores)
    : cache_(cache), cores_(cores), parts_{cache, log, cores_, options} {}

MagickDoor::~MagickDoor() { stop(std::chrono::milliseconds(0)); }

net::Task<MagickClient> MagickDoor::admit(std::unique_ptr<net::TcpStream> stream, Greeter greeter,
                                          Clock::time_point deadline) {
  std::array<std::byte, 64> heard;
  std::size_t size = 0;
  Arrival arrival;
  while (arrival.kind == Arrival::Kind::more) {
    auto got = co_await stream->read_some(std::span(heard).subspan(size), deadline);
    if (got && *got == 0) got = fail(Errc::unavailable, "");
    if (!got) co_return too_little(*stream, size, std::move(got.error()));
    size += *got;
    arrival = greeter.judge(std::span(heard).first(size));
  }
  if (arrival.kind != Arrival::Kind::admitted) {
    if (arrival.status) {
      const auto status = wire::magick::encode_status(false);
      const std::array<net::Bytes, 1> parts{net::Bytes(status)};
      (void)co_await stream->write(parts, deadline);
    }
    co_return fail(Errc::unauthorized, fmt::format("{}: {}; {}", stream->peer(), arrival.why, ask_the_probe));
  }
  MagickClient client{nullptr, std::move(greeter), {heard.begin() + static_cast<std::ptrdiff_t>(arrival.used),
                                                    heard.begin() + static_cast<std::ptrdiff_t>(size)}};
  client.socket = net::DirectSocket::over(*stream);
  if (!client.socket) co_return fail(Errc::cancelled, "the connection was closed");
  co_return client;
}

Result<void> MagickDoor::serve(MagickClient client, std::shared_ptr<void> until_end) {
  reap();
  const std::lock_guard lock(mutex_);
  if (stopping_) return fail(Errc::cancelled, "the server is stopping");
  auto& served = served_.emplace_back(std::make_unique<Served>(std::move(client), std::move(until_end)));
  const auto work = [this, here = served.get()] {
    MagickSession(parts_, *here->client.socket, here->client.greeter, std::move(here->client.first)).run();
    end(*here);
  };
  try {
    served->thread = std::jthread(work);
  } catch (const std::system_error& error) {
    const std::string peer = served->client.socket->peer();
    served_.pop_back();
    return fail(Errc::limit, fmt::format("{}: the system has no thread left for it; allow fewer connections with "
                                         "-define cache:max-dpc-clients", peer), error.code().value());
  }
  return {};
}

// The connection closes here, not when somebody gets round to joining the thread.
void MagickDoor::end(Served& served) {
  {
    const std::lock_guard lock(mutex_);
    served.client.socket.reset();
  }
  served.until_end.reset();
  served.over = true;
}

// Sessions that are over, joined outside the lock.
void MagickDoor::reap() {
  std::list<std::unique_ptr<Served>> over;
  const std::lock_guard lock(mutex_);
  for (auto each = served_.begin(); each != served_.end();) {
    const auto next = std::next(each);
    if ((*each)->over) over.splice(over.end(), served_, each);
    each = next;
  }
}

void MagickDoor::stop(std::chrono::milliseconds grace) {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    for (const auto& each : served_)
      if (each->client.socket) each->client.socket->shut_reading();
  }
  const auto until = Clock::now() + grace;
  const auto any_left = [this] {
    reap();
    const std::lock_guard lock(mutex_);
    return !served_.empty();
  };
  while (any_left() && Clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  std::list<std::unique_ptr<Served>> rest;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& each : served_)
      if (each->client.socket) each->client.socket->shut();
    rest.swap(served_);
  }
}

}  // namespace smalti
