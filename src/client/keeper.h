// Keeper: looks after the servers that were lost, and the tiles that have fewer copies than they ought to.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "client/claims.h"
#include "client/cluster.h"
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
  // Waits until all damage that was told is mended, for a moment at most: the caller is about to let go of images.
  void finish_mending();
  // An image that has a name, from now on.
  void tend(const ImageId&, Remember);
  void forget(const ImageId&);
  // Looks through such an image now, and waits until its tiles have their copies and that is remembered; how many were
  // copied. Fails where that is not to be had today.
  Result<std::uint64_t> restore(const Call&, ImageRecord&);
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
  std::optional<std::uint32_t> opened_place_for(ImageRecord&, const TileKey&);
  Errand copying(const ImageRecord&, const TileKey&, std::uint32_t server, const Tile&) const;
  bool too_early(ImageRecord&);
  void open_again(ImageRecord&);
  void looked_through(ImageRecord&);
  bool remember(ImageRecord&);
  std::vector<std::string> holders(const ImageRecord&) const;
  Result<std::uint64_t> outcome(const ImageRecord&, std::uint64_t copied) const;
  void missed();
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
  bool waiting_ = false;  // for the time to come for something
  Call call_;

  // What there is to know of an image that has a name.
  struct Care {
    Remember remember;
    Clock::time_point not_before{};  // copies are made, and remembering is tried, from here on; zero: nothing is missed yet
    bool due = true;                 // something has changed that ought to be remembered
    bool looked = false;             // through all of it: now it is
    unsigned tries = 0;              // of remembering
    std::uint64_t copied = 0;        // tiles, since it was remembered
    std::uint64_t copied_before = 0;  // the look that is under way
    bool asked = false;              // by restore(), which waits for `answer`
    std::optional<Result<std::uint64_t>> answer;
  };

  std::mutex mutex_;
  std::condition_variable told_;  // an answer, or that damage was mended
  // Guarded by mutex_, all below.
  std::vector<Damage> damages_;
  bool mending_ = false;  // some that are not among them any more
  bool said_fewer_ = false;
  std::map<ImageId, Care> cares_;
  std::jthread thread_;  // until the destructor
};

}  // namespace smalti::client
