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
#include "server/quota.h"
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
  Clock::time_point gone_since{};  // without a connection; good while there is none
  std::uint64_t visits = 0;  // grows with each connection, so that an expiry knows whether it still holds
  std::map<std::uint64_t, std::function<void()>> closers;  // of its connections, by visit
  std::uint32_t locks = 0;                                 // on names
  std::set<ImageId> images;                                // that it made, or reads
};

// An image belongs to the session that opened it. When the session's last connection is gone its images live
// for the grace, in which a connection with the same session id takes them over; then they are dropped.
// An image that gets a name stays when its maker goes, never changes any more, and may be read by other sessions; it
// is dropped when neither name nor reader is left. Used on its loop only; the store's waiting is done by the pool.
class Leases {
 public:
  struct Parts {
    net::Loop& loop;
    net::Tasks& tasks;
    std::shared_ptr<TileStore> store;
    Ledger& ledger;
    Pool& waiters;
    Log& log;
    Quota& quota;
    // Told of images that are to get a name, before the store hears of them. May be empty.
    std::function<void(const ImageId&)> for_name = {};
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
    Session* owner = nullptr;     // who may write; none: its maker is gone
    std::set<const Session*> readers;
    std::uint32_t names = 0;      // that it has; then nobody may write
    std::uint32_t busy = 0;       // requests that are in the store with it
    bool counted = false;         // its tiles count against the quota
    std::vector<bool> taken;      // by grid index: the tiles that do
    std::uint64_t held = 0;       // bytes of these
    Hold listed;

    bool kept() const noexcept { return owner || !readers.empty() || names > 0; }
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
    bool for_name() const noexcept { return image_->counted; }  // it has a name, or is to get one
    // Room for a tile in the quota, where the image counts against it: before the tile is put, and given back when it
    // could not be, or was taken away. False: it had room already. Fails with limit.
    Result<bool> take_room(const TileKey&);
    void give_room(const TileKey&);

   private:
    Leases* leases_;
    std::shared_ptr<Image> image_;
  };
  // mending: what it lacks may be put, though it has a name: see mender.h.
  enum class For : std::uint8_t { reading, writing, mending };
  // Errc::invalid when the session has no such image open; conflict when it has a name and is to be written.
  Result<Use> use(const Session&, const ImageId&, For);

  enum class As : std::uint8_t {
    own,       // a new image, or the session's own again
    for_name,  // ... that is to get a name
    existing,  // one that has a name, to be read; unavailable where it is not here
  };
  // Refuses what the ledger's width, height or list-length do not allow, tiles beyond what a frame carries,
  // and another session's image (conflict). The session must not end meanwhile: its connection awaits it.
  net::Task<void> open(Session&, Call, ImageId, ImageSpec, As as = As::own);
  // The session has no more to do with the image. Where nobody has, it is dropped: waits until nothing uses it any
  // more. Unknown images are fine.
  net::Task<void> drop(Session&, Call, ImageId);
  // The client said that it is done: its images go now.
  asio::awaitable<void> end(Session&);

  // An image that some session made and still has, or that has a name, gets a name more. unavailable: there is none.
  Result<void> name(const ImageId&);
  // A name less; where nobody has the image any more it is dropped behind the caller's back. REQUIRES: name(), or keep().
  void unname(const ImageId&);
  // At the start, before any client: an image that the store has had from before, with a name.
  void keep(const ImageId&, const ImageSpec&, std::uint64_t bytes);
  bool has(const ImageId& id) const { return images_.contains(id); }
  // Bytes that count against the quota.
  std::uint64_t held(const ImageId&) const;

  // Called when a session ends, before its images go.
  void on_end(std::function<void(const Session&)> told) { ended_ = std::move(told); }
  Session* find(const wire::native::Id&) const;
  std::chrono::milliseconds grace() const noexcept { return grace_; }

  // Everything goes but what has a name: the server closes. No grace any more for those who leave from now on.
  void close();
  std::size_t images() const noexcept { return images_.size(); }
  std::size_t sessions() const noexcept { return sessions_.size(); }
  std::size_t connected() const noexcept;  // of these, how many have a connection

 private:
  void leave(Session&, std::uint64_t visit);
  asio::awaitable<void> expire(wire::native::Id id, std::uint64_t visits);
  static asio::awaitable<void> clear(Leases* self, ImageId id, std::shared_ptr<Image> image);
  net::Task<void> remove(Call, ImageId, std::shared_ptr<Image>);
  net::Task<void> join_readers(Session&, Call, ImageId, ImageSpec);
  Result<void> admit(const ImageSpec&) const;

  Parts parts_;
  const std::chrono::milliseconds grace_;
  Signal changed_;  // an image came to another state, or the leases are being closed
  std::function<void(const Session&)> ended_;
  std::map<wire::native::Id, std::unique_ptr<Session>> sessions_;
  std::unordered_map<ImageId, std::shared_ptr<Image>> images_;
  bool closing_ = false;
};

}  // namespace smalti::server
