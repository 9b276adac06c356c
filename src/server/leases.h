// Leases: whose images a server keeps, and for how long.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "net/loop.h"
#include "server/signal.h"
#include "smalti/base/log.h"
#include "smalti/policy/limits.h"
#include "smalti/store/store.h"
#include "wire/native.h"

namespace smalti::server {

// A client session: all connections that gave the same id. Lives in Leases; on the loop only.
struct Session {
  wire::native::Id id{};
  std::string name;  // for the log
  std::uint32_t connections = 0;
  std::uint64_t visits = 0;  // grows with each connection, so that an expiry knows whether it still holds
  std::map<std::uint64_t, std::function<void()>> closers;  // of its connections, by visit
  std::set<ImageId> images;
};

// An image belongs to the session that opened it. When the session's last connection is gone its images live
// for the grace, in which a connection with the same session id takes them over; then they are dropped. Used
// on its loop only; the store's waiting is done by the pool.
class Leases {
 public:
  struct Parts {
    net::Loop& loop;
    net::Tasks& tasks;
    std::shared_ptr<TileStore> store;
    Ledger& ledger;
    Pool& waiters;
    Log& log;
  };
  Leases(Parts parts, std::chrono::milliseconds grace)
      : parts_(std::move(parts)), grace_(grace), changed_(parts_.loop.executor()) {}
  Leases(const Leases&) = delete;
  Leases& operator=(const Leases&) = delete;

 private:
  struct Image {
    explicit Image(const ImageSpec& spec) : grid(spec) {}
    enum class State : std::uint8_t { opening, open, going } state = State::opening;
    Grid grid;
    Session* owner = nullptr;
    std::uint32_t busy = 0;  // requests that are in the store with it
    Hold listed;
  };

 public:
  // A connection's part in its session.
  class Visit {
   public:
    Visit(Leases& leases, Session& session)
        : leases_(&leases), session_(&session), number_(session.visits) {}
    Visit(Visit&& other) noexcept
        : leases_(std::exchange(other.leases_, nullptr)), session_(other.session_), number_(other.number_) {}
    Visit& operator=(Visit&&) = delete;
    ~Visit() {
      if (leases_) leases_->leave(*session_, number_);
    }
    Session& session() const noexcept { return *session_; }

   private:
    Leases* leases_;
    Session* session_;
    std::uint64_t number_;
  };
  // `close` ends the connection; it is called at most once, by supersede().
  Visit join(const wire::native::Id& id, const std::string& name, std::function<void()> close = {});
  // Closes the session's connections and waits until nothing works for them any more. Errc::unavailable where that
  // takes longer.
  net::Task<void> supersede(wire::native::Id id, Clock::time_point deadline);

  // While it lives the image is not dropped.
  class Use {
   public:
    Use(Leases& leases, std::shared_ptr<Image> image) : leases_(&leases), image_(std::move(image)) {
      ++image_->busy;
    }
    Use(Use&& other) noexcept = default;
    Use& operator=(Use&& other) noexcept {
      std::swap(leases_, other.leases_);
      std::swap(image_, other.image_);
      return *this;
    }
    ~Use() {
      if (image_ && --image_->busy == 0) leases_->changed_.notify();
    }
    const Grid& grid() const noexcept { return image_->grid; }

   private:
    Leases* leases_;
    std::shared_ptr<Image> image_;
  };
  // Errc::invalid when the session has no such image open.
  Result<Use> use(const Session&, const ImageId&);

  // Refuses what the ledger's width, height or list-length do not allow, tiles beyond what a frame carries,
  // and another session's image (conflict). The session must not end meanwhile: its connection awaits it.
  net::Task<void> open(Session&, Call, ImageId, ImageSpec);
  // Waits until nothing uses the image any more. Unknown images are fine.
  net::Task<void> drop(Session&, Call, ImageId);
  // The client said that it is done: its images go now.
  asio::awaitable<void> end(Session&);

  // Everything goes: the server closes. No grace any more for those who leave from now on.
  void close();
  std::size_t images() const noexcept { return images_.size(); }
  std::size_t sessions() const noexcept { return sessions_.size(); }

 private:
  void leave(Session&, std::uint64_t visit);
  asio::awaitable<void> expire(wire::native::Id id, std::uint64_t visits);
  net::Task<void> remove(Call, ImageId, std::shared_ptr<Image>);
  Result<void> admit(const ImageSpec&) const;

  Parts parts_;
  const std::chrono::milliseconds grace_;
  Signal changed_;  // an image came to another state, or the leases are being closed
  std::map<wire::native::Id, std::unique_ptr<Session>> sessions_;
  std::unordered_map<ImageId, std::shared_ptr<Image>> images_;
  bool closing_ = false;
};

}  // namespace smalti::server
