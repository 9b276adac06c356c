// Keeper: looks after the servers that were lost, and the tiles that have fewer copies than they ought to.
#pragma once

#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/claims.h"
#include "client/fleet.h"
#include "client/get_rounds.h"
#include "client/image_record.h"

namespace smalti::client {

// One thread, which begins with start(). It says when a server is lost and when it is back, meets again those that are
// lost, copies tiles whose copies have become too few, a few at a time, and puts right damaged ones.
class Keeper {
 public:
  Keeper(Fleet& fleet, ImagesOf<ImageRecord>& images, Claims& claims, Log& log)
      : fleet_(fleet), images_(images), claims_(claims), log_(log) {}
  // Stops in the middle of what it does.
  ~Keeper();
  Keeper(const Keeper&) = delete;
  Keeper& operator=(const Keeper&) = delete;

  // Thread-safe, all of these.
  void start();
  void mend(Damage);
  // Some tile was stored with fewer copies than asked: says so, once.
  void note_fewer();

 private:
  using RecordPtr = ImagesOf<ImageRecord>::Ptr;

  struct Probe {
    RequestPtr ping;
    Clock::time_point next{};
    Clock::duration pause{};
  };

  void run(std::stop_token);
  void hear(const Incident&);
  void lost(std::uint32_t server, const Error&);
  void restarted(std::uint32_t server, const Error&);
  bool probe(std::uint32_t link);
  bool settled(Member&) const;
  void back(std::uint32_t server);
  void clean(std::uint32_t server);
  bool mend_some();
  bool copy_some();
  void tell_copied();
  bool copy_some(ImageRecord&, std::uint64_t& from);
  std::vector<TileKey> copy(ImageRecord&, std::span<const TileKey>, std::vector<RequestPtr>& lingering);
  std::optional<std::uint32_t> place_for(const ImageRecord&, const TileKey&) const;
  std::string damage_text() const;
  std::function<bool(std::uint32_t)> well() const {
    return [this](std::uint32_t server) { return fleet_.well(server); };
  }

  Fleet& fleet_;
  ImagesOf<ImageRecord>& images_;
  Claims& claims_;
  Log& log_;

  // The thread's own.
  std::map<std::uint32_t, Probe> probes_;        // by link
  std::map<std::uint32_t, std::uint64_t> said_;  // lost, and said so; in which epoch
  std::map<ImageId, std::uint64_t> cursors_;     // how far an image was looked through
  std::uint64_t copied_ = 0;                     // since all had enough copies
  Clock::time_point no_copies_before_{};
  Call call_;

  std::mutex mutex_;
  std::vector<Damage> damages_;  // guarded by mutex_
  bool said_fewer_ = false;      // likewise
  std::jthread thread_;          // likewise, until the destructor
};

}  // namespace smalti::client
